/**
 * One transaction's worth of a shard: records of all collectors, each collector's without a gap; then what of them counts.
 *
 *     read ─▶ record? ─▶ token used? ─▶ prefix known, or room for one? ─▶ sketches ─▶ counted
 *               │ mark: time passes       └───────────┬───────────────────────┘
 *               └─▶ progress                          └─▶ set aside, shown; the offset moves on
 */
import { describeError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { EvidenceRow, EvidenceStore, Log, SampleStream, StreamRecord } from '@ufes/core/ports.ts';
import type { SampleRecord } from '@ufes/core/samples.ts';
import type { EvidenceTable } from './evidence.ts';
import { sketchSamples } from './feed.ts';
import { notePassed, offsetOf, type Progress } from './progress.ts';
import { type FloorOf, type Parted, partByFloor } from './quarantine.ts';
import { isMark, type Rejection, readRecord } from './record.ts';

export interface Origin {
  readonly collector: string;
  readonly record: StreamRecord;
}

export interface Batch {
  readonly records: readonly Origin[];
  /** Where the shard stands after it. */
  readonly to: Record<string, number>;
}

/** Of a collector: records after `seq` are missing in the stream. */
export type OnGap = (collector: string, seq: number, found: number) => Promise<void>;

/** The next records of the shard; undefined: none. Rejects with STORE_UNAVAILABLE. */
export async function readBatch(
  samples: SampleStream,
  shard: number,
  from: Progress,
  onGap: OnGap,
): Promise<Batch | undefined> {
  const records: Origin[] = [];
  const to: Record<string, number> = { ...from };
  for (const collector of await samples.collectors(shard)) {
    const room = limits.evidence.foldRecords - records.length;
    if (room <= 0) break;
    let last = offsetOf(from, collector);
    for (const record of await samples.read(shard, collector, last, room)) {
      if (record.seq !== last + 1) {
        await onGap(collector, last, record.seq);
        break;
      }
      records.push({ collector, record });
      to[collector] = ++last;
    }
  }
  return records.length === 0 ? undefined : { records, to };
}

export interface Counted {
  readonly parted: Parted;
  readonly rows: EvidenceRow[];
  readonly accepted: readonly SampleRecord[];
  readonly rejected: readonly (Origin & { readonly why: Rejection })[];
}

interface Parts {
  readonly shard: number;
  readonly evidence: Pick<EvidenceStore, 'usedTokens'>;
  readonly table: EvidenceTable;
  readonly floorOf: FloorOf;
  readonly log: Log;
}

/** What of the batch counts; marks go into `to`. A token counts once. Rejects with STORE_UNAVAILABLE. */
export async function countBatch({ records, to }: Batch, nowMs: number, parts: Parts): Promise<Counted> {
  const { shard, evidence, table, floorOf } = parts;
  const rejected: (Origin & { why: Rejection })[] = [];
  const read: (Origin & { sample: SampleRecord })[] = [];
  for (const { collector, record } of records) {
    const sample = readRecord(record.bytes, shard, nowMs);
    if (typeof sample === 'string') rejected.push({ why: sample, collector, record });
    else {
      notePassed(to, collector, isMark(sample) ? sample.passedMs : sample.atMs);
      if (!isMark(sample)) read.push({ sample, collector, record });
    }
  }
  const ids = read.map(({ sample }) => sample.token);
  const used = new Set(ids.length === 0 ? [] : await evidence.usedTokens(shard, ids));
  const accepted: (Origin & { sample: SampleRecord })[] = [];
  const newPrefixes = new Set<string>();
  for (const one of read) {
    const { token, prefix } = one.sample;
    const known = table.has(prefix) || newPrefixes.has(prefix);
    if (used.has(token)) rejected.push({ ...one, why: 'token-repeated' });
    else if (!known && table.prefixes + newPrefixes.size >= limits.evidence.prefixes) {
      rejected.push({ ...one, why: 'prefixes-full' });
    } else {
      used.add(token);
      if (!known) newPrefixes.add(prefix);
      accepted.push(one);
    }
  }
  try {
    return { ...sketched(accepted, table, floorOf), rejected };
  } catch (thrown) {
    parts.log.error({ shard, error: describeError(thrown) }, 'records that cannot be folded are looked for');
  }
  const good = accepted.filter((one) => canBeSketched(one.sample, table, floorOf));
  for (const one of accepted) if (!good.includes(one)) rejected.push({ ...one, why: 'unfoldable' });
  return { ...sketched(good, table, floorOf), rejected };
}

function sketched(of: readonly { readonly sample: SampleRecord }[], table: EvidenceTable, floorOf: FloorOf) {
  const accepted = of.map(({ sample }) => sample);
  const parted = partByFloor(accepted, floorOf);
  return { accepted, parted, rows: sketchSamples(table, parted.counted, parted.apart) };
}

function canBeSketched(sample: SampleRecord, table: EvidenceTable, floorOf: FloorOf): boolean {
  try {
    sketched([{ sample }], table, floorOf);
    return true;
  } catch {
    return false;
  }
}
