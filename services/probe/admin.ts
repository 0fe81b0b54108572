/**
 * What the collector's operator asks on its local socket.
 *
 *     GET  /refused?limit=N               Refused (core/quarantine.ts)
 *     GET  /agents                        agents that have a key, and when they reported last
 *     POST /agents {name, prefixes, by}   a key for a new one: { name, key }
 *     POST /agents/revoke {name, by}
 */
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import type { Agents } from './agents.ts';
import type { RefusalBook } from './refusals.ts';

const text = { type: 'string', minLength: 1, maxLength: 200 } as const;
const createBody = {
  type: 'object',
  required: ['name', 'by'],
  additionalProperties: false,
  properties: { name: text, by: text, prefixes: { type: 'array', items: text, maxItems: 16 } },
} as const;
const revokeBody = {
  type: 'object',
  required: ['name', 'by'],
  additionalProperties: false,
  properties: { name: text, by: text },
} as const;

interface Ask {
  readonly name: string;
  readonly by: string;
  readonly prefixes?: string[];
}

export function addProbeRoutes(
  { admin, clock }: Pick<ServiceContext, 'admin' | 'clock'>,
  agents: Agents,
  refused: RefusalBook,
): void {
  admin.get('/refused', ({ query }) => {
    const limit = Number((query as Readonly<Record<string, string>>)['limit'] ?? 100);
    if (!(Number.isInteger(limit) && limit >= 0 && limit <= limits.probe.refusedPrefixes)) {
      throw new OperatingError('REQUEST_INVALID', `limit: a whole number up to ${limits.probe.refusedPrefixes}`);
    }
    return refused.report(clock.nowMs(), limit);
  });
  admin.get('/agents', () => ({ agents: agents.list() }));
  admin.post<{ Body: Ask }>('/agents', { schema: { body: createBody } }, async ({ body }) => {
    const { name, by, prefixes = [] } = body;
    return { name, key: await agents.create(name, prefixes, by) };
  });
  admin.post<{ Body: Ask }>('/agents/revoke', { schema: { body: revokeBody } }, async ({ body }) => {
    await agents.revoke(body.name, body.by);
    return { name: body.name };
  });
}
