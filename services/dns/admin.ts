/**
 * Routes of the admin socket.
 *
 *     GET /explain?name=&client=&resolver=&type=A   Explanation (core/steering/explanation.ts); one of the two is enough
 *         [&at=MS][&node=NODE]                      of then, from what is kept; of another dns node too
 *     GET /answers?since=SEQ              DnsAnswers (core/dashboard.ts)
 *     GET /state                          DnsState (core/dashboard.ts), and the votes behind it
 *     GET /probe-queries?since=MS         which resolver asked for which ID-POP name: {queries: ProbeQuery[]}
 */
import type { DnsState } from '@ufes/core/dashboard.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { liveHoldMs, liveLoad, liveSince, liveState, liveStateNames } from '@ufes/core/live.ts';
import type { Clock } from '@ufes/core/ports.ts';
import { formatVersion } from '@ufes/core/version.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import type { AnswerAgain } from './again.ts';
import type { Answerer } from './answer.ts';
import { explain, questionOf } from './explain-question.ts';
import { knownNow } from './known.ts';
import type { LiveFeed } from './live-feed.ts';
import type { PastThread } from './past-thread.ts';
import type { ProbeQueries, RecentAnswers } from './recent.ts';
import type { Tables } from './tables.ts';

export interface AdminInit {
  readonly admin: ServiceContext['admin'];
  readonly node: string;
  readonly clock: Clock;
  readonly answerer: Answerer;
  readonly again: AnswerAgain;
  readonly past: Pick<PastThread, 'explain'>;
  readonly feed: LiveFeed;
  readonly recent: RecentAnswers;
  readonly probes: ProbeQueries;
  /** ADDRESS:PORT it answers at. */
  readonly listeners: readonly string[];
  /** Brings in what the threads have seen. */
  readonly gather: () => void;
}

export function addRoutes({
  admin,
  node,
  clock,
  answerer,
  again,
  past,
  feed,
  recent,
  probes,
  listeners,
  gather,
}: AdminInit): void {
  admin.get<{ Querystring: Record<string, string | undefined> }>('/explain', (request) => {
    const question = questionOf(request.query);
    const { at, node: of = node } = request.query;
    if (at !== undefined) return past.explain(question, of, numberOf(at, 'at'));
    if (of !== node) {
      throw new OperatingError(
        'REQUEST_INVALID',
        `this is ${node}; what ${of} answers now is asked there, of the past with at=`,
      );
    }
    if (answerer.tables === undefined) throw new OperatingError('NOT_RUNNING', 'no desired state yet');
    const result = explain(answerer.tables, question, knownNow(feed, node, clock.nowMs()), again);
    if (typeof result === 'string') throw new OperatingError('NOT_FOUND', result);
    return result;
  });
  admin.get<{ Querystring: Record<string, string | undefined> }>('/answers', (request) => {
    gather();
    return recent.since(numberOf(request.query['since']));
  });
  admin.get<{ Querystring: Record<string, string | undefined> }>('/probe-queries', (request) => {
    gather();
    return { queries: probes.since(numberOf(request.query['since'])) };
  });
  admin.get('/state', () => ({ ...stateOf(answerer.tables, feed, clock.nowMs()), listeners }));
}

function numberOf(text: string | undefined, name = 'since'): number {
  if (text === undefined) return 0;
  if (!/^\d{1,15}$/.test(text)) throw new OperatingError('REQUEST_INVALID', `${name}=${text} is no whole number`);
  return Number(text);
}

function stateOf(
  tables: Tables | undefined,
  feed: LiveFeed,
  nowMs: number,
): DnsState & { votes: object; verdicts?: object } {
  const votes = Object.fromEntries(feed.votes());
  if (tables === undefined) return { pops: [], votes };
  const { desired, map, mapVersion, live } = tables;
  const ageSeconds = (createdAtMs: number) => Math.max(0, (nowMs - createdAtMs) / 1000);
  const pops = desired.pops.map(({ id }, pop) => ({
    id,
    state: liveStateNames[liveState(live, pop)],
    sinceSeconds: liveSince(live, pop),
    loadPerMille: liveLoad(live, pop),
    holdMs: liveHoldMs(live, pop),
    // 0: nobody can say, it is what was known last.
    votes: feed.verdicts().get(id)?.counted ?? 0,
  }));
  return {
    pops,
    ...(map === undefined || mapVersion === undefined
      ? {}
      : { map: { version: formatVersion(mapVersion), ageSeconds: ageSeconds(map.createdAtMs) } }),
    desired: { version: formatVersion(desired.version), ageSeconds: ageSeconds(desired.createdAtMs) },
    votes,
    verdicts: feed.external(),
  };
}
