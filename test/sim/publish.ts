/** What the mapper's publisher does between a build and service, without its store: judge, stage, hold. */

import { limits } from '@ufes/core/limits.ts';
import { LiveState, liveState } from '@ufes/core/live.ts';
import { Judge } from '@ufes/core/steering/judge.ts';
import type { PopNow } from '@ufes/core/steering/judging.ts';
import { defaultRoom } from '@ufes/core/steering/room.ts';
import { followMsOf } from '@ufes/mapper/begin.ts';
import { guardLookup } from '@ufes/mapper/guards.ts';
import { costsOf, demandOf, withRoom } from '@ufes/mapper/publisher.ts';
import { RawRing } from '@ufes/mapper/raw.ts';
import type { Publish } from './steering.ts';

const ringSize = 500_000;

export interface Judging {
  readonly publish: Publish;
  /** To be given every sample. */
  readonly raw: RawRing;
  /** Builds that were held, by guardrail. */
  readonly held: Record<string, number>;
  /** Requests a second by PoP, when edges tell. */
  loads: readonly number[] | undefined;
}

export function judging(): Judging {
  const judge = new Judge();
  const raw = new RawRing(ringSize);
  const sources = new Set(['rum']);
  const self: Judging = {
    raw,
    held: {},
    loads: undefined,
    publish: (after, before, nowMs, { desired, fed, live, degradations }) => {
      if (before === undefined) return after;
      const pops = desired.pops.map(({ id, requestsPerSecond: capacity }, pop): [string, PopNow] => {
        const state = liveState(live, pop);
        const isOpen = state !== LiveState.down && state !== LiveState.draining;
        const load = self.loads?.[pop];
        const isDegraded = degradations.now.has(id);
        return [id, { isOpen, isDegraded, capacity, ...(load === undefined ? {} : { requestsPerSecond: load }) }];
      });
      const { map, reasons } = judge.judge({
        before,
        after,
        nowMs,
        pops: new Map(pops),
        hard: (desired.room ?? defaultRoom).hard,
        costs: costsOf(fed.plan),
        followMs: followMsOf(desired.services),
        guardOf: guardLookup(fed),
        ...demandOf(fed.build.sharing, nowMs),
        raw: (cells, wanted) => raw.lookup(cells, wanted, sources, nowMs - limits.publish.rawMs),
      });
      for (const { guard } of reasons) self.held[guard] = (self.held[guard] ?? 0) + 1;
      return withRoom(map, before, { map: after, build: fed.build }, nowMs);
    },
  };
  return self;
}
