/**
 * What a proposed configuration would do: the demand of the last day is decided twice by the code that answers, once as
 * things are and once as they would be, and the two are compared.
 *
 *     services ─▶ classes that decide alike ┐          ┌─ before: desired state, map in service, live state
 *     clients ─▶ demand, estimates ─────────┴▶ decide ─┤
 *                      ▲                               └─ after:  proposed state, map built for it
 *                      └── room: shares that full PoPs keep, until loads are steady (room.ts)
 *
 * Demand is shared alike among the names there are now; a name that is added has none yet. Pure; time comes in as a number.
 */

import { type DesiredService, groupKey } from '../desired.ts';
import { type Family, formatPrefix } from '../ip.ts';
import { limits } from '../limits.ts';
import type { GroupCosts } from './judging.ts';
import type { PlanInput, PlanSide } from './plan-input.ts';
import { type Pair, pairsOf, Side } from './plan-side.ts';
import { defaultRoom } from './room.ts';
import { Spread } from './spread.ts';

export interface PlannedPop {
  readonly pop: string;
  /** Of demand, 0 to 1. */
  readonly shareBefore: number;
  readonly shareAfter: number;
  readonly gained: number;
  readonly lost: number;
  /** Of capacity, 0 to 1 and above; absent: no edge tells its load, or the PoP is not there. */
  readonly loadBefore?: number;
  readonly loadAfter?: number;
  /** As its edge tells it now, of capacity. */
  readonly loadTold?: number;
  /** Share of its cells that it would keep; below 1 it is full. */
  readonly keeps: number;
}

export interface PlannedCountry {
  readonly country: string;
  /** Of demand. */
  readonly demand: number;
  readonly moved: number;
  readonly meanBeforeMs: number;
  readonly meanAfterMs: number;
}

export interface PlannedHarm {
  readonly prefix: string;
  readonly country: string;
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly beforeMs: number;
  readonly afterMs: number;
  /** Of demand. */
  readonly share: number;
}

export interface PlannedResponse {
  readonly meanBeforeMs: number;
  readonly meanAfterMs: number;
  readonly p95BeforeMs: number;
  readonly p95AfterMs: number;
  /** Share of demand that it is estimated for. */
  readonly known: number;
}

/** Shares are of demand, 0 to 1; response times are k · client leg + backbone leg, milliseconds. */
export interface Prediction {
  readonly moved: number;
  /** Of names that would go. */
  readonly ended: number;
  /** Would be answered no PoP. */
  readonly nowhere: number;
  readonly response: PlannedResponse;
  readonly soft: number;
  readonly hard: number;
  readonly pops: readonly PlannedPop[];
  /** Those that something changes for, most demand first. */
  readonly countries: readonly PlannedCountry[];
  /** Worse by more than limits.plan.harmMs. */
  readonly harmed: { readonly share: number; readonly meanMs: number; readonly worst: readonly PlannedHarm[] };
  readonly helped: { readonly share: number; readonly meanMs: number };
  /** Clients that were decided for, and the demand that they are of all. */
  readonly clients: number;
  /** Longest TTL of the names that are there now: then clients have followed. */
  readonly ttlSeconds: number;
}

export function predict(input: PlanInput): Prediction {
  const { before, after, clients } = input;
  const ids = [...new Set([...before.desired.pops, ...after.desired.pops].map(({ id }) => id))];
  const pairs = pairsOf(before.desired, after.desired);
  const step = Math.max(1, Math.ceil((clients.count * pairs.length) / limits.plan.decisions));
  const chosen = Uint32Array.from({ length: Math.ceil(clients.count / step) }, (_, i) => i * step);
  const total = Math.max(
    1e-9,
    chosen.reduce((sum, client) => sum + clients.demand[client]!, 0),
  );
  const demand = Float64Array.from(chosen, (client) => clients.demand[client]! / total);
  const rate = [...input.requestsPerSecond.values()].reduce((sum, one) => sum + one, 0);
  const sideOf = (side: PlanSide, of: 'before' | 'after') =>
    new Side(side, pairs, of, ids, input, chosen, demand, rate);
  const was = sideOf(before, 'before').settle();
  const will = sideOf(after, 'after').settle(was);
  const tally = new Tally(input, ids, pairs, chosen, demand);
  for (let pair = 0; pair < pairs.length; pair++) {
    for (let i = 0; i < chosen.length; i++) tally.add(pair, i, was.choice(pair, i), will.choice(pair, i));
  }
  return {
    ...tally.result(),
    ...(after.desired.room ?? defaultRoom),
    pops: ids.map((id, number) => ({
      pop: id,
      ...tally.pop(number),
      ...loadsOf(id, number, was, will, input),
      keeps: will.keeps(id),
    })),
    clients: chosen.length,
    ttlSeconds: before.desired.services.reduce((most, { ttlSecondsMax }) => Math.max(most, ttlSecondsMax), 0),
  };
}

function loadsOf(id: string, number: number, was: Side, will: Side, { before, requestsPerSecond }: PlanInput) {
  const [loadBefore, loadAfter] = [was.load(number), will.load(number)];
  const told = requestsPerSecond.get(id);
  const capacity = before.desired.pops.find((pop) => pop.id === id)?.requestsPerSecond;
  return {
    ...(loadBefore !== undefined && { loadBefore }),
    ...(loadAfter !== undefined && { loadAfter }),
    ...(told !== undefined && capacity !== undefined && { loadTold: told / capacity }),
  };
}

interface CountrySum {
  demand: number;
  moved: number;
  known: number;
  beforeMs: number;
  afterMs: number;
}

class Tally {
  readonly #input: PlanInput;
  readonly #ids: readonly string[];
  readonly #pairs: readonly Pair[];
  readonly #chosen: Uint32Array;
  readonly #demand: Float64Array;
  readonly #costs: readonly (readonly [GroupCosts | undefined, GroupCosts | undefined])[];
  readonly #pops: { shareBefore: number; shareAfter: number; gained: number; lost: number }[];
  readonly #countries = new Map<string, CountrySum>();
  readonly #was = new Spread();
  readonly #will = new Spread();
  readonly #harmed = { share: 0, sum: 0 };
  readonly #helped = { share: 0, sum: 0 };
  #worst: PlannedHarm[] = [];
  #moved = 0;
  #ended = 0;
  #nowhere = 0;

  constructor(
    input: PlanInput,
    ids: readonly string[],
    pairs: readonly Pair[],
    chosen: Uint32Array,
    demand: Float64Array,
  ) {
    this.#input = input;
    this.#ids = ids;
    this.#pairs = pairs;
    this.#chosen = chosen;
    this.#demand = demand;
    const costs = ({ costs: all, desired }: PlanSide, service: DesiredService | undefined) =>
      service && all.get(groupKey(service, desired.pops));
    this.#costs = pairs.map((pair) => [costs(input.before, pair.before), costs(input.after, pair.after)]);
    this.#pops = ids.map(() => ({ shareBefore: 0, shareAfter: 0, gained: 0, lost: 0 }));
  }

  /** One client of one class: PoP numbers before and after, -1: none. */
  add(pair: number, i: number, from: number, to: number): void {
    const { share: classShare, after } = this.#pairs[pair]!;
    const share = classShare * this.#demand[i]!;
    if (from >= 0) this.#pops[from]!.shareBefore += share;
    if (after === undefined) {
      this.#ended += share;
      return;
    }
    if (to >= 0) this.#pops[to]!.shareAfter += share;
    else this.#nowhere += share;
    const country = this.#country(this.#input.clients.country(this.#chosen[i]!));
    country.demand += share;
    if (from !== to) {
      this.#moved += share;
      country.moved += share;
      if (from >= 0) this.#pops[from]!.lost += share;
      if (to >= 0) this.#pops[to]!.gained += share;
    }
    this.#time(pair, i, from, to, share, country);
  }

  #time(pair: number, i: number, from: number, to: number, share: number, country: CountrySum): void {
    if (from < 0 || to < 0) return;
    const [a, b] = this.#costs[pair]!;
    const beforeMs = this.#costMs(a, i, from);
    const afterMs = this.#costMs(b, i, to);
    if (Number.isNaN(beforeMs) || Number.isNaN(afterMs)) return;
    this.#was.add(beforeMs, share);
    this.#will.add(afterMs, share);
    country.known += share;
    country.beforeMs += share * beforeMs;
    country.afterMs += share * afterMs;
    const worseMs = afterMs - beforeMs;
    if (Math.abs(worseMs) <= limits.plan.harmMs) return;
    const sum = worseMs > 0 ? this.#harmed : this.#helped;
    sum.share += share;
    sum.sum += share * Math.abs(worseMs);
    if (worseMs > 0) this.#remember(pair, i, from, to, beforeMs, afterMs, share);
  }

  #costMs(costs: GroupCosts | undefined, i: number, pop: number): number {
    const id = this.#ids[pop]!;
    const ms = this.#input.clients.clientMs(this.#chosen[i]!, id);
    return costs === undefined ? ms : costs.k * ms + (costs.backboneMs.get(id) ?? 0);
  }

  #remember(pair: number, i: number, from: number, to: number, beforeMs: number, afterMs: number, share: number): void {
    const client = this.#chosen[i]!;
    const { family, hi, lo, country } = this.#input.clients;
    const cell = { family: family[client] as Family, hi: hi[client]!, lo: lo[client]! };
    this.#worst.push({
      prefix: formatPrefix({ ...cell, length: cell.family === 4 ? 24 : 48 }),
      country: country(client),
      name: this.#pairs[pair]!.name,
      from: this.#ids[from]!,
      to: this.#ids[to]!,
      ...{ beforeMs, afterMs, share },
    });
    if (this.#worst.length >= 20 * limits.plan.worst) this.#worst = this.#mostHarm();
  }

  /** By what demand loses altogether. */
  #mostHarm(): PlannedHarm[] {
    const harm = ({ beforeMs, afterMs, share }: PlannedHarm) => share * (afterMs - beforeMs);
    return this.#worst.sort((a, b) => harm(b) - harm(a)).slice(0, limits.plan.worst);
  }

  #country(code: string): CountrySum {
    let sum = this.#countries.get(code);
    if (sum === undefined) {
      sum = { demand: 0, moved: 0, known: 0, beforeMs: 0, afterMs: 0 };
      this.#countries.set(code, sum);
    }
    return sum;
  }

  pop(number: number) {
    return this.#pops[number]!;
  }

  result() {
    const meanOf = ({ share, sum }: { share: number; sum: number }) => (share === 0 ? 0 : sum / share);
    const per = (sum: number, known: number) => (known === 0 ? 0 : sum / known);
    const countries = [...this.#countries]
      .filter(([, one]) => one.moved > 0 || Math.abs(one.afterMs - one.beforeMs) > 1e-6 * one.known)
      .sort(([, a], [, b]) => b.moved - a.moved || b.demand - a.demand)
      .slice(0, limits.plan.countries)
      .map(([country, { demand, moved, known, beforeMs, afterMs }]) => {
        return { country, demand, moved, meanBeforeMs: per(beforeMs, known), meanAfterMs: per(afterMs, known) };
      });
    return {
      moved: this.#moved,
      ended: this.#ended,
      nowhere: this.#nowhere,
      response: {
        meanBeforeMs: this.#was.mean(),
        meanAfterMs: this.#will.mean(),
        p95BeforeMs: this.#was.quantile(0.95),
        p95AfterMs: this.#will.quantile(0.95),
        known: this.#was.weight,
      },
      countries,
      harmed: { share: this.#harmed.share, meanMs: meanOf(this.#harmed), worst: this.#mostHarm() },
      helped: { share: this.#helped.share, meanMs: meanOf(this.#helped) },
    };
  }
}
