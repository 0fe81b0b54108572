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
import { type DesiredService, type DesiredState, groupKey } from '../desired.ts';
import { type Address, type Family, formatPrefix } from '../ip.ts';
import { limits } from '../limits.ts';
import { createLive, LiveState, type LiveView, setLive, setRoom, setTimes, weekOf } from '../live.ts';
import { createDecision, decide } from './decide.ts';
import { type GroupCosts, Spread } from './judge.ts';
import { noPop, type SteeringMap } from './map.ts';
import { type PreparedService, prepareService } from './prepare.ts';
import { defaultRoom, RoomShares } from './room.ts';

/** What of a desired state decides where clients go. */
export type PlanState = Pick<DesiredState, 'pops' | 'origins' | 'services' | 'probe'> & {
  readonly room?: DesiredState['room'];
  /** Origins of its zones; absent: not told. */
  readonly zones?: readonly { readonly origin: string }[];
};

export interface PlanSide {
  readonly desired: PlanState;
  readonly map: SteeringMap | undefined;
  /** By group key. */
  readonly costs: ReadonlyMap<string, GroupCosts>;
  /** By PoP id; those that are not named take clients. */
  readonly states: ReadonlyMap<string, LiveState>;
}

/** Cells (/24, /48), by number. */
export interface PlanClients {
  readonly count: number;
  readonly family: ArrayLike<number>;
  readonly hi: ArrayLike<number>;
  readonly lo: ArrayLike<number>;
  /** In any unit. */
  readonly demand: ArrayLike<number>;
  /** ISO code; empty: not known. */
  country(client: number): string;
  /** Estimated round trip, milliseconds; NaN: none. */
  clientMs(client: number, pop: string): number;
}

export interface PlanInput {
  readonly before: PlanSide;
  readonly after: PlanSide;
  readonly clients: PlanClients;
  readonly nowMs: number;
  /** What edges say they carry now, by PoP id; PoPs that do not tell are absent. */
  readonly requestsPerSecond: ReadonlyMap<string, number>;
  /** Shares of their cells that full PoPs keep now, by id. */
  readonly keeps: Readonly<Record<string, number>>;
}

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

/** Names that decide alike, before and after. */
interface Pair {
  readonly name: string;
  readonly before: DesiredService;
  readonly after: DesiredService | undefined;
  /** Of demand. */
  readonly share: number;
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
  const decideAll = (side: PlanSide, of: 'before' | 'after') =>
    new Side(side, pairs, of, ids, input, chosen, demand, rate).settle();
  const [was, will] = [decideAll(before, 'before'), decideAll(after, 'after')];
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

/** Names of now, those that decide alike together: thousands of Ingresses are few classes. */
function pairsOf(before: PlanState, after: PlanState): Pair[] {
  const then = new Map(after.services.map((service) => [service.name, service]));
  const answered = before.services.filter((service) => service.answered && service.candidates.length > 0);
  const classes = new Map<string, Pair>();
  for (const service of answered) {
    const next = then.get(service.name);
    const key = `${kindOf(service, before)} ${next === undefined ? '' : kindOf(next, after)}`;
    const share = (classes.get(key)?.share ?? 0) + 1 / answered.length;
    classes.set(key, { name: service.name.replace(/\.$/, ''), before: service, after: next, share });
  }
  return [...classes.values()];
}

/** Equal texts decide alike. Shares are dealt by the service's id, so that it counts where there are some. */
function kindOf(service: DesiredService, { pops }: PlanState): string {
  const { id, name: _, owner: __, bindings: ___, check: ____, candidates, shares, ...rest } = service;
  const order = candidates.map(({ pop }) => pops[pop]!.id);
  return JSON.stringify([order, rest, shares === undefined ? '' : [id, shares]]);
}

/** All decisions under one state of things. */
class Side {
  readonly #side: PlanSide;
  readonly #pairs: readonly Pair[];
  readonly #clients: PlanClients;
  readonly #chosen: Uint32Array;
  readonly #demand: Float64Array;
  readonly #rate: number;
  readonly #nowMs: number;
  readonly #live: LiveView = createLive();
  readonly #prepared: readonly (PreparedService | undefined)[];
  /** Number in the state's PoPs → in those of both states. */
  readonly #numbers: readonly number[];
  readonly #choices: Int16Array;
  /** Of demand, by number in both states. */
  readonly #shares: Float64Array;
  readonly #room = new RoomShares();

  constructor(
    side: PlanSide,
    pairs: readonly Pair[],
    of: 'before' | 'after',
    ids: readonly string[],
    { clients, nowMs, keeps }: PlanInput,
    chosen: Uint32Array,
    demand: Float64Array,
    rate: number,
  ) {
    const { pops } = side.desired;
    this.#side = side;
    this.#pairs = pairs;
    this.#clients = clients;
    this.#chosen = chosen;
    this.#demand = demand;
    this.#rate = rate;
    this.#nowMs = nowMs;
    const own = pops.map(({ id }) => id);
    this.#numbers = own.map((id) => ids.indexOf(id));
    this.#prepared = pairs.map((pair) => {
      const service = pair[of];
      return service && prepareService(service, groupKey(service, pops), own, side.map);
    });
    this.#choices = new Int16Array(pairs.length * chosen.length).fill(-1);
    this.#shares = new Float64Array(ids.length);
    this.#room.adopt(keeps);
    for (const [number, id] of own.entries()) {
      const state = side.states.get(id) ?? LiveState.up;
      setLive(this.#live, number, { state, loadPerMille: 0, holdMs: 0, sinceSeconds: 0 });
    }
    setTimes(this.#live, weekOf(nowMs), limits.dns.feedbackMs);
  }

  /** Decides, and lets full PoPs let go as dns nodes would, until that changes nothing. */
  settle(): this {
    const { pops, room = defaultRoom } = this.#side.desired;
    this.#tellRoom();
    this.#decide();
    const loads = () => pops.map((_, number) => this.load(this.#numbers[number]!) ?? 0);
    if (loads().every((load) => load < room.soft) && pops.every(({ id }) => this.keeps(id) === 1)) return this;
    let words = '';
    const startMs = Math.ceil(this.#nowMs / limits.dns.feedbackMs) * limits.dns.feedbackMs;
    for (let turn = 0; turn < limits.plan.roomSteps; turn++) {
      const atMs = startMs + turn * limits.dns.feedbackMs;
      for (const [number, load] of loads().entries()) this.#room.observe(pops[number]!.id, load, atMs);
      this.#room.step(atMs, room);
      const next = JSON.stringify(this.#room.shares());
      if (turn > 0 && next === words) break;
      words = next;
      this.#tellRoom();
      this.#decide();
    }
    return this;
  }

  #tellRoom(): void {
    const { pops, room = defaultRoom } = this.#side.desired;
    for (const [number, { id }] of pops.entries()) {
      const { shed, band } = this.#room.words(id, room);
      setRoom(this.#live, number, shed, band);
    }
  }

  choice(pair: number, client: number): number {
    return this.#choices[pair * this.#chosen.length + client]!;
  }

  /** Of capacity; undefined: not known, or the PoP is not there. */
  load(number: number): number | undefined {
    const pop = this.#side.desired.pops[this.#numbers.indexOf(number)];
    return pop === undefined || this.#rate === 0
      ? undefined
      : (this.#shares[number]! * this.#rate) / pop.requestsPerSecond;
  }

  keeps(id: string): number {
    return this.#room.share(id);
  }

  #decide(): void {
    const { family, hi, lo } = this.#clients;
    const decision = createDecision();
    const client: Address = { family: 4, hi: 0, lo: 0 };
    const asked = { client, bySubnet: true };
    this.#shares.fill(0);
    for (const [pair, prepared] of this.#prepared.entries()) {
      if (prepared === undefined) continue;
      const { share } = this.#pairs[pair]!;
      for (let i = 0; i < this.#chosen.length; i++) {
        const cell = this.#chosen[i]!;
        client.family = family[cell] as Family;
        client.hi = hi[cell]!;
        client.lo = lo[cell]!;
        decide(prepared, this.#live, asked, client, decision);
        const candidate = decision.count === 0 ? noPop : decision.candidates[0]!;
        const number = candidate === noPop ? -1 : this.#numbers[prepared.popOfCandidate[candidate]!]!;
        this.#choices[pair * this.#chosen.length + i] = number;
        if (number >= 0) this.#shares[number]! += share * this.#demand[i]!;
      }
    }
  }
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
