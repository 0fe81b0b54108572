/**
 * From artefacts to the tables in service, here and in the threads: a new desired state or map is decoded and compiled beside what is in use, and
 * takes over by one assignment. What throws on the way leaves everything as it was (shared/io/artefact.ts then counts it
 * as corrupt and steps back).
 */
import { type DesiredState, decodeDesired } from '@ufes/core/desired.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Log } from '@ufes/core/ports.ts';
import { buildBucketsInSlices, type SteeringMap, withBuckets } from '@ufes/core/steering/map.ts';
import { decodeMapInSlices } from '@ufes/core/steering/map-bytes.ts';
import type { Version } from '@ufes/core/version.ts';
import type { KeptRest } from '@ufes/io/sealed-file.ts';
import { runGently, type Slices } from '@ufes/io/slices.ts';
import type { Answerer } from './answer.ts';
import type { AnswerCounts } from './counters.ts';
import type { LiveFeed } from './live-feed.ts';
import { MapBuffers } from './map-buffers.ts';
import { readerOf } from './map-rest.ts';
import { buildTables, withMapInSlices } from './tables.ts';
import type { Threads } from './threads.ts';
import { compileNames, type Names } from './zones.ts';

export interface Serving {
  /** Where a map is to be read to, before it is applied. */
  readonly mapBuffer: (bytes: number) => SharedArrayBuffer;
  readonly applyDesired: (payload: Uint8Array) => void;
  readonly applyMap: (payload: Uint8Array, version: Version, rest?: KeptRest) => Promise<void>;
}

export interface ServingInit {
  readonly answerer: Answerer;
  /** They get what is in service here, checked. */
  readonly threads: Threads | undefined;
  readonly feed: Pick<LiveFeed, 'follow'>;
  readonly counts: AnswerCounts;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Log;
}

export function createServing({ answerer, threads, feed, counts, clock, log }: ServingInit): Serving {
  const gently = <T>(work: Slices<T>) => runGently(work, limits.dns.sliceMs, () => clock.monotonicMs());
  let map: SteeringMap | undefined;
  let mapVersion: Version | undefined;
  let mapNumber = 0;
  /** Of the oldest map that answers or explanations of this thread are made from; both are made in one go. */
  let oldestHere = 0;
  const oldestRead = () => Math.min(oldestHere, threads?.oldestMap() ?? Number.POSITIVE_INFINITY);
  // Two kinds of memory, as their sizes differ.
  const memory = { maps: new MapBuffers(oldestRead), buckets: new MapBuffers(oldestRead) };

  function serve(desired: DesiredState, names: Names): void {
    const live = feed.follow(desired);
    answerer.tables = buildTables({ desired, map, mapVersion, names, live, counts });
  }

  return {
    mapBuffer: memory.maps.take,
    applyDesired(payload) {
      const desired = decodeDesired(payload);
      const names = compileNames(desired);
      serve(desired, names);
      threads?.serveDesired(desired, answerer.tables!.live);
      for (const { service, reason } of names.unserved) log.warn({ service, reason }, 'dns: not answered');
      log.info({ zones: desired.zones.length, names: names.table.size }, 'dns: names in service');
    },
    async applyMap(payload, version, rest) {
      const checked = await gently(decodeMapInSlices(payload, { rest: readerOf(rest) }));
      const buckets = await gently(buildBucketsInSlices(checked, memory.buckets.take));
      const next = withBuckets(checked, buckets);
      const number = ++mapNumber;
      memory.maps.serve(number);
      memory.buckets.serve(number);
      map = next;
      mapVersion = version;
      threads?.serveMap({ number, bytes: payload, buckets, version, rest });
      // Another desired state may have come into service meanwhile, with this map then.
      for (let before = answerer.tables; before !== undefined && before.map !== next; before = answerer.tables) {
        const tables = await gently(withMapInSlices(before, next, version));
        if (answerer.tables === before) answerer.tables = tables;
      }
      oldestHere = number;
    },
  };
}
