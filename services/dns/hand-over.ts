/**
 * What the main thread hands to the threads that answer. Bulk lies in shared memory and is handed over by reference; the
 * desired state comes in pieces, each read within a moment, so that a thread goes on answering meanwhile.
 *
 *     desired, records …, services …, serve      map      sockets      stop
 */
import type { DesiredRecord, DesiredService, DesiredState } from '@ufes/core/desired.ts';
import { limits } from '@ufes/core/limits.ts';
import type { LiveView } from '@ufes/core/live.ts';
import type { MapBuckets } from '@ufes/core/steering/map.ts';
import type { Version } from '@ufes/core/version.ts';
import type { KeptRest } from '@ufes/io/sealed-file.ts';
import type { AnswerLabels } from './counters.ts';
import type { WireOptions, WireShared } from './wire.ts';

/**
 * Words read and written by Atomics. `orders`: messages sent so far. `map`: the thread reads no map with a lower number
 * any more; before it has one, that of the first it is given.
 */
export const controlWord = { orders: 0, map: 1 } as const;

export interface WorkerInit {
  readonly control: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  readonly ring: SharedArrayBuffer;
  readonly wire: WireOptions;
  readonly shared: WireShared;
  /** One query in so many is logged; 0: none. */
  readonly logEvery: number;
}

export interface ThreadSocket {
  readonly fd: number;
  readonly address: string;
}

export interface MapInService {
  /** Rises from map to map. */
  readonly number: number;
  /** In shared memory, checked; it is used again once all threads have told that they read newer maps (map-buffers.ts). */
  readonly bytes: Uint8Array;
  readonly buckets: MapBuckets;
  /** Where its estimates are, when `bytes` is not all of it. */
  readonly rest?: KeptRest | undefined;
  readonly version: Version;
}

export type ToThread =
  /** Without services, and zones without records: they follow. */
  | { readonly order: 'desired'; readonly head: DesiredState; readonly live: LiveView }
  | { readonly order: 'records'; readonly zone: number; readonly records: readonly DesiredRecord[] }
  | { readonly order: 'services'; readonly services: readonly DesiredService[] }
  | { readonly order: 'serve' }
  | { readonly order: 'map'; readonly map: MapInService }
  | { readonly order: 'sockets'; readonly sockets: readonly ThreadSocket[] }
  | { readonly order: 'stop' };

export type FromThread =
  /** Its sockets are being read, by the tables it was given before them. */
  | { readonly report: 'answering' }
  /** Where its counts of answers are from now on. */
  | { readonly report: 'counts'; readonly values: Float64Array; readonly labels: readonly AnswerLabels[] };

export function* ordersOf(desired: DesiredState, live: LiveView): Generator<ToThread> {
  const zones = desired.zones.map((zone) => ({ ...zone, records: [] }));
  yield { order: 'desired', head: { ...desired, zones, services: [], hosts: [], vips: [] }, live };
  for (const [zone, { records }] of desired.zones.entries()) {
    for (const piece of pieces(records)) yield { order: 'records', zone, records: piece };
  }
  for (const piece of pieces(desired.services)) yield { order: 'services', services: piece };
  yield { order: 'serve' };
}

function* pieces<T>(list: readonly T[]): Generator<readonly T[]> {
  for (let i = 0; i < list.length; i += limits.dns.handOver) yield list.slice(i, i + limits.dns.handOver);
}

/** The desired state under assembly. */
export class Assembly {
  readonly #head: DesiredState;
  readonly #records: DesiredRecord[][];
  readonly #services: DesiredService[] = [];
  readonly live: LiveView;

  constructor(head: DesiredState, live: LiveView) {
    this.#head = head;
    this.#records = head.zones.map(() => []);
    this.live = live;
  }

  addRecords(zone: number, records: readonly DesiredRecord[]): void {
    this.#records[zone]!.push(...records);
  }

  addServices(services: readonly DesiredService[]): void {
    this.#services.push(...services);
  }

  finish(): DesiredState {
    const zones = this.#head.zones.map((zone, i) => ({ ...zone, records: this.#records[i]! }));
    return { ...this.#head, zones, services: this.#services };
  }
}
