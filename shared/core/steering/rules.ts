/**
 * What rules take from the rankings of a group: overrides, shares and the control arm send some of its demand where they
 * say, however full that PoP is. Rankings are fitted to what is left of both, demand and room (sharing.ts).
 *
 *     names of a group ─▶ those that decide alike ─▶ unit → PoP by a rule, or none: its ranking decides
 *
 * Decided by the code that answers, as if each cell asked by itself. Pure; time comes in as a number.
 */
import type { Address } from '../ip.ts';
import { createLive, LiveState, type LiveView, setLive, setTimes, weekOf } from '../live.ts';
import type { Base } from './base.ts';
import { widened } from './cell-index.ts';
import { createDecision, decide, Why } from './decide.ts';
import { type CellTable, type MapGroup, noPop, type SteeringMap } from './map.ts';
import { geoKey, type PreparedService, prepareService } from './prepare.ts';
import type { RulingPlan } from './ruling.ts';

/** Cells that ask, by unit. */
interface Units {
  readonly count: number;
  readonly family: Uint8Array;
  readonly hi: Uint32Array;
  readonly lo: Uint32Array;
}

/** Of one group. */
export class Rules {
  readonly #kinds: readonly { readonly prepared: PreparedService; readonly share: number }[];
  /** Candidate → place in the group, by kind. */
  readonly #places: readonly Uint8Array[];
  readonly #live: LiveView = createLive();
  readonly #pops: readonly string[];
  /** By kind, place by unit; noPop: its ranking decides. */
  #sent: Uint8Array[];
  #decided = 0;
  #week = -1;
  #closed: ReadonlySet<string> = new Set();

  /** `ids`: PoPs of the group by place. */
  constructor({ pops, rulings }: RulingPlan, key: string, ids: readonly string[], base: Base) {
    const map = mapByDistance(key, ids, base);
    this.#pops = pops;
    this.#kinds = rulings.map(({ service, share }) => ({ prepared: prepareService(service, key, pops, map), share }));
    this.#places = this.#kinds.map(({ prepared }) =>
      prepared.popOfCandidate.map((pop) => {
        const place = ids.indexOf(pops[pop]!);
        return place < 0 ? noPop : place;
      }),
    );
    this.#sent = this.#kinds.map(() => new Uint8Array(0));
  }

  /** Decides for units that are new, or for all when PoPs (ids) were closed or opened, or the control arm is another. */
  update(units: Units, closed: ReadonlySet<string>, nowMs: number): void {
    const week = weekOf(nowMs);
    if (week !== this.#week || closed.symmetricDifference(this.#closed).size > 0) this.#decided = 0;
    this.#week = week;
    this.#closed = closed;
    if (this.#decided === units.count) return;
    setTimes(this.#live, week, 0);
    for (const [pop, id] of this.#pops.entries()) {
      const state = closed.has(id) ? LiveState.draining : LiveState.up;
      setLive(this.#live, pop, { state, loadPerMille: 0, holdMs: 0, sinceSeconds: 0 });
    }
    this.#sent = this.#kinds.map((_, kind) => this.#decide(kind, units));
    this.#decided = units.count;
  }

  #decide(kind: number, { count, family, hi, lo }: Units): Uint8Array {
    const { prepared } = this.#kinds[kind]!;
    const sent = widened(this.#sent[kind]!, count);
    const decision = createDecision();
    const client: Address = { family: 4, hi: 0, lo: 0 };
    const asked = { client, bySubnet: true };
    for (let unit = this.#decided; unit < count; unit++) {
      client.family = family[unit] === 4 ? 4 : 6;
      client.hi = hi[unit]!;
      client.lo = lo[unit]!;
      decide(prepared, this.#live, asked, client, decision);
      const why = decision.count === 0 ? Why.map : decision.by[0];
      const isRuled = why === Why.override || why === Why.share || why === Why.control;
      sent[unit] = isRuled ? this.#places[kind]![decision.candidates[0]!]! : noPop;
    }
    return sent;
  }

  /** The share of a unit's demand that goes by its ranking, 0 to 1. */
  free(unit: number): number {
    let free = 1;
    if (unit >= this.#decided) return free;
    for (const [kind, { share }] of this.#kinds.entries()) if (this.#sent[kind]![unit] !== noPop) free -= share;
    return Math.max(0, free);
  }

  /** What rules send to each place, of what units ask for. */
  loads(demand: ArrayLike<number>, width: number): Float64Array {
    const loads = new Float64Array(width);
    for (const [kind, { share }] of this.#kinds.entries()) {
      const sent = this.#sent[kind]!;
      for (let unit = 0; unit < this.#decided; unit++) {
        if (sent[unit] !== noPop) loads[sent[unit]!]! += share * demand[unit]!;
      }
    }
    return loads;
  }

  /** Share of a unit's demand that rules send to a place. */
  shareTo(unit: number, place: number): number {
    let share = 0;
    if (unit >= this.#decided) return share;
    for (const [kind, of] of this.#kinds.entries()) if (this.#sent[kind]![unit] === place) share += of.share;
    return share;
  }
}

const [none32, none16] = [new Uint32Array(0), new Uint16Array(0)];
const noCells: CellTable = {
  ...{ v4: none32, v6hi: none32, v6lo: none32, estimate: none16, low: none16, high: none16, n: none16 },
  tier: new Uint8Array(0),
};

/** A map that ranks by distance alone: rules ask for nothing else. */
function mapByDistance(key: string, pops: readonly string[], { rows, v4, v6 }: Base): SteeringMap {
  const group: MapGroup = { key, width: pops.length, rankings: rows.bytes(), v4, v6 };
  return {
    ...{ createdAtMs: 0, pops, sources: [], geoip: '', cells: noCells },
    groups: [group, { ...group, key: geoKey(key) }],
  };
}
