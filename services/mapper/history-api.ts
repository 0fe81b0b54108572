/**
 * What was published, and orders about it, on the mapper's admin socket.
 *
 *     GET  /history?limit=N[&all=1]                     {held?: Held, publications: Publication[]}, newest first; without
 *                                                       `all` those that moved demand, holds and orders
 *     POST /rollback  {version?, forMs?, why, by}       {version, restores, untilMs}
 *     POST /release   {why, by}                         {version?}: of the map that ended a rollback
 */
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Publication } from '@ufes/core/steering/publication.ts';
import { formatVersion } from '@ufes/core/version.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import type { Builder } from './builder.ts';
import type { Running } from './evidence-api.ts';

type Body = Readonly<Record<string, unknown>>;

export function registerHistoryApi({ admin, clock }: ServiceContext, running: Running): void {
  admin.get<{ Querystring: Readonly<Record<string, string | undefined>> }>('/history', async ({ query }) => {
    const { publisher } = builderOf(running);
    const limit = Number(query['limit'] ?? 50);
    if (!(Number.isInteger(limit) && limit > 0 && limit <= limits.publish.shown)) {
      throw new OperatingError('REQUEST_INVALID', `limit: a whole number up to ${limits.publish.shown} would be right`);
    }
    const publications = await listed(publisher.history.publications, limit, query['all'] === '1');
    return { ...(publisher.held && { held: publisher.held }), publications };
  });

  admin.post<{ Body: Body }>('/rollback', async ({ body }) => {
    const builder = builderOf(running);
    const { version, forMs = limits.dns.forceMs } = body ?? {};
    if (version !== undefined && typeof version !== 'string') throw wrong('"version" must be a version, as text');
    if (typeof forMs !== 'number' || !(forMs >= 1_000 && forMs <= limits.dns.forceMs)) {
      throw wrong(`"forMs" must be from 1000 to ${limits.dns.forceMs}`);
    }
    const order = { ...orderOf(body), untilMs: clock.nowMs() + Math.round(forMs) };
    const published = (await builder.order(() => builder.publisher.rollback(version, order)))!;
    const restores = published.map.rolledBack?.version;
    return { version: formatVersion(published.version), restores, untilMs: order.untilMs };
  });

  admin.post<{ Body: Body }>('/release', async ({ body }) => {
    const builder = builderOf(running);
    const { by, why } = orderOf(body);
    const published = await builder.order((inService) => builder.publisher.release(inService, by, why));
    return published === undefined ? {} : { version: formatVersion(published.version) };
  });
}

/** Most publications bring new estimates alone; they are passed over a page at a time. */
async function listed(
  read: Builder['publisher']['history']['publications'],
  limit: number,
  isAll: boolean,
): Promise<Publication[]> {
  const found: Publication[] = [];
  let toMs = Number.MAX_SAFE_INTEGER;
  for (;;) {
    const page = await read({ toMs, limit: limits.publish.shown });
    found.push(...(isAll ? page : page.filter(isNews)));
    if (found.length >= limit || page.length < limits.publish.shown) return found.slice(0, limit);
    toMs = page.at(-1)!.atMs - 1;
  }
}

function isNews({ kind, moved, why }: Publication): boolean {
  return kind !== 'publish' || (moved?.moved ?? 0) > 0 || why !== undefined;
}

function builderOf({ builder }: Running): Builder {
  if (builder !== undefined) return builder;
  throw new OperatingError('NOT_RUNNING', 'the mapper is starting');
}

function wrong(message: string): OperatingError {
  return new OperatingError('REQUEST_INVALID', message);
}

function orderOf(body: Body | undefined): { by: string; why: string } {
  const { by, why } = body ?? {};
  const text = typeof why === 'string' ? why.trim().slice(0, limits.health.reasonChars) : '';
  if (text === '') throw wrong('"why" must say why, for those who read it in the night');
  return {
    by: typeof by === 'string' && by !== '' ? by.slice(0, limits.health.reasonChars) : 'admin socket',
    why: text,
  };
}
