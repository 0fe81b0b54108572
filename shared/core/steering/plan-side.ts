/**
 * Where all clients go under one state of things, decided by the code that answers; and, where PoPs are full, what their
 * shares come to while resolvers hold what they were told.
 */
import { type DesiredService, groupKey } from '../desired.ts';
import type { Address, Family } from '../ip.ts';
import { limits } from '../limits.ts';
import { createLive, LiveState, type LiveView, setLive, setRoom, setTimes, weekOf } from '../live.ts';
import { createDecision, decide } from './decide.ts';
import { noPop } from './map.ts';
import type { PlanClients, PlanInput, PlanSide, PlanState } from './plan-input.ts';
import { type PreparedService, prepareService } from './prepare.ts';
import { defaultRoom, RoomShares } from './room.ts';

/** Names that decide alike, before and after. */
export interface Pair {
  readonly name: string;
  readonly before: DesiredService;
  readonly after: DesiredService | undefined;
  /** Of demand. */
  readonly share: number;
}

/** Names of now, those that decide alike together: thousands of Ingresses are few classes. */
export function pairsOf(before: PlanState, after: PlanState): Pair[] {
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

const tickMs = 10_000;

/** All decisions under one state of things. */
export class Side {
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
  /** When a choice's answer has run out. */
  readonly #untilMs: Float64Array;
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
    this.#untilMs = new Float64Array(this.#choices.length);
    this.#shares = new Float64Array(ids.length);
    this.#room.adopt(keeps);
    for (const [number, id] of own.entries()) {
      const state = side.states.get(id) ?? LiveState.up;
      setLive(this.#live, number, { state, loadPerMille: 0, holdMs: 0, sinceSeconds: 0 });
    }
  }

  /**
   * Decides. Where PoPs are full, they let go and take back as dns nodes have them (room.ts), while resolvers hold what
   * they were told for its TTL: from `held`, what was there before, until shares have been steady for a while.
   */
  settle(held?: Side): this {
    const { pops, room = defaultRoom } = this.#side.desired;
    this.#tellRoom();
    this.#decideAll();
    const loads = () => pops.map((_, number) => this.load(this.#numbers[number]!) ?? 0);
    if (loads().every((load) => load < room.soft) && pops.every(({ id }) => this.keeps(id) === 1)) return this;
    if (held !== undefined) this.#startFrom(held);
    this.#room.step(this.#nowMs, room);
    let [shares, steadyMs] = ['', 0];
    for (let spentMs = tickMs; spentMs <= limits.plan.roomMs && steadyMs < limits.plan.steadyMs; spentMs += tickMs) {
      const atMs = this.#nowMs + spentMs;
      this.#askAgain(atMs);
      for (const [number, load] of loads().entries()) this.#room.observe(pops[number]!.id, load, atMs);
      this.#room.step(atMs, room);
      this.#tellRoom();
      const now = JSON.stringify(this.#room.shares());
      steadyMs = now === shares ? steadyMs + tickMs : 0;
      shares = now;
    }
    return this;
  }

  /** As resolvers hold it, each somewhere in its answer's life. */
  #startFrom(held: Side): void {
    this.#choices.set(held.#choices);
    for (let at = 0; at < this.#choices.length; at++) {
      const pair = Math.floor(at / this.#chosen.length);
      const ttlMs = 1_000 * this.#pairs[pair]!.before.ttlSecondsMax;
      this.#untilMs[at] = this.#nowMs + ttlMs * ((Math.imul(at, 0x9e3779b1) >>> 0) / 2 ** 32);
    }
    this.#countShares();
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

  #decideAll(): void {
    this.#untilMs.fill(0);
    this.#askAgain(this.#nowMs);
  }

  /** Those whose answer has run out by then are answered anew. */
  #askAgain(atMs: number): void {
    const { family, hi, lo } = this.#clients;
    const { feedbackMs } = limits.dns;
    const decision = createDecision();
    const client: Address = { family: 4, hi: 0, lo: 0 };
    const asked = { client, bySubnet: true };
    setTimes(this.#live, weekOf(this.#nowMs), feedbackMs - (atMs % feedbackMs));
    for (const [pair, prepared] of this.#prepared.entries()) {
      if (prepared === undefined) continue;
      for (let i = 0, at = pair * this.#chosen.length; i < this.#chosen.length; i++, at++) {
        if (this.#untilMs[at]! > atMs) continue;
        const cell = this.#chosen[i]!;
        client.family = family[cell] as Family;
        client.hi = hi[cell]!;
        client.lo = lo[cell]!;
        decide(prepared, this.#live, asked, client, decision);
        const candidate = decision.count === 0 ? noPop : decision.candidates[0]!;
        this.#choices[at] = candidate === noPop ? -1 : this.#numbers[prepared.popOfCandidate[candidate]!]!;
        this.#untilMs[at] = atMs + 1_000 * decision.ttlSeconds;
      }
    }
    this.#countShares();
  }

  #countShares(): void {
    this.#shares.fill(0);
    for (const [pair, { share }] of this.#pairs.entries()) {
      if (this.#prepared[pair] === undefined) continue;
      for (let i = 0, at = pair * this.#chosen.length; i < this.#chosen.length; i++, at++) {
        const number = this.#choices[at]!;
        if (number >= 0) this.#shares[number]! += share * this.#demand[i]!;
      }
    }
  }
}
