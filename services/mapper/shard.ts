/** One shard of the samples: its stream folded into its sketches, one transaction at a time, for as long as we hold its lease. */
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { EvidenceRow, Fold, Lease, StreamRecord } from '@ufes/core/ports.ts';
import type { SampleRecord } from '@ufes/core/samples.ts';
import { Sketch } from '@ufes/core/sketch/sketch.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import type { EvidenceTable } from './evidence.ts';
import { sketchSamples } from './feed.ts';
import { type FloorOf, type Parted, partByFloor } from './quarantine.ts';
import { type Rejection, readRecord } from './record.ts';

type Parts = Pick<ServiceContext, 'store' | 'queue' | 'clock' | 'log'>;

export interface ShardEvents {
  changed(prefixes: ReadonlySet<string>): void;
  folded(records: Parted): void;
  rejected(why: Rejection, where: { shard: number; collector: string; seq: number }, bytes: Uint8Array): void;
}

/** Records of one transaction, by collector, each collector's without a gap. */
interface Batch {
  readonly records: readonly { readonly collector: string; readonly record: StreamRecord }[];
  readonly to: Record<string, number>;
}

export class Shard {
  readonly number: number;
  readonly #parts: Parts;
  readonly #owner: string;
  readonly #table: EvidenceTable;
  readonly #events: ShardEvents;
  readonly #floorOf: FloorOf;
  #lease: Lease | undefined;
  #leasedAtMs = Number.NEGATIVE_INFINITY;
  /** As the sketches in memory have them; undefined: not loaded. */
  #offsets: Record<string, number> | undefined;

  constructor(
    number: number,
    parts: Parts,
    owner: string,
    table: EvidenceTable,
    events: ShardEvents,
    floorOf: FloorOf,
  ) {
    this.number = number;
    this.#parts = parts;
    this.#owner = owner;
    this.#table = table;
    this.#events = events;
    this.#floorOf = floorOf;
  }

  /** The evidence is in memory; it may have fallen behind since. */
  isLoaded = false;

  get held(): boolean {
    return this.#lease !== undefined;
  }

  /** Folds all there is, when the shard is ours; else keeps up with who folds it. Rejects with STORE_UNAVAILABLE. */
  async step(): Promise<void> {
    await this.load();
    while (this.#lease !== undefined) {
      const batch = await this.#read(this.#offsets!);
      if (batch === undefined) return;
      await this.#fold(this.#lease, this.#offsets!, batch);
    }
  }

  /** Brings what the store has into memory and folds nothing. Rejects with STORE_UNAVAILABLE. */
  async load(): Promise<void> {
    await this.#renew();
    if (this.#lease === undefined || this.#offsets === undefined) await this.#reload();
  }

  async release(): Promise<void> {
    if (this.#lease === undefined) return;
    await this.#parts.store.leases.release(this.#lease);
    this.#lease = undefined;
  }

  /** Records that wait in the stream. */
  async lag(): Promise<number> {
    const { samples } = this.#parts.queue;
    let waiting = 0;
    for (const collector of await samples.collectors(this.number)) {
      waiting += Math.max(0, (await samples.lastSeq(this.number, collector)) - (this.#offsets?.[collector] ?? 0));
    }
    return waiting;
  }

  async #renew(): Promise<void> {
    const { clock, store } = this.#parts;
    const now = clock.monotonicMs();
    if (now - this.#leasedAtMs < limits.evidence.leaseMs / 3) return;
    const lease = await store.leases.acquire(`fold/${this.number}`, this.#owner, limits.evidence.leaseMs);
    this.#leasedAtMs = now;
    // Another one may have folded since we held it last.
    if (lease?.fence !== this.#lease?.fence) this.#offsets = undefined;
    this.#lease = lease;
  }

  async #reload(): Promise<void> {
    const { evidence } = this.#parts.store;
    const offsets = await evidence.offsets(this.number);
    if (this.#offsets !== undefined && sameOffsets(offsets, this.#offsets)) return;
    // Offsets first: if a fold comes between, the rows are newer, and our own fold is told that the offsets moved.
    const rows = (await evidence.rows(this.number)).filter((row) => this.#isGood(row));
    this.#events.changed(this.#table.replace(this.number, rows));
    this.#offsets = offsets;
    this.isLoaded = true;
  }

  #isGood({ key, bytes }: EvidenceRow): boolean {
    try {
      Sketch.decode(bytes);
      return true;
    } catch (thrown) {
      if (!(thrown instanceof OperatingError)) throw thrown;
      this.#parts.log.error({ key, error: describeError(thrown) }, 'evidence in the store is corrupt and left out');
      return false;
    }
  }

  async #read(offsets: Readonly<Record<string, number>>): Promise<Batch | undefined> {
    const { samples } = this.#parts.queue;
    const records: { collector: string; record: StreamRecord }[] = [];
    const to: Record<string, number> = { ...offsets };
    for (const collector of await samples.collectors(this.number)) {
      const room = limits.evidence.foldRecords - records.length;
      if (room <= 0) break;
      let next = (to[collector] ?? 0) + 1;
      for (const record of await samples.read(this.number, collector, next - 1, room)) {
        // A gap waits until its collector has sent the missing records again.
        if (record.seq !== next) {
          this.#parts.log.warn(
            { shard: this.number, collector, expected: next, found: record.seq },
            'samples are missing',
          );
          break;
        }
        records.push({ collector, record });
        to[collector] = next++;
      }
    }
    return records.length === 0 ? undefined : { records, to };
  }

  async #fold(lease: Lease, from: Readonly<Record<string, number>>, { records, to }: Batch): Promise<void> {
    const { store, clock, queue, log } = this.#parts;
    const nowMs = clock.nowMs();
    const { accepted, rejected } = await this.#accept(records, nowMs);
    const parted = partByFloor(accepted, this.#floorOf);
    const rows = sketchSamples(this.#table, parted.counted, parted.apart);
    const tokens = accepted.map(({ token, tokenExpiresAtMs }) => ({
      id: token,
      expiresAtMs: Math.max(tokenExpiresAtMs, nowMs) + limits.evidence.tokenGraceMs,
    }));
    const fold: Fold = { shard: this.number, lease, from, to, rows, tokens };
    const outcome = await store.evidence.fold(fold, nowMs);
    if (outcome !== 'ok') {
      log.warn(
        { shard: this.number, outcome },
        'fold not written: another mapper has the shard, or the store went back',
      );
      this.#offsets = undefined;
      if (outcome === 'fenced') this.#lease = undefined;
      this.#leasedAtMs = Number.NEGATIVE_INFINITY;
      await this.#renew();
      await this.#reload();
      return;
    }
    this.#offsets = to;
    for (const { why, collector, record } of rejected) {
      this.#events.rejected(why, { shard: this.number, collector, seq: record.seq }, record.bytes);
    }
    this.#events.folded(parted);
    const changed = this.#table.apply(rows);
    if (changed.size > 0) this.#events.changed(changed);
    for (const [collector, seq] of Object.entries(to)) {
      if (seq !== (from[collector] ?? 0)) await queue.samples.trim(this.number, collector, seq);
    }
  }

  /** Reads records; a token counts once. */
  async #accept(records: Batch['records'], nowMs: number) {
    const rejected: { why: Rejection; collector: string; record: StreamRecord }[] = [];
    const read: { sample: SampleRecord; collector: string; record: StreamRecord }[] = [];
    for (const { collector, record } of records) {
      const sample = readRecord(record.bytes, this.number, nowMs);
      if (typeof sample === 'string') rejected.push({ why: sample, collector, record });
      else read.push({ sample, collector, record });
    }
    const ids = read.map(({ sample }) => sample.token);
    const used = new Set(ids.length === 0 ? [] : await this.#parts.store.evidence.usedTokens(this.number, ids));
    const accepted: SampleRecord[] = [];
    const newPrefixes = new Set<string>();
    for (const { sample, collector, record } of read) {
      const known = this.#table.has(sample.prefix) || newPrefixes.has(sample.prefix);
      if (used.has(sample.token)) rejected.push({ why: 'token-repeated', collector, record });
      else if (!known && this.#table.prefixes + newPrefixes.size >= limits.evidence.prefixes) {
        rejected.push({ why: 'prefixes-full', collector, record });
      } else {
        used.add(sample.token);
        newPrefixes.add(sample.prefix);
        accepted.push(sample);
      }
    }
    return { accepted, rejected };
  }
}

function sameOffsets(a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
