/**
 * Room for everybody: units of demand are given to PoPs by deferred acceptance (Gale and Shapley 1962, with capacities).
 *
 *     each unit asks the PoPs of its ranking in turn; a PoP that is over its limit sends away the units whose requests lose
 *     least by going on to their next one; these ask there, until none is sent away
 *
 * The outcome is stable: no unit would rather be at a PoP that has room for it, or that holds a unit that would lose less.
 *
 *     load   0 ──────────── soft ──────────── hard
 *            holds all       holds who would    holds no more
 *                            lose by leaving
 *
 * Only units at PoPs that are too full are looked at one by one: where everything fits, a run is two sums over all of them.
 * Pure; demand and limits come in any one unit.
 */
import { noPop } from './map.ts';
import { UnitRankings } from './unit-rankings.ts';

export interface Asking {
  /** By unit: what it asks for, requests a second. */
  readonly demand: ArrayLike<number>;
  /** PoPs in each ranking; their numbers are below it. */
  readonly width: number;
  /** The PoP at a step of its ranking, best first. */
  choice(unit: number, step: number): number;
  /** What a request of the unit costs at a PoP, milliseconds; NaN: not known. */
  cost(unit: number, pop: number): number;
  /** The same as `choice` by what the last fit gave it, noPop if that was its own: who was sent away stays so while it costs little. */
  kept?(unit: number, step: number): number;
}

/** By PoP. */
export interface PopLimits {
  readonly soft: ArrayLike<number>;
  readonly hard: ArrayLike<number>;
}

export const fitting = {
  /** What loses no more than both (of its cost) is sent away at the soft limit, and comes back for more than that. */
  lossMs: 5,
  lossShare: 0.1,
  /** Of the limits: what rankings are fitted to, so that what changes a little goes on to fit. */
  share: 0.97,
  /** While all fits, who was sent away is not looked at again for so long. */
  keepMs: 10 * 60_000,
  /** The same while second choices alone do not fit: perhaps there is no room for all of them. */
  secondMs: 30_000,
  /** Who goes to a PoP over its hard limit is taken to ask for more than in the mean from so many times that on. */
  surgeLeast: 1.03,
  /** And for so many times at most, and for so long. */
  surgeMax: 4,
  /** It is taken to ask for that much more than it does: what grows goes on growing until those who were sent on are gone. */
  surgeGrowth: 1.1,
  surgeMs: 30 * 60_000,
};

/** Sums of floats. */
const rounding = 1e-9;

/**
 * The step of its ranking at which each unit is let in, by unit; of `units` alone, by their order, if given. Rankings are
 * asked from step `from` on. A unit that no PoP has room for goes where most is free: its answer must be something, and
 * live shedding sees to the rest.
 */
export function assign(asking: Asking, limits: PopLimits, from = 0, units?: Uint32Array): Uint8Array {
  return new Assignment(asking, limits, from, units).run();
}

class Assignment {
  readonly #asking: Asking;
  readonly #limits: PopLimits;
  readonly #from: number;
  readonly #units: Uint32Array | undefined;
  readonly #steps: Uint8Array;
  /** PoP by unit; `noPop`: none has room. */
  readonly #at: Uint8Array;
  readonly #load: Float64Array;
  /** Of PoPs that were too full once. */
  readonly #held: (LeastFirst | undefined)[];
  /** Those that were sent away and are to ask again. */
  readonly #asks: number[] = [];
  /** Those that nobody had room for. */
  readonly #left: number[] = [];

  constructor(asking: Asking, limits: PopLimits, from: number, units: Uint32Array | undefined) {
    const count = units?.length ?? asking.demand.length;
    this.#asking = asking;
    this.#limits = limits;
    this.#from = from;
    this.#units = units;
    this.#steps = new Uint8Array(count).fill(from);
    this.#at = new Uint8Array(count).fill(noPop);
    this.#load = new Float64Array(asking.width);
    this.#held = new Array(asking.width).fill(undefined);
  }

  run(): Uint8Array {
    const { width } = this.#asking;
    const count = this.#steps.length;
    for (let i = 0; i < count; i++) {
      const unit = this.#unit(i);
      const demand = this.#asking.demand[unit]!;
      const pop = demand > 0 && this.#from < width ? this.#asking.choice(unit, this.#from) : noPop;
      this.#at[i] = pop;
      if (pop !== noPop) this.#load[pop]! += demand;
    }
    for (let pop = 0; pop < width; pop++) this.#sendAway(pop);
    while (this.#asks.length > 0) this.#ask(this.#asks.pop()!);
    for (const i of this.#left) this.#steps[i] = this.#roomiest(i);
    return this.#steps;
  }

  /** For one that nobody has room for: where most of it is free, of where it may go. */
  #roomiest(i: number): number {
    const unit = this.#unit(i);
    let best = this.#from;
    let most = Number.NEGATIVE_INFINITY;
    for (let step = this.#from; step < this.#asking.width; step++) {
      const pop = this.#asking.choice(unit, step);
      const free = this.#limits.hard[pop]! - this.#load[pop]!;
      if (free <= most) continue;
      most = free;
      best = step;
    }
    this.#load[this.#asking.choice(unit, best)]! += this.#asking.demand[unit]!;
    return best;
  }

  #unit(i: number): number {
    return this.#units === undefined ? i : this.#units[i]!;
  }

  #ask(i: number): void {
    const unit = this.#unit(i);
    const demand = this.#asking.demand[unit]!;
    const step = this.#steps[i]!;
    const pop = step < this.#asking.width ? this.#asking.choice(unit, step) : noPop;
    this.#at[i] = pop;
    if (pop === noPop) {
      this.#left.push(i);
      return;
    }
    this.#load[pop]! += demand;
    const held = this.#held[pop];
    if (held !== undefined) held.push(i, this.#lossOf(i, pop));
    this.#sendAway(pop);
  }

  #sendAway(pop: number): void {
    const [soft, hard] = [this.#limits.soft[pop]!, this.#limits.hard[pop]!];
    if (this.#load[pop]! <= soft + rounding) return;
    const held = this.#heldBy(pop);
    while (held.size > 0 && this.#load[pop]! > soft + rounding) {
      if (this.#load[pop]! <= hard + rounding && held.least() > 0) return;
      const i = held.pop();
      this.#load[pop]! -= this.#asking.demand[this.#unit(i)]!;
      this.#steps[i]!++;
      this.#asks.push(i);
    }
  }

  #heldBy(pop: number): LeastFirst {
    const known = this.#held[pop];
    if (known !== undefined) return known;
    const held = new LeastFirst();
    this.#held[pop] = held;
    for (let i = 0; i < this.#at.length; i++) if (this.#at[i] === pop) held.push(i, this.#lossOf(i, pop));
    return held;
  }

  /**
   * What each of its requests loses by going on, milliseconds; up to zero: next to nothing, all in all. What does not fit
   * at all goes first.
   */
  #lossOf(i: number, pop: number): number {
    const unit = this.#unit(i);
    if (this.#asking.demand[unit]! > this.#limits.hard[pop]!) return Number.NEGATIVE_INFINITY;
    const step = this.#steps[i]!;
    const next = step + 1 < this.#asking.width ? this.#asking.choice(unit, step + 1) : noPop;
    if (next === noPop) return Number.POSITIVE_INFINITY;
    const nextMs = this.#asking.cost(unit, next);
    const bestMs = this.#asking.cost(unit, this.#asking.choice(unit, this.#from));
    const little = Math.max(fitting.lossMs, fitting.lossShare * bestMs);
    const loss = Math.max(0, nextMs - this.#asking.cost(unit, pop));
    // All that it would have lost then, less what is little: where that is not above zero it may go.
    const beyond = nextMs - bestMs - little;
    if (Number.isNaN(loss) || Number.isNaN(beyond)) return Number.NEGATIVE_INFINITY;
    const kept = this.#asking.kept?.(unit, this.#from) ?? noPop;
    const stays = kept === noPop || kept === pop ? 0 : little;
    return beyond - stays <= 0 ? Math.min(0, loss - little - stays) : Math.max(Number.MIN_VALUE, loss - stays);
  }
}

/** A heap of units, the one with the least loss on top. */
class LeastFirst {
  readonly #cells: number[] = [];
  readonly #losses: number[] = [];

  get size(): number {
    return this.#cells.length;
  }

  least(): number {
    return this.#losses[0]!;
  }

  push(cell: number, loss: number): void {
    let at = this.#cells.length;
    this.#cells.push(cell);
    this.#losses.push(loss);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(at, parent)) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  pop(): number {
    const top = this.#cells[0]!;
    const cell = this.#cells.pop()!;
    const loss = this.#losses.pop()!;
    if (this.#cells.length === 0) return top;
    this.#cells[0] = cell;
    this.#losses[0] = loss;
    for (let at = 0; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < this.#cells.length && this.#isBefore(child, least)) least = child;
      }
      if (least === at) return top;
      this.#swap(at, least);
      at = least;
    }
  }

  #isBefore(a: number, b: number): boolean {
    return (
      this.#losses[a]! < this.#losses[b]! || (this.#losses[a] === this.#losses[b] && this.#cells[a]! > this.#cells[b]!)
    );
  }

  #swap(a: number, b: number): void {
    [this.#cells[a], this.#cells[b]] = [this.#cells[b]!, this.#cells[a]!];
    [this.#losses[a], this.#losses[b]] = [this.#losses[b]!, this.#losses[a]!];
  }
}

/**
 * Rankings that fit: first choices within the limits, and for the loss of any one PoP the second choices of its units
 * within hard limits. Those that differ from the unit's own, by unit.
 */
export function fit(asking: Asking, limits: PopLimits): UnitRankings {
  const fitted = new UnitRankings(asking.width, asking.demand.length);
  const steps = assign(asking, limits);
  for (let unit = 0; unit < steps.length; unit++) if (steps[unit]! > 0) promote(asking, fitted, unit, steps[unit]!, 0);
  fitSeconds(asking, limits, fitted);
  return fitted;
}

function promote(asking: Asking, fitted: UnitRankings, unit: number, from: number, to: number): void {
  const ranking = fitted.get(unit) ?? copied(asking, unit, fitted.add(unit));
  const pop = ranking[from]!;
  ranking.copyWithin(to + 1, to, from);
  ranking[to] = pop;
}

/** Second choices alone, in place: nobody moves. */
export function fitSeconds(asking: Asking, limits: PopLimits, fitted: UnitRankings): void {
  const { width } = asking;
  const choice = (unit: number, step: number) => (fitted.has(unit) ? fitted.at(unit, step) : asking.choice(unit, step));
  const after: Asking = { ...asking, choice };
  const { first, load, heirs } = loadsOf(after);
  for (let lost = 0; lost < width; lost++) {
    const room = Float64Array.from(load, (of, pop) => (pop === lost ? 0 : Math.max(0, limits.hard[pop]! - of)));
    if (room.every((free, pop) => pop === lost || heirs[lost * width + pop]! <= free + rounding)) continue;
    const units = unitsOf(first, lost);
    const next = assign(after, { soft: room, hard: room }, 1, units);
    for (const [i, unit] of units.entries()) if (next[i]! > 1) promote(asking, fitted, unit, next[i]!, 1);
  }
}

/**
 * Whether those who would go elsewhere by `after` than by `before` are worth it: they gain in the mean, or half of what
 * they ask for is beyond a soft limit now. What fits goes on otherwise: shared out anew, nearly as good, it would move many.
 */
export function isWorthIt(asking: Asking, { soft }: PopLimits, before: Asking['choice'], after: Asking['choice']) {
  const { demand, width } = asking;
  const [load, then] = [new Float64Array(width), new Float64Array(width)];
  let [moved, gain] = [0, 0];
  for (let unit = 0; unit < demand.length; unit++) {
    const of = demand[unit]!;
    if (of <= 0) continue;
    const [from, to] = [before(unit, 0), after(unit, 0)];
    load[from]! += of;
    then[to]! += of;
    if (from === to) continue;
    moved += of;
    const ms = asking.cost(unit, from) - asking.cost(unit, to);
    if (!Number.isNaN(ms)) gain += of * ms;
  }
  const over = (loads: Float64Array) => loads.reduce((sum, of, pop) => sum + Math.max(0, of - soft[pop]!), 0);
  return gain > fitting.lossMs * moved || over(load) - over(then) > moved / 2;
}

function copied({ width, choice }: Asking, unit: number, into: Uint8Array): Uint8Array {
  for (let step = 0; step < width; step++) into[step] = choice(unit, step);
  return into;
}

/** Whether rankings fit as they are within hard limits: first choices, and second ones for the loss of any one PoP. */
export function fits(asking: Asking, { hard }: PopLimits): { readonly first: boolean; readonly second: boolean } {
  const { width } = asking;
  const { load, heirs } = loadsOf(asking);
  let second = true;
  for (let pop = 0; pop < width; pop++) {
    if (load[pop]! > hard[pop]! + rounding) return { first: false, second: false };
    for (let lost = 0; lost < width; lost++) {
      if (lost !== pop && load[pop]! + heirs[lost * width + pop]! > hard[pop]! + rounding) second = false;
    }
  }
  return { first: true, second };
}

/** First choices by unit, what each PoP carries, and by lost PoP what each other one then carries more. */
function loadsOf({ demand, width, choice }: Asking) {
  const first = new Uint8Array(demand.length).fill(noPop);
  const load = new Float64Array(width);
  const heirs = new Float64Array(width * width);
  for (let unit = 0; unit < demand.length; unit++) {
    const of = demand[unit]!;
    if (of <= 0) continue;
    const pop = choice(unit, 0);
    first[unit] = pop;
    load[pop]! += of;
    if (width > 1) heirs[pop * width + choice(unit, 1)]! += of;
  }
  return { first, load, heirs };
}

function unitsOf(first: Uint8Array, pop: number): Uint32Array {
  let count = 0;
  for (const one of first) if (one === pop) count++;
  const units = new Uint32Array(count);
  for (let unit = 0, at = 0; unit < first.length; unit++) if (first[unit] === pop) units[at++] = unit;
  return units;
}
