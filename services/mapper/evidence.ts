/**
 * The evidence in memory: packed sketches by prefix and by the rest of their key, as the store holds them, shard by shard.
 *
 *     192.0.2.0/24 ─▶ pop:lon|browser|rum    ─▶ bytes
 *                     pop:iad|browser|rum    ─▶ bytes
 *                     origin:eu|browser|rum  ─▶ bytes
 */
import type { EvidenceRow } from '@ufes/core/ports.ts';
import { shardOf } from '@ufes/core/samples.ts';
import type { QuantileBounds } from '@ufes/core/sketch/sketch.ts';
import { Sketch } from '@ufes/core/sketch/sketch.ts';
import { estimation, statistic } from '@ufes/core/steering/estimate.ts';
import { sampleKinds } from './record.ts';

type Entries = Map<string, Uint8Array>;

interface TargetSummary {
  readonly own: QuantileBounds;
  readonly lastSeconds: number;
  /** The last quarter of an hour speaks instead of the whole: to be looked at again when it is over. */
  readonly demoted: boolean;
}

/** What the evidence of one prefix amounts to: one kind for all targets, since a gain compares two on one kind. */
export interface PrefixSummary {
  readonly targets: ReadonlyMap<string, TargetSummary>;
  /** Undecayed samples in it. */
  readonly samples: number;
}

export class EvidenceTable {
  readonly #prefixes = new Map<string, Entries>();
  /** Rest of a key → one string for all prefixes that have it. */
  readonly #suffixes = new Map<string, string>();
  #keys = 0;
  #bytes = 0;

  get prefixes(): number {
    return this.#prefixes.size;
  }

  get keys(): number {
    return this.#keys;
  }

  get bytes(): number {
    return this.#bytes;
  }

  has(prefix: string): boolean {
    return this.#prefixes.has(prefix);
  }

  prefixTexts(): Iterable<string> {
    return this.#prefixes.keys();
  }

  get(key: string): Uint8Array | undefined {
    const bar = key.indexOf('|');
    return this.#prefixes.get(key.slice(0, bar))?.get(key.slice(bar + 1));
  }

  /** Takes rows over; the prefixes they are of. */
  apply(rows: readonly EvidenceRow[]): Set<string> {
    const changed = new Set<string>();
    for (const { key, bytes } of rows) {
      const bar = key.indexOf('|');
      const prefix = key.slice(0, bar);
      let entries = this.#prefixes.get(prefix);
      if (entries === undefined) {
        entries = new Map();
        this.#prefixes.set(prefix, entries);
      }
      const suffix = this.#suffix(key.slice(bar + 1));
      const before = entries.get(suffix);
      if (before === undefined) this.#keys++;
      this.#bytes += bytes.length - (before?.length ?? 0);
      entries.set(suffix, bytes);
      changed.add(prefix);
    }
    return changed;
  }

  /** Puts `rows` in place of all that is held of a shard; the prefixes that differ. */
  replace(shard: number, rows: readonly EvidenceRow[]): Set<string> {
    const changed = new Set<string>();
    const given = new Set(rows.map(({ key }) => key));
    for (const [prefix, entries] of this.#prefixes) {
      if (shardOf(prefix) !== shard) continue;
      for (const [suffix, bytes] of entries) {
        if (given.has(`${prefix}|${suffix}`)) continue;
        entries.delete(suffix);
        this.#keys--;
        this.#bytes -= bytes.length;
        changed.add(prefix);
      }
    }
    const news = rows.filter(({ key, bytes }) => !sameBytes(this.get(key), bytes));
    for (const prefix of this.apply(news)) changed.add(prefix);
    return changed;
  }

  /** The evidence of a prefix from some sources. Sketches of one target and kind are merged over sources. */
  summary(prefix: string, sources: ReadonlySet<string>, nowMs: number): PrefixSummary {
    const kinds = new Map<string, Map<string, Sketch>>();
    for (const [suffix, bytes] of this.#prefixes.get(prefix) ?? []) {
      const [target, kind, source] = suffix.split('|') as [string, string, string];
      if (!sources.has(source)) continue;
      let targets = kinds.get(kind);
      if (targets === undefined) {
        targets = new Map();
        kinds.set(kind, targets);
      }
      const sketch = Sketch.decode(bytes);
      const other = targets.get(target);
      targets.set(target, other === undefined ? sketch : other.merge(sketch));
    }
    const targets = new Map<string, TargetSummary>();
    let samples = 0;
    for (const [target, sketch] of chooseKind(kinds, nowMs)) {
      samples += sketch.count;
      if (sketch.count > 0) targets.set(target, { ...statistic(sketch, nowMs), lastSeconds: sketch.lastSeconds });
    }
    return { targets, samples };
  }

  /** One target alone, of the kind with most samples; undefined when it was never measured. */
  target(prefix: string, target: string, sources: ReadonlySet<string>, nowMs: number): QuantileBounds | undefined {
    const kinds = new Map<string, Sketch>();
    for (const [suffix, bytes] of this.#prefixes.get(prefix) ?? []) {
      const [of, kind, source] = suffix.split('|') as [string, string, string];
      if (of !== target || !sources.has(source)) continue;
      const sketch = Sketch.decode(bytes);
      kinds.set(kind, kinds.get(kind)?.merge(sketch) ?? sketch);
    }
    const most = [...kinds.values()].filter(({ count }) => count > 0).sort((a, b) => b.count - a.count)[0];
    return most && statistic(most, nowMs).own;
  }

  #suffix(text: string): string {
    const known = this.#suffixes.get(text);
    if (known !== undefined) return known;
    this.#suffixes.set(text, text);
    return text;
  }
}

/** Edge-timed evidence when it can compare two PoPs; else the kind that says most. */
function chooseKind(kinds: ReadonlyMap<string, Map<string, Sketch>>, nowMs: number): Map<string, Sketch> {
  let best = new Map<string, Sketch>();
  let most = -1;
  for (const kind of sampleKinds) {
    const targets = kinds.get(kind);
    if (targets === undefined) continue;
    const ns = [...targets].map(([target, sketch]) => (target.startsWith('pop:') ? sketch.effectiveN(nowMs) : 0));
    if (kind === 'edge' && ns.filter((n) => Math.round(n) >= estimation.ownN).length >= 2) return targets;
    const total = ns.reduce((sum, n) => sum + n, 0);
    if (total > most) {
      most = total;
      best = targets;
    }
  }
  return best;
}

function sameBytes(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && Buffer.compare(a, b) === 0;
}
