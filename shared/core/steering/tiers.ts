/**
 * Tiers 2 to 4: what is believed of the way from a place to a PoP, from what others measured.
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
import { Around } from './around.ts';
import { distanceKm, type Vectors } from './base.ts';
import { widened } from './cell-index.ts';
import type { Cells, OwnRow } from './cells.ts';
import { type Estimates, estimation, type Prior } from './estimation.ts';
import { Tier } from './map.ts';
import { type Middles, medianByPicking } from './medians.ts';
import { NearMetros } from './near-metros.ts';
import { Basis, Errors } from './prediction-errors.ts';
import { Belief, type Residuals } from './residuals.ts';
import type { Metros } from './spots.ts';
import { Votes } from './votes.ts';

/** Cells of a metro that vote, evenly picked of more: a median of so many is sure, and the work bounded. */
const votersMax = 500;
/** Metros of one update, and cells of each, that predictions are tried on, evenly picked too: a ring of errors holds a thousand. */
const learnedMax = 1_000;
const learnersMax = 50;
/** What a residual must change by to be told, milliseconds: less changes no ranking. */
const tellMs = 0.25;
/** Number of the kind that edges time themselves: nobody can be nearer than it says. */
const edgeTimed = 0;

interface Known {
  readonly all: Residuals;
  readonly byAsn: ReadonlyMap<number, Residuals>;
  /** For the metros around (around.ts). */
  readonly kin: Float64Array;
}

/** What is believed of a metro, and of the ASes that have residuals of their own there. */
interface Area {
  readonly all: Belief;
  byAsn: Map<number, Belief> | undefined;
}

const noAsns: ReadonlyMap<number, Residuals> = new Map();

export class Tiers {
  readonly errors = new Errors();
  readonly #cells: Cells;
  readonly #metros: Metros;
  readonly #pops: number;
  readonly #prior: Prior;
  readonly #popVectors: Vectors;
  /** By cell row. */
  #metroOf = new Int32Array(0);
  #asnOf = new Uint32Array(0);
  #line = new Float32Array(0);
  #disputed = new Uint8Array(0);
  #seen = 0;
  readonly #rows = new Map<number, number[]>();
  /** By metro. */
  readonly #known: (Known | undefined)[];
  readonly #areas: (Area | undefined)[];
  readonly #nothing: Belief;
  #dirty = new Set<number>();
  readonly #near: NearMetros;
  readonly #isNews: Uint8Array;
  readonly #votes: Votes;
  readonly #around: Around;
  readonly #scratch: Belief;

  constructor(cells: Cells, metros: Metros, popVectors: Vectors, prior: Prior) {
    this.#cells = cells;
    this.#metros = metros;
    this.#pops = cells.pops;
    this.#prior = prior;
    this.#popVectors = popVectors;
    this.#near = new NearMetros(metros);
    this.#isNews = new Uint8Array(metros.count);
    this.#known = new Array<Known | undefined>(metros.count).fill(undefined);
    this.#areas = new Array<Area | undefined>(metros.count).fill(undefined);
    this.#nothing = new Belief(this.#pops);
    for (let pop = 0; pop < this.#pops; pop++) this.#nothing.put(pop, 0, 0, Basis.prior);
    this.#votes = new Votes(this.#pops);
    this.#around = new Around(popVectors, this.#pops);
    this.#scratch = new Belief(this.#pops);
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
    this.#isNews.fill(0);
    for (const metro of changed) this.#isNews[metro] = 1;
    for (let metro = 0; metro < this.#metros.count; metro++) {
      if (this.#near.hasNear(metro, this.#isNews)) told.add(metro);
    }
    for (const metro of told) {
      if (changed.has(metro)) this.#areas[metro] = undefined;
      else if (this.#keepsArea(metro)) told.delete(metro);
    }
    const learned = [...changed];
    const step = Math.max(1, learned.length / learnedMax);
    for (let i = 0; i < learned.length; i += step) this.#learn(learned[Math.floor(i)]!);
    return told;
  }

  /** ASes of a metro that have residuals of their own. */
  asnsOf(metro: number): Iterable<number> {
    return this.#known[metro]?.byAsn.keys() ?? [];
  }

  metroOf(row: number): number {
    return this.#metroOf[row]!;
  }

  asnOf(row: number): number {
    return this.#asnOf[row]!;
  }

  /** What is believed of a place; `metro` -1: nothing is known of it but distances; `asn` 0: none. */
  beliefOf(metro: number, asn: number): Belief {
    if (metro < 0) return this.#nothing;
    const area = this.#areaOf(metro);
    const own = asn === 0 ? undefined : this.#known[metro]?.byAsn.get(asn);
    if (own === undefined) return area.all;
    let belief = area.byAsn?.get(asn);
    if (belief === undefined) {
      belief = withAsn(area.all, own, this.#pops);
      area.byAsn ??= new Map();
      area.byAsn.set(asn, belief);
    }
    return belief;
  }

  /** The round trip that is believed of one way; `residualMs` is the belief's; NaN: the distance is not known. */
  expectedMs(km: number, residualMs: number): number {
    if (Number.isNaN(km)) return Number.NaN;
    return Math.fround(Math.max(this.#prior.floorMs(km), this.#prior.expectedMs(km) + residualMs));
  }

  /** The round trip alone of `estimate`. */
  estimateMs(belief: Belief, km: number, pop: number, lineMs: number | undefined): number {
    if (Number.isNaN(km)) return Number.NaN;
    return Math.max(this.#prior.floorMs(km), this.#prior.expectedMs(km) + belief.ms(pop) + (lineMs ?? 0));
  }

  /** What is believed of one way into `out[pop]`, without bounds. `lineMs` undefined: the line is not known. */
  estimate(belief: Belief, km: number, pop: number, lineMs: number | undefined, out: Estimates): void {
    const basis = belief.basis(pop);
    const isKnown = !Number.isNaN(km);
    out.n[pop] = 0;
    out.ms[pop] = this.estimateMs(belief, km, pop, lineMs);
    if (!isKnown) out.tier[pop] = Tier.none;
    else out.tier[pop] = basis === Basis.asn ? Tier.asnMetro : basis === Basis.prior ? Tier.prior : Tier.spatial;
  }

  /** Its bounds. */
  bound(belief: Belief, km: number, pop: number, lineMs: number | undefined, out: Estimates): void {
    if (Number.isNaN(km)) {
      out.lowMs[pop] = 0;
      out.highMs[pop] = Number.POSITIVE_INFINITY;
      return;
    }
    const floor = this.#prior.floorMs(km);
    const ms = this.estimateMs(belief, km, pop, lineMs);
    const bin = this.errors.bin(belief.basis(pop), lineMs !== undefined, ms);
    const low = this.errors.low[bin]!;
    const high = this.errors.high[bin]!;
    const ceiling = Number.isNaN(high) ? this.#prior.ceilingMs(km) + belief.ms(pop) : ms + high;
    out.lowMs[pop] = Number.isNaN(low) ? floor : Math.min(ms, Math.max(floor, ms + low));
    out.highMs[pop] = Math.max(ms, ceiling);
  }

  /** What changed around a metro changed what is believed of it by too little: then that stays, until it adds up. */
  #keepsArea(metro: number): boolean {
    const held = this.#areas[metro]?.all;
    if (held === undefined) return false;
    const now = this.#fill(metro, this.#scratch);
    for (let pop = 0; pop < this.#pops; pop++) {
      if (now.basis(pop) === held.basis(pop) && Math.abs(now.ms(pop) - held.ms(pop)) <= tellMs) continue;
      this.#areas[metro] = { all: now.copy(), byAsn: undefined };
      return false;
    }
    return true;
  }

  #areaOf(metro: number): Area {
    let area = this.#areas[metro];
    if (area === undefined) {
      area = { all: this.#fill(metro, new Belief(this.#pops)), byAsn: undefined };
      this.#areas[metro] = area;
    }
    return area;
  }

  #fill(metro: number, belief: Belief): Belief {
    const around = this.#lookAround(metro);
    const own = this.#known[metro]?.all;
    for (let pop = 0; pop < this.#pops; pop++) {
      const votes = own?.votes(pop) ?? 0;
      const [ms, slackMs] = [around.ms[pop]!, around.slackMs[pop]!];
      if (own === undefined || votes < estimation.metroVotes) {
        belief.put(pop, ms, slackMs, around.basis[pop]!);
        belief.rest(pop, around.frailMs[pop]!, around.votes[pop]!);
      } else {
        // One cell is in one metro: it moves this one's median, or what is around.
        const slack = Math.max(blended(votes, own.slackMs(pop), 0), blended(votes, 0, slackMs));
        belief.put(pop, blended(votes, own.ms(pop), ms), slack, Basis.metro);
        const leftMs = leftOf(votes, own.ms(pop) - ms, estimation.metroShrinkage);
        belief.rest(pop, blended(votes, 0, around.frailMs[pop]!) + leftMs, votes);
      }
    }
    return belief;
  }

  /** Residuals by the metros around, weighted by distance, and what they rest on; valid until the next call. */
  #lookAround(metro: number): Around {
    const around = this.#around;
    around.clear();
    const country = this.#metros.country[metro]!;
    this.#near.forEach(metro, (near, km) => {
      if (near === metro) return;
      const border = this.#metros.country[near] === country ? 1 : estimation.spatialBorder;
      around.take(this.#known[near]!.kin, km, border);
    });
    around.end();
    return around;
  }

  /** Counts the votes of a metro again. True when it says something else. */
  #recount(metro: number): boolean {
    const rows = this.#rows.get(metro);
    if (rows === undefined) return false;
    const votes = this.#votesOf(rows);
    const all = this.#polish(votes);
    let byAsn: Map<number, Residuals> | undefined;
    for (const [asn, cells] of this.#cellsByAsn(votes)) {
      if (asn === 0 || cells.length < estimation.votes) continue;
      votes.spread(this.#line, cells);
      const residuals = votes.medians(estimation.votes);
      if (!residuals.hasVotes(estimation.votes)) continue;
      byAsn ??= new Map();
      byAsn.set(asn, residuals);
    }
    const before = this.#known[metro];
    if (before === undefined && !all.hasVotes(estimation.metroVotes)) return false;
    const known = { all, byAsn: byAsn ?? noAsns, kin: this.#around.kinOf(all) };
    if (before !== undefined && !isNews(before, known, this.#pops)) return false;
    this.#known[metro] = known;
    this.#near.announce(metro);
    return true;
  }

  /** Valid until the next call. */
  #votesOf(rows: readonly number[]): Votes {
    const { first, entries, entryKind, entryPop, kind, p25, n, km, place, pops } = this.#cells;
    const votes = this.#votes;
    votes.clear();
    const step = Math.max(1, rows.length / votersMax);
    for (let i = 0; i < rows.length; i += step) {
      const row = rows[Math.floor(i)]!;
      if (this.#disputed[row] === 1) continue;
      const from = place[row]! * pops;
      const own = kind[row]!;
      const end = first[row]! + entries[row]!;
      for (let at = first[row]!; at < end; at++) {
        if (entryKind[at] !== own || Math.round(n[at]!) < estimation.voteN) continue;
        const pop = entryPop[at]!;
        const ms = p25[at]! - this.#prior.expectedMs(km[from + pop]!);
        if (!Number.isNaN(ms)) votes.add(pop, ms);
      }
      votes.endCell(row);
    }
    return votes;
  }

  /** By AS, cells among those that vote. */
  #cellsByAsn(votes: Votes): Map<number, number[]> {
    const byAsn = new Map<number, number[]>();
    for (let cell = 0; cell < votes.cells; cell++) {
      const asn = this.#asnOf[votes.row[cell]!]!;
      const cells = byAsn.get(asn);
      if (cells === undefined) byAsn.set(asn, [cell]);
      else cells.push(cell);
    }
    return byAsn;
  }

  /** Medians by PoP and lines by row, in turns (median polish, Tukey 1977). Keeps the lines. */
  #polish(votes: Votes): Residuals {
    const line = this.#line;
    const lines = new Float64Array(votes.cells);
    const turns = 3;
    let levels = votes.nothing;
    for (let turn = 0; turn < turns; turn++) {
      for (let cell = 0; cell < votes.cells; cell++) {
        const own = Math.fround(votes.line(cell, levels, -1));
        line[votes.row[cell]!] = own;
        lines[cell] = own;
      }
      const level = medianByPicking(lines, 0, votes.cells);
      for (let cell = 0; cell < votes.cells; cell++) line[votes.row[cell]!]! -= level;
      votes.spread(line);
      if (turn < turns - 1) levels = votes.roughMedians();
    }
    return votes.medians(estimation.metroVotes);
  }

  /** Predicts the votes of a metro as if each one's cell had not been measured there. */
  #learn(metro: number): void {
    const known = this.#known[metro]!;
    const votes = this.#votesOf(this.#rows.get(metro)!);
    const all = this.#spreadOf(votes);
    const ofAsn = new Map<number, Middles>();
    for (const [asn, cells] of this.#cellsByAsn(votes)) {
      if (known.byAsn.has(asn)) ofAsn.set(asn, this.#spreadOf(votes, cells));
    }
    const around = this.#lookAround(metro);
    const step = Math.max(1, votes.cells / learnersMax);
    for (let i = 0; i < votes.cells; i += step) {
      const cell = Math.floor(i);
      const row = votes.row[cell]!;
      const own = ofAsn.get(this.#asnOf[row]!);
      for (let at = votes.first[cell]!; at < votes.first[cell + 1]!; at++) {
        const pop = votes.pop[at]!;
        const ms = votes.ms[at]!;
        const value = ms - this.#line[row]!;
        const prior = this.#prior.expectedMs(this.#cells.km[this.#cells.kmFrom(row) + pop]!);
        const line = votes.votesOf(cell) < 2 ? undefined : votes.line(cell, known.all.values, pop);
        this.#learnAs(Basis.prior, prior, 0, ms, line);
        const beyond = around.ms[pop]!;
        if (around.basis[pop] !== Basis.prior) this.#learnAs(around.basis[pop]!, prior, beyond, ms, line);
        const others = all.counts[pop]! - 1;
        if (others < estimation.metroVotes) continue;
        const metroMs = blended(others, all.without(pop, value), beyond);
        this.#learnAs(Basis.metro, prior, metroMs, ms, line);
        const others1 = own === undefined ? 0 : own.counts[pop]! - 1;
        if (own === undefined || others1 < estimation.votes) continue;
        const asnMs = blendedAsn(others1, own.without(pop, value), metroMs);
        this.#learnAs(Basis.asn, prior, asnMs, ms, line);
      }
    }
  }

  #spreadOf(votes: Votes, cells?: readonly number[]): Middles {
    votes.spread(this.#line, cells);
    return votes.middles();
  }

  #learnAs(basis: number, priorMs: number, residualMs: number, ms: number, lineMs: number | undefined): void {
    this.errors.add(basis, false, priorMs + residualMs, ms - residualMs);
    if (lineMs !== undefined) this.errors.add(basis, true, priorMs + residualMs + lineMs, ms - residualMs - lineMs);
  }
}

function withAsn(area: Belief, own: Residuals, pops: number): Belief {
  const belief = area.copy();
  for (let pop = 0; pop < pops; pop++) {
    const votes = own.votes(pop);
    if (votes < estimation.votes) continue;
    // One cell votes in both.
    const slack = blendedAsn(votes, own.slackMs(pop), area.slackMs(pop));
    belief.put(pop, blendedAsn(votes, own.ms(pop), area.ms(pop)), slack, Basis.asn);
    const leftMs = leftOf(votes, own.ms(pop) - area.ms(pop), estimation.asnShrinkage);
    belief.rest(pop, blendedAsn(votes, 0, area.frailMs(pop)) + leftMs, votes);
  }
  return belief;
}

/** How far a blend moves by the weight of one vote of so many. */
function leftOf(votes: number, apartMs: number, kappa: number): number {
  return (Math.abs(apartMs) * kappa) / ((votes + kappa) * (votes - 1 + kappa));
}

function blendedAsn(votes: number, ms: number, metroMs: number): number {
  return (votes * ms + estimation.asnShrinkage * metroMs) / (votes + estimation.asnShrinkage);
}

function blended(votes: number, ms: number, aroundMs: number): number {
  return (votes * ms + estimation.metroShrinkage * aroundMs) / (votes + estimation.metroShrinkage);
}

function isNews(before: Known, after: Known, pops: number): boolean {
  if (differ(before.all, after.all, estimation.metroVotes, pops) || before.byAsn.size !== after.byAsn.size) return true;
  for (const [asn, residuals] of after.byAsn) {
    const old = before.byAsn.get(asn);
    if (old === undefined || differ(old, residuals, estimation.votes, pops)) return true;
  }
  return false;
}

function differ(a: Residuals, b: Residuals, least: number, pops: number): boolean {
  for (let pop = 0; pop < pops; pop++) {
    if (a.votes(pop) >= least !== b.votes(pop) >= least) return true;
    if (b.votes(pop) >= least && Math.abs(a.ms(pop) - b.ms(pop)) > tellMs) return true;
  }
  return false;
}
