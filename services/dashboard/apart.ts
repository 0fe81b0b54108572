/** GET /api/quarantine: what collectors refused and what the mapper holds apart. Either may be away. */
import { type ApartState, parseHeldApart, parseRefused } from '@ufes/core/dashboard.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import { systemClock } from '@ufes/io/clock.ts';
import type { Ask } from './collect.ts';
import { Part } from './part.ts';

export async function apartState(ask: Ask, query: unknown): Promise<ApartState> {
  const { limit = '100' } = query as Readonly<Record<string, unknown>>;
  const rows = Number(limit);
  if (!(Number.isInteger(rows) && rows > 0 && rows <= limits.dashboard.apart)) {
    throw new OperatingError('REQUEST_INVALID', `limit: a whole number up to ${limits.dashboard.apart} is wanted`);
  }
  const common = { everyMs: 0, clock: systemClock };
  const refused = new Part({
    ...common,
    part: 'What was refused',
    node: 'probe',
    ask: async () => parseRefused(await ask.json('probe', `/refused?limit=${rows}`)),
  });
  const apart = new Part({
    ...common,
    part: 'What is held apart',
    node: 'mapper',
    ask: async () => parseHeldApart(await ask.json('mapper', `/quarantine?limit=${rows}`)),
  });
  await Promise.all([refused.poll(), apart.poll()]);
  return {
    atMs: systemClock.nowMs(),
    ...(refused.value !== undefined && { refused: refused.value }),
    ...(apart.value !== undefined && { apart: apart.value }),
    missing: [refused.missing(), apart.missing()].filter((one) => one !== undefined),
  };
}
