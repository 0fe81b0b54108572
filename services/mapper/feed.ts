/** From samples to sketches, and from sketches to the cells of a build. The simulator feeds its builds by this too. */
import type { EvidenceRow } from '@ufes/core/ports.ts';
import type { SampleKind, SampleRecord } from '@ufes/core/samples.ts';
import { fade, Sketch } from '@ufes/core/sketch/sketch.ts';
import type { SteeringBuild } from '@ufes/core/steering/build.ts';
import { kinds, OwnEntries } from '@ufes/core/steering/cells.ts';
import { statistic } from '@ufes/core/steering/estimate.ts';
import { estimation } from '@ufes/core/steering/estimation.ts';
import type { Ground } from '@ufes/core/steering/ground.ts';
import type { GeoNames } from '@ufes/geoip/geoip.ts';
import type { EvidenceTable } from './evidence.ts';
import { placeOf } from './ground.ts';
import type { MapPlan } from './plan.ts';
import { looseKind, quarantineKind, sampleKinds } from './record.ts';

/**
 * Rows of all keys that the samples speak of, with what the table has of them taken in; `apart`: samples that are kept
 * but count for nothing (quarantine.ts). The table stays as it is.
 */
export function sketchSamples(
  table: EvidenceTable,
  samples: readonly SampleRecord[],
  apart: readonly SampleRecord[] = [],
): EvidenceRow[] {
  const sketches = new Map<string, Sketch>();
  const add = ({ prefix, source, atMs, observations }: SampleRecord, kind: string): void => {
    for (const { target, ok, rttMs, weight } of observations) {
      const key = `${prefix}|${target}|${kind}|${source}`;
      let sketch = sketches.get(key);
      if (sketch === undefined) {
        const held = table.get(key);
        sketch = held === undefined ? new Sketch() : Sketch.decode(held);
        sketches.set(key, sketch);
      }
      if (!ok) sketch.fail();
      else if (rttMs !== undefined) sketch.add(rttMs, atMs, weight);
    }
  };
  for (const record of samples) add(record, record.isLoose === true ? looseKind : record.kind);
  for (const record of apart) add(record, quarantineKind);
  return [...sketches].map(([key, sketch]) => ({ key, bytes: sketch.encode() }));
}

export interface Fed {
  readonly build: SteeringBuild;
  readonly plan: MapPlan;
  readonly geoip: GeoNames;
  readonly ground: Ground;
}

/** Brings a prefix's evidence into its cell. True when the last quarter of an hour speaks there: look again when it is over. */
export function feedCell(fed: Fed, table: EvidenceTable, text: string, nowMs: number): boolean {
  const number = table.numberOf(text);
  return number >= 0 && feederOf(fed, table).feed(number, nowMs);
}

/** The same for all prefixes; the texts of those where the last quarter of an hour speaks. */
export function feedAll(fed: Fed, table: EvidenceTable, nowMs: number): string[] {
  const feeder = feederOf(fed, table);
  const demoted: string[] = [];
  fed.build.cells.reserve(table.numbers, table.keys);
  for (const numbers of table.inOrder()) {
    for (const number of numbers) if (feeder.feed(number, nowMs)) demoted.push(table.prefixText(number));
  }
  return demoted;
}

const feeders = new WeakMap<SteeringBuild, Feeder>();

function feederOf(fed: Fed, table: EvidenceTable): Feeder {
  let feeder = feeders.get(fed.build);
  if (feeder?.table !== table) {
    feeder = new Feeder(fed, table);
    feeders.set(fed.build, feeder);
  }
  return feeder;
}

/** Not of this plan's PoPs or sources. */
const foreign = 0xffff;
/** Marks what is loose: a browser's, as long as no edge has timed the prefix. */
const loose = 0x1000;

class Feeder {
  readonly table: EvidenceTable;
  readonly #fed: Fed;
  readonly #pops: ReadonlyMap<string, number>;
  readonly #sources: ReadonlySet<string>;
  /** kind · 256 + PoP by the rest of a key. */
  readonly #codes: number[] = [];
  /** Rests of keys that were looked at for something loose, and whether there was. */
  #restsSeen = 0;
  #hasLoose = false;
  /** Sketches of the prefix at hand, in rising order of their codes. */
  readonly #found: { code: number; bytes: Uint8Array; from: number; end: number }[] = [];
  #count = 0;
  readonly #entries = new OwnEntries();
  /** Codes for which the last quarter of an hour has samples enough. */
  readonly #speaks: number[] = [];
  /** By kind: PoPs that have enough to be compared, samples that count now, samples ever. */
  readonly #able = new Float64Array(kinds);
  readonly #n = new Float64Array(kinds);
  readonly #samples = new Float64Array(kinds);

  constructor(fed: Fed, table: EvidenceTable) {
    this.#fed = fed;
    this.table = table;
    this.#pops = new Map(fed.plan.pops.map((id, pop) => [`pop:${id}`, pop]));
    this.#sources = new Set(fed.plan.sources);
  }

  feed(number: number, nowMs: number): boolean {
    const { cells } = this.#fed.build;
    this.#find(number);
    const demoted = this.#summarise(nowMs);
    const prefix = this.table.prefixOf(number);
    let row = cells.rowOf(prefix.family, prefix.hi, prefix.lo);
    if (row < 0) {
      if (this.#entries.count === 0) return false;
      const { ground, plan } = this.#fed;
      row = cells.add(placeOf(ground, plan.popVectors, prefix, cells));
    }
    const kind = this.#chosenKind();
    cells.kind[row] = kind;
    cells.setRow(row, this.#entries);
    cells.setSamples(row, this.#samples[kind]!);
    return this.#speak(row) || demoted;
  }

  /** Notes where the last quarter of an hour speaks for itself. */
  #speak(row: number): boolean {
    const { speaking, pops, kind } = this.#fed.build.cells;
    for (let pop = 0; pop < pops && speaking.size > 0; pop++) speaking.delete(row * 256 + pop);
    let speaks = false;
    for (const code of this.#speaks) {
      if (code >> 8 !== kind[row]) continue;
      speaking.add(row * 256 + (code & 255));
      speaks = true;
    }
    return speaks;
  }

  #find(number: number): void {
    const isTimed = this.#isTimed(number);
    this.#count = 0;
    this.table.forEach(number, ({ rest, bytes, from, end }) => {
      const marked = this.#codes[rest] ?? this.#codeOf(rest);
      if (marked === foreign || (isTimed && marked >= loose)) return;
      const code = marked & ~loose;
      let at = this.#count++;
      const found = this.#found;
      found[at] ??= { code: 0, bytes, from: 0, end: 0 };
      const own = found[at]!;
      for (; at > 0 && found[at - 1]!.code > code; at--) found[at] = found[at - 1]!;
      found[at] = own;
      own.code = code;
      own.bytes = bytes;
      own.from = from;
      own.end = end;
    });
  }

  /** Whether an edge has timed the prefix; asked only where something loose waits for the answer. */
  #isTimed(number: number): boolean {
    const { rests } = this.table;
    for (; this.#restsSeen < rests.length; this.#restsSeen++)
      this.#hasLoose ||= rests[this.#restsSeen]!.kind === looseKind;
    if (!this.#hasLoose) return false;
    let timed = false;
    this.table.forEach(number, ({ rest }) => {
      const code = this.#codes[rest] ?? this.#codeOf(rest);
      timed ||= code < loose && code >> 8 === edge;
    });
    return timed;
  }

  /** The sketches' statistics as entries; those of one kind and PoP from several sources are merged. */
  #summarise(nowMs: number): boolean {
    const entries = this.#entries;
    entries.count = 0;
    this.#speaks.length = 0;
    this.#able.fill(0);
    this.#n.fill(0);
    this.#samples.fill(0);
    let demoted = false;
    for (let i = 0; i < this.#count; ) {
      const { code } = this.#found[i]!;
      let sketch = this.table.read(this.#found[i++]!);
      if (i < this.#count && this.#found[i]!.code === code) {
        sketch = new Sketch().merge(sketch);
        for (; i < this.#count && this.#found[i]!.code === code; i++) {
          sketch = sketch.merge(this.table.read(this.#found[i]!));
        }
      }
      if (sketch.count === 0) continue;
      const kind = code >> 8;
      const one = statistic(sketch, nowMs);
      entries.push(kind, code & 255, one.own, sketch.lastSeconds);
      demoted ||= one.demoted;
      if (one.speaks) this.#speaks.push(code);
      const n = one.demoted ? sketch.effectiveN(nowMs) : one.own.n * fade(sketch.lastSeconds, nowMs);
      this.#n[kind]! += n;
      this.#samples[kind]! += sketch.count;
      if (Math.round(n) >= estimation.edgeN) this.#able[kind]!++;
    }
    return demoted;
  }

  /**
   * One kind for all PoPs, since a gain compares two on one kind: edge-timed where two can be compared by it, else the one
   * that says most. Another kind that knows a quicker PoP changes nothing then: what clients time they can make up, and
   * those who do reach a PoP are timed by it.
   */
  #chosenKind(): number {
    if (this.#able[edge]! >= 2) return edge;
    let most = edge;
    for (let kind = 0; kind < kinds; kind++) if (this.#n[kind]! > this.#n[most]!) most = kind;
    return most;
  }

  #codeOf(rest: number): number {
    const { target, kind, source } = this.table.rests[rest]!;
    const pop = this.#pops.get(target);
    const isLoose = kind === looseKind;
    const known = isLoose ? browser : sampleKinds.indexOf(kind as SampleKind);
    const isForeign = pop === undefined || known < 0 || !this.#sources.has(source);
    const code = isForeign ? foreign : known * 256 + pop + (isLoose ? loose : 0);
    this.#codes[rest] = code;
    return code;
  }
}

const edge = sampleKinds.indexOf('edge');
const browser = sampleKinds.indexOf('browser');
