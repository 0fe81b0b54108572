/**
 * Tiers 2 to 5: what is believed of the way from a place to a PoP, from what others measured.
 *
 *     vote      p25 of a cell − prior − line of the cell                          one vote a cell
 *     metro     median of the votes of a metro                                    3 cells at least
 *     spatial   prior + (metro · votes + κ · Σ w · residual of near metros / Σ w) / (votes + κ)
 *               w falls with the distance of the metro, and of the PoP where residuals to PoPs near it are taken in
 *     AS        the same, between the cells of one AS in the metro and all of the metro's
 *
 * The *line* of a cell is what its round trips to all PoPs have in common, an access line above all: cells are measured
 * at different PoPs, and without that a PoP that quick lines measured would seem near. Medians, and three cells at least:
 * no cell alone moves what is believed of another.
 *
 * What one cell could yet change of a median by saying anything else is its *slack*: half the way between the votes beside
 * the middle ones. Who ranks a place by medians asks for a gain beyond it (places.ts).
 *
 * Only metros that something changed in are counted again, and only those near them are told.
 */
import { distanceKm, type Vectors } from './base.ts';
import { widened } from './cell-index.ts';
import type { Cells, OwnRow } from './cells.ts';
import { type Estimates, estimation, medianOf, type Prior, shrunkMedian } from './estimate.ts';
import { Tier } from './map.ts';
import { Basis, Errors } from './prediction-errors.ts';
import type { Metros } from './spots.ts';

/** Metros that a metro remembers as its nearest with evidence: not each has some of every PoP. */
const remembered = 24;
/** Cells of a metro that vote, evenly picked of more: a median of so many is sure, and the work bounded. */
const votersMax = 500;
/** What a residual must change by to be told, milliseconds: less changes no ranking. */
const tellMs = 0.25;
/** PoPs farther from each other have no residuals in common. */
const kinKm = 1_100;
const nearKm = 150;
const middleKm = 700;
/** Number of the kind that edges time themselves: nobody can be nearer than it says. */
const edgeTimed = 0;

interface Residuals {
  /** By PoP; NaN where too few voted. */
  readonly ms: Float32Array;
  readonly votes: Uint16Array;
  /** How far one vote alone can move `ms` at most. */
  readonly slackMs: Float32Array;
}

/** PoPs near a PoP, itself the first, and what their residuals weigh for it. */
interface Kin {
  readonly pops: Uint8Array;
  readonly weights: Float32Array;
}

interface Known extends Residuals {
  readonly byAsn: ReadonlyMap<number, Residuals>;
}

/** What is believed of a metro: added to the prior. */
interface Area {
  readonly ms: Float32Array;
  readonly basis: Uint8Array;
  readonly slackMs: Float32Array;
}

interface Around {
  readonly ms: number;
  readonly basis: number;
  readonly slackMs: number;
}

/** A vote on its way. */
interface Vote {
  readonly row: number;
  readonly pop: number;
  readonly ms: number;
  readonly n: number;
}

export class Tiers {
  readonly errors = new Errors();
  readonly #cells: Cells;
  readonly #metros: Metros;
  readonly #pops: number;
  readonly #prior: Prior;
  readonly #popVectors: Vectors;
  readonly #kin: readonly Kin[];
  /** By cell row. */
  #metroOf = new Int32Array(0);
  #asnOf = new Uint32Array(0);
  #line = new Float32Array(0);
  #disputed = new Uint8Array(0);
  #seen = 0;
  readonly #rows = new Map<number, number[]>();
  readonly #known = new Map<number, Known>();
  readonly #areas = new Map<number, Area>();
  #dirty = new Set<number>();
  /** By metro: its nearest metros with evidence, nearest first; -1: none. */
  readonly #near: Int32Array;
  readonly #nearKm: Float32Array;
  readonly #isKnown: Uint8Array;

  constructor(cells: Cells, metros: Metros, popVectors: Vectors, prior: Prior) {
    this.#cells = cells;
    this.#metros = metros;
    this.#pops = cells.pops;
    this.#prior = prior;
    this.#popVectors = popVectors;
    this.#kin = Array.from({ length: cells.pops }, (_, pop) => kinOf(popVectors, pop, cells.pops));
    this.#near = new Int32Array(metros.count * remembered).fill(-1);
    this.#nearKm = new Float32Array(metros.count * remembered).fill(Number.POSITIVE_INFINITY);
    this.#isKnown = new Uint8Array(metros.count);
  }

  /** Says where a new cell is; rows come in order. `votes` false: it belongs to no network, e.g. loopback. */
  place(row: number, location: number, asn: number, votes: boolean): void {
    this.#metroOf = widened(this.#metroOf, row + 1);
    this.#asnOf = widened(this.#asnOf, row + 1);
    this.#line = widened(this.#line, row + 1);
    this.#disputed = widened(this.#disputed, row + 1);
    const metro = location < 0 ? -1 : this.#metros.ofPlace[location]!;
    this.#metroOf[row] = metro;
    this.#asnOf[row] = asn;
    this.#seen = row + 1;
    if (metro < 0 || !votes) return;
    const rows = this.#rows.get(metro);
    if (rows === undefined) this.#rows.set(metro, [row]);
    else rows.push(row);
  }

  get placed(): number {
    return this.#seen;
  }

  /** The cell's evidence changed. */
  touch(row: number): void {
    this.#disputed[row] = this.#isBelowFloor(row) ? 1 : 0;
    const metro = this.#metroOf[row]!;
    if (metro >= 0) this.#dirty.add(metro);
  }

  /**
   * An edge timed it nearer than light allows from where GeoIP has it: then GeoIP is wrong. It votes nowhere, and
   * distances from that place count for nothing.
   */
  isDisputed(row: number): boolean {
    return this.#disputed[row] === 1;
  }

  /** Distances of a cell of which nothing is known but that it is near the PoP that it is quickest to. */
  kmByNearest({ n, p25 }: OwnRow): Float32Array {
    let nearest = -1;
    for (let pop = 0; pop < this.#pops; pop++) {
      if (n[pop]! > 0 && (nearest < 0 || p25[pop]! < p25[nearest]!)) nearest = pop;
    }
    return Float32Array.from({ length: this.#pops }, (_, pop) =>
      nearest < 0 ? Number.NaN : distanceKm(this.#popVectors, nearest, this.#popVectors, pop),
    );
  }

  #isBelowFloor(row: number): boolean {
    const { first, entries, entryKind, entryPop, p25, n, km } = this.#cells;
    const place = this.#cells.kmFrom(row);
    for (let at = first[row]!; at < first[row]! + entries[row]!; at++) {
      if (entryKind[at] === edgeTimed && n[at]! > 0 && p25[at]! < this.#prior.floorMs(km[place + entryPop[at]!]!)) {
        return true;
      }
    }
    return false;
  }

  /** Metros of which something else is believed than before. */
  update(): Set<number> {
    const changed = new Set<number>();
    for (const metro of this.#dirty) if (this.#recount(metro)) changed.add(metro);
    this.#dirty = new Set();
    if (changed.size === 0) return changed;
    const told = new Set<number>(changed);
    for (let metro = 0; metro < this.#metros.count; metro++) {
      for (let i = metro * remembered; i < (metro + 1) * remembered && this.#near[i]! >= 0; i++) {
        if (!changed.has(this.#near[i]!)) continue;
        told.add(metro);
        break;
      }
    }
    for (const metro of told) {
      if (!changed.has(metro) && this.#isAreaKept(metro)) told.delete(metro);
      else this.#areas.delete(metro);
    }
    for (const metro of changed) this.#learn(metro);
    return told;
  }

  /** ASes of a metro that have residuals of their own. */
  asnsOf(metro: number): Iterable<number> {
    return this.#known.get(metro)?.byAsn.keys() ?? [];
  }

  metroOf(row: number): number {
    return this.#metroOf[row]!;
  }

  asnOf(row: number): number {
    return this.#asnOf[row]!;
  }

  /**
   * What is believed of one way into `out[pop]`. `metro` -1: nothing is known of the place but distances; `lineMs`
   * undefined: the line is not known.
   */
  estimate(metro: number, asn: number, km: number, pop: number, lineMs: number | undefined, out: Estimates): void {
    out.n[pop] = 0;
    if (Number.isNaN(km)) {
      out.tier[pop] = Tier.none;
      out.ms[pop] = Number.NaN;
      out.lowMs[pop] = 0;
      out.highMs[pop] = Number.POSITIVE_INFINITY;
      return;
    }
    const area = metro < 0 ? undefined : this.#areaOf(metro);
    let basis: number = area === undefined ? Basis.prior : area.basis[pop]!;
    let residual = area?.ms[pop] ?? 0;
    const own = metro < 0 || asn === 0 ? undefined : this.#known.get(metro)?.byAsn.get(asn);
    const votes = own?.votes[pop] ?? 0;
    if (votes >= estimation.votes) {
      residual = (votes * own!.ms[pop]! + estimation.asnShrinkage * residual) / (votes + estimation.asnShrinkage);
      basis = Basis.asn;
    }
    const floor = this.#prior.floorMs(km);
    const ms = Math.max(floor, this.#prior.expectedMs(km) + residual + (lineMs ?? 0));
    const low = this.errors.lowMs(basis, lineMs !== undefined, ms);
    const high = this.errors.highMs(basis, lineMs !== undefined, ms);
    out.tier[pop] = basis === Basis.asn ? Tier.asnMetro : basis === Basis.prior ? Tier.prior : Tier.spatial;
    out.ms[pop] = ms;
    out.lowMs[pop] = Number.isNaN(low) ? floor : Math.min(ms, Math.max(floor, ms + low));
    out.highMs[pop] = Number.isNaN(high) ? Math.max(ms, this.#prior.ceilingMs(km) + residual) : Math.max(ms, ms + high);
  }

  /** How far one cell alone could move the residual to a PoP of what is believed of a place. */
  slackMs(metro: number, asn: number, pop: number): number {
    if (metro < 0) return 0;
    const area = this.#areaOf(metro).slackMs[pop]!;
    const own = asn === 0 ? undefined : this.#known.get(metro)?.byAsn.get(asn);
    const votes = own?.votes[pop] ?? 0;
    if (votes < estimation.votes) return area;
    // One cell votes in both.
    return (votes * own!.slackMs[pop]! + estimation.asnShrinkage * area) / (votes + estimation.asnShrinkage);
  }

  /** What changed around a metro changed what is believed of it by too little: then that stays, until it adds up. */
  #isAreaKept(metro: number): boolean {
    const held = this.#areas.get(metro);
    if (held === undefined) return false;
    const now = createArea(this.#pops);
    for (let pop = 0; pop < this.#pops; pop++) {
      this.#fillArea(metro, pop, now);
      if (now.basis[pop] !== held.basis[pop] || Math.abs(now.ms[pop]! - held.ms[pop]!) > tellMs) return false;
    }
    return true;
  }

  #areaOf(metro: number): Area {
    let area = this.#areas.get(metro);
    if (area === undefined) {
      area = createArea(this.#pops);
      for (let pop = 0; pop < this.#pops; pop++) this.#fillArea(metro, pop, area);
      this.#areas.set(metro, area);
    }
    return area;
  }

  #fillArea(metro: number, pop: number, area: Area): void {
    const around = this.#around(metro, pop);
    const own = this.#known.get(metro);
    const votes = own?.votes[pop] ?? 0;
    area.ms[pop] = around.ms;
    area.basis[pop] = around.basis;
    area.slackMs[pop] = around.slackMs;
    if (votes < estimation.metroVotes) return;
    area.ms[pop] = blended(votes, own!.ms[pop]!, around.ms);
    area.basis[pop] = Basis.metro;
    // One cell is in one metro: it moves this one's median, or what is around.
    area.slackMs[pop] = Math.max(blended(votes, own!.slackMs[pop]!, 0), blended(votes, 0, around.slackMs));
  }

  /** Residual by the metros around, weighted by distance, and what that rests on. */
  #around(metro: number, pop: number): Around {
    let sum = 0;
    let weights = estimation.spatialPrior;
    let taken = 0;
    let nearest = Number.POSITIVE_INFINITY;
    let slack = 0;
    const country = this.#metros.country[metro]!;
    const { pops: kin, weights: kinWeights } = this.#kin[pop]!;
    for (let i = metro * remembered; i < (metro + 1) * remembered && taken < estimation.spatialPlaces; i++) {
      const near = this.#near[i]!;
      if (near < 0) break;
      if (near === metro) continue;
      const known = this.#known.get(near)!;
      const km = this.#nearKm[i]!;
      const border = this.#metros.country[near] === country ? 1 : estimation.spatialBorder;
      const weight = border * kernel(km);
      let own = 0;
      let ownSlack = 0;
      for (let k = 0; k < kin.length; k++) {
        const other = kin[k]!;
        if (known.votes[other]! < estimation.metroVotes) continue;
        const part = weight * kinWeights[k]!;
        own += part;
        sum += part * known.ms[other]!;
        ownSlack += part * known.slackMs[other]!;
      }
      if (own === 0) continue;
      weights += own;
      slack = Math.max(slack, ownSlack);
      nearest = Math.min(nearest, km);
      taken++;
    }
    if (taken === 0) return { ms: 0, basis: Basis.prior, slackMs: 0 };
    const basis = nearest < nearKm ? Basis.near : nearest < middleKm ? Basis.middle : Basis.far;
    return { ms: sum / weights, basis, slackMs: slack / weights };
  }

  /** Counts the votes of a metro again. True when it says something else. */
  #recount(metro: number): boolean {
    const rows = this.#rows.get(metro);
    if (rows === undefined) return false;
    const votes = this.#votesOf(rows);
    const all = this.#polish(votes);
    const byAsn = new Map<number, Residuals>();
    for (const [asn, own] of Map.groupBy(votes, ({ row }) => this.#asnOf[row]!)) {
      const residuals = asn === 0 ? undefined : this.#medians(own, estimation.votes);
      if (residuals?.votes.some((count) => count >= estimation.votes)) byAsn.set(asn, residuals);
    }
    const before = this.#known.get(metro);
    const known = { ...all, byAsn };
    if (before === undefined && !all.votes.some((count) => count >= estimation.metroVotes)) return false;
    if (before !== undefined && !isNews(before, known)) return false;
    this.#known.set(metro, known);
    if (this.#isKnown[metro] === 0) this.#announce(metro);
    return true;
  }

  #votesOf(rows: readonly number[]): Vote[] {
    const { first, entries, entryKind, entryPop, kind, p25, n, km } = this.#cells;
    const votes: Vote[] = [];
    const step = Math.max(1, rows.length / votersMax);
    for (let i = 0; i < rows.length; i += step) {
      const row = rows[Math.floor(i)]!;
      if (this.#disputed[row] === 1) continue;
      const place = this.#cells.kmFrom(row);
      const end = first[row]! + entries[row]!;
      for (let at = first[row]!; at < end; at++) {
        if (entryKind[at] !== kind[row] || Math.round(n[at]!) < estimation.voteN) continue;
        const pop = entryPop[at]!;
        const ms = p25[at]! - this.#prior.expectedMs(km[place + pop]!);
        if (!Number.isNaN(ms)) votes.push({ row, pop, ms, n: n[at]! });
      }
    }
    return votes;
  }

  /** Medians by PoP and lines by row, in turns (median polish, Tukey 1977). Keeps the lines. */
  #polish(votes: readonly Vote[]): Residuals {
    const byRow = Map.groupBy(votes, ({ row }) => row);
    let residuals: Residuals = emptyResiduals(this.#pops);
    for (let turn = 0; turn < 3; turn++) {
      const lines: number[] = [];
      for (const [row, own] of byRow) {
        this.#line[row] = lineOf(own, residuals, -1);
        lines.push(this.#line[row]!);
      }
      const level = medianOf(lines);
      for (const row of byRow.keys()) this.#line[row]! -= level;
      residuals = this.#medians(votes, 1);
    }
    for (let pop = 0; pop < this.#pops; pop++) {
      if (residuals.votes[pop]! < estimation.metroVotes) residuals.ms[pop] = Number.NaN;
    }
    return residuals;
  }

  /** Medians by PoP of votes less their lines, NaN where fewer than `least` voted. */
  #medians(votes: readonly Vote[], least: number): Residuals {
    const values = Array.from({ length: this.#pops }, (): number[] => []);
    for (const { row, pop, ms } of votes) values[pop]!.push(ms - this.#line[row]!);
    const residuals = emptyResiduals(this.#pops);
    for (const [pop, of] of values.entries()) {
      residuals.votes[pop] = of.length;
      const isKnown = of.length >= Math.max(1, least);
      const sorted = Float32Array.from(of).sort();
      residuals.ms[pop] = isKnown ? middle(sorted) : Number.NaN;
      residuals.slackMs[pop] = isKnown ? slackOf(sorted) : Number.NaN;
    }
    return residuals;
  }

  /** Makes a metro one of the nearest of those around it. */
  #announce(metro: number): void {
    const { vectors, count } = this.#metros;
    this.#isKnown[metro] = 1;
    for (let other = 0; other < count; other++) {
      const end = (other + 1) * remembered - 1;
      const km = distanceKm(vectors, other, vectors, metro);
      if (km >= this.#nearKm[end]!) continue;
      let at = end;
      for (; at > other * remembered && this.#nearKm[at - 1]! > km; at--) {
        this.#near[at] = this.#near[at - 1]!;
        this.#nearKm[at] = this.#nearKm[at - 1]!;
      }
      this.#near[at] = metro;
      this.#nearKm[at] = km;
    }
  }

  /** Predicts the votes of a metro as if each one's cell had not been measured there. */
  #learn(metro: number): void {
    const known = this.#known.get(metro)!;
    const votes = this.#votesOf(this.#rows.get(metro)!);
    const lines = Map.groupBy(votes, ({ row }) => row);
    const sortedOf = (some: readonly Vote[]) => {
      const values = Array.from({ length: this.#pops }, (): number[] => []);
      for (const { row, pop, ms } of some) values[pop]!.push(ms - this.#line[row]!);
      return values.map((of) => Float32Array.from(of).sort());
    };
    const all = sortedOf(votes);
    const ofAsn = new Map<number, Float32Array[]>();
    for (const asn of known.byAsn.keys()) ofAsn.set(asn, sortedOf(votes.filter(({ row }) => this.#asnOf[row] === asn)));
    const around = Array.from({ length: this.#pops }, (_, pop) => this.#around(metro, pop));
    for (const vote of votes) {
      const { row, pop, ms } = vote;
      const value = ms - this.#line[row]!;
      const km = this.#cells.km[this.#cells.kmFrom(row) + pop]!;
      const prior = this.#prior.expectedMs(km);
      const learnAs = (basis: number, residual: number) => {
        this.errors.add(basis, false, prior + residual, ms - residual);
        if (lines.get(row)!.length < 2) return;
        const line = lineOf(lines.get(row)!, known, pop);
        this.errors.add(basis, true, prior + residual + line, ms - residual - line);
      };
      learnAs(Basis.prior, 0);
      const { ms: beyond, basis } = around[pop]!;
      if (basis !== Basis.prior) learnAs(basis, beyond);
      const count = all[pop]!.length - 1;
      if (count < estimation.metroVotes) continue;
      const metroMs = blended(count, medianWithout(all[pop]!, value), beyond);
      learnAs(Basis.metro, metroMs);
      const own = ofAsn.get(this.#asnOf[row]!)?.[pop];
      if (own === undefined || own.length - 1 < estimation.votes) continue;
      const { asnShrinkage } = estimation;
      const asnVotes = own.length - 1;
      const asnMs = (asnVotes * medianWithout(own, value) + asnShrinkage * metroMs) / (asnVotes + asnShrinkage);
      learnAs(Basis.asn, asnMs);
    }
  }
}

function kernel(km: number, halfKm = estimation.spatialKm): number {
  return 1 / (1 + (km / halfKm) ** 2);
}

/** PoPs near each other are reached by much the same way. */
function kinOf(vectors: Vectors, pop: number, pops: number): Kin {
  const kin = [{ other: pop, weight: 1 }];
  for (let other = 0; other < pops; other++) {
    const km = distanceKm(vectors, pop, vectors, other);
    if (other !== pop && km < kinKm) kin.push({ other, weight: estimation.kinShare * kernel(km, estimation.kinKm) });
  }
  return { pops: Uint8Array.from(kin, ({ other }) => other), weights: Float32Array.from(kin, ({ weight }) => weight) };
}

function createArea(pops: number): Area {
  return { ms: new Float32Array(pops), basis: new Uint8Array(pops), slackMs: new Float32Array(pops) };
}

function emptyResiduals(pops: number): Residuals {
  return { ms: new Float32Array(pops), votes: new Uint16Array(pops), slackMs: new Float32Array(pops) };
}

function middle(sorted: Float32Array): number {
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

/** How far the median of these goes when one of them says anything else. Infinity below three. */
function slackOf(sorted: Float32Array): number {
  const { length } = sorted;
  if (length < 3) return Number.POSITIVE_INFINITY;
  const ms = middle(sorted);
  const [below, above] = [(length - 1) >> 1, length >> 1];
  // One vote taken from one side and put on the other shifts both middle ranks by one at most.
  const lowMs = below === above ? sorted[below - 1]! : (sorted[below - 1]! + sorted[below]!) / 2;
  const highMs = below === above ? sorted[above + 1]! : (sorted[above]! + sorted[above + 1]!) / 2;
  return Math.max(ms - lowMs, highMs - ms);
}

function blended(votes: number, ms: number, aroundMs: number): number {
  return (votes * ms + estimation.metroShrinkage * aroundMs) / (votes + estimation.metroShrinkage);
}

/** Of one cell's votes, what they have in common beyond the residuals; `except`: a PoP left out. */
function lineOf(votes: readonly Vote[], { ms: residuals }: Pick<Residuals, 'ms'>, except: number): number {
  const differences: number[] = [];
  for (const { pop, ms } of votes) {
    const residual = residuals[pop]!;
    if (pop !== except) differences.push(ms - (Number.isNaN(residual) ? 0 : residual));
  }
  return differences.length === 0 ? 0 : shrunkMedian(differences);
}

function isNews(before: Known, after: Known): boolean {
  if (differ(before, after, estimation.metroVotes) || before.byAsn.size !== after.byAsn.size) return true;
  for (const [asn, residuals] of after.byAsn) {
    const old = before.byAsn.get(asn);
    if (old === undefined || differ(old, residuals, estimation.votes)) return true;
  }
  return false;
}

function differ(a: Residuals, b: Residuals, least: number): boolean {
  for (let pop = 0; pop < a.ms.length; pop++) {
    if (a.votes[pop]! >= least !== b.votes[pop]! >= least) return true;
    if (b.votes[pop]! >= least && Math.abs(a.ms[pop]! - b.ms[pop]!) > tellMs) return true;
  }
  return false;
}

/** Median of the others. */
function medianWithout(sorted: Float32Array, value: number): number {
  const length = sorted.length - 1;
  let at = sorted.indexOf(Math.fround(value));
  if (at < 0) at = sorted.length;
  const of = (i: number) => sorted[i < at ? i : i + 1]!;
  return (of((length - 1) >> 1) + of(length >> 1)) / 2;
}
