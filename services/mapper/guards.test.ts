import { afterEach, expect, test } from 'vitest';
import { beacon, clockOf, createMapper, type Mapper, ranked, send, startMapper, stopMapper } from './testing.ts';

const open: Mapper[] = [];
afterEach(async () => {
  for (const mapper of open.splice(0)) await stopMapper(mapper);
});

/** In Singapore, all of one AS. */
const prefixes = Array.from({ length: 25 }, (_, i) => `2001:db8:${(i + 1).toString(16)}::/48`);
const rtts = { 'pop:sin': 8, 'pop:lon': 170, 'pop:iad': 230 };

/** Every other vantage sees all of them up. */
async function vote(mapper: Mapper, sin: 'up' | 'down'): Promise<void> {
  const { context } = mapper;
  const atMs = clockOf(mapper).nowMs();
  const value = (state: string) => ({ state, holdMs: 0, atMs, sinceMs: atMs });
  await context.store.live.put(
    ['probe', 'dns', 'edge-lon'].flatMap((vantage) =>
      ['lon', 'iad', 'sin'].map((pop) => ({
        key: `vote/${vantage}/${pop}`,
        value: value(pop === 'sin' && vantage === 'dns' ? sin : 'up'),
        ttlMs: 60_000,
      })),
    ),
  );
  context.bus.wake('live');
}

async function told(mapper: Mapper, fails: boolean): Promise<void> {
  const nowMs = clockOf(mapper).nowMs();
  const records = prefixes.map((prefix) => {
    const record = beacon(nowMs, prefix, rtts);
    const observations = record.observations.map((one) =>
      fails && one.target === 'pop:sin' ? { target: one.target, ok: false, weight: 1 } : one,
    );
    return { ...record, observations };
  });
  await send(mapper, records);
  await mapper.folder.step();
  // What checks say is read with a publication: a build later at most.
  for (let i = 0; i < 2; i++) await mapper.builder.step();
}

async function guards({ context }: Mapper): Promise<unknown> {
  const answer = await context.admin.inject('/evidence?client=2001:db8:7::1&service=shop');
  return answer.json<{ guards?: unknown }>().guards;
}

test('a network that does not reach its PoP is sent elsewhere when a check fails too, and told why', async () => {
  const mapper = await createMapper();
  open.push(mapper);
  await startMapper(mapper);
  await vote(mapper, 'up');
  await told(mapper, false);
  await told(mapper, true);
  expect(ranked(mapper, '2001:db8:7::1')[0]).toBe('sin');
  expect(await guards(mapper)).toBeUndefined();

  await vote(mapper, 'down');
  await told(mapper, true);
  expect(ranked(mapper, '2001:db8:7::1')[0]).toBe('lon');
  expect(await guards(mapper)).toEqual({ sin: 'unreachable' });
});
