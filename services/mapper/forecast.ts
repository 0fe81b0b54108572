/**
 * What a proposed configuration would do: the map that the builder would build for it next is built, from all that it
 * would be built from, and both are decided by (core/steering/plan.ts). Of many clients every n-th is decided for.
 *
 *     clients, demand   cells that ask, by what edges count; where none tells, measured cells by their beacons, which are
 *                       a sample of page views
 */
import { type Address, type Family, formatPrefix } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import { LiveState } from '@ufes/core/live.ts';
import { locationOf } from '@ufes/core/steering/ground.ts';
import { Judge } from '@ufes/core/steering/judge.ts';
import type { Judgement, PopNow } from '@ufes/core/steering/judging.ts';
import type { SteeringMap } from '@ufes/core/steering/map.ts';
import { type Prediction, predict } from '@ufes/core/steering/plan.ts';
import { changesOf, type PlanChange } from '@ufes/core/steering/plan-changes.ts';
import type { PlanClients, PlanSide, PlanState } from '@ufes/core/steering/plan-input.ts';
import { defaultRoom } from '@ufes/core/steering/room.ts';
import { countryText } from '@ufes/geoip/geoip.ts';
import { beginBuild, followMsOf, type Known, tellPops } from './begin.ts';
import type { EvidenceTable } from './evidence.ts';
import type { Fed } from './feed.ts';
import { distancePrior } from './ground.ts';
import { planOf } from './plan.ts';
import { costsOf, demandOf } from './publisher.ts';

export interface Proposal {
  readonly desired: PlanState;
  /** Ids of PoPs that are to take no new clients, and of those that are to take some again. */
  readonly drained: readonly string[];
  readonly opened?: readonly string[];
}

export interface ForecastInput {
  /** What is built from now. */
  readonly fed: Fed;
  readonly desired: PlanState;
  readonly inService: SteeringMap | undefined;
  readonly known: Known;
  readonly pops: ReadonlyMap<string, PopNow>;
  /** Shares of their cells that full PoPs keep, by id. */
  readonly keeps: Readonly<Record<string, number>>;
  readonly nowMs: number;
}

export interface Forecast {
  readonly prediction: Prediction;
  readonly changes: readonly PlanChange[];
  /** What the judge would say of the map's moves; absent: nothing moves by the map. */
  readonly judged?: Pick<Judgement, 'reasons' | 'moved'>;
  /** Prefixes that are known to ask, those of them that were decided for, and those with evidence of their own. */
  readonly prefixes: number;
  readonly taken: number;
  readonly measured: number;
}

export function forecast(input: ForecastInput, proposal: Proposal): Forecast {
  const { fed, desired, inService, nowMs } = input;
  const { next, map } = trial(input, proposal);
  const before: PlanSide = {
    desired,
    map: inService,
    costs: costsOf(fed.plan),
    states: statesOf(input.pops, { drained: [] }),
  };
  const after: PlanSide = {
    desired: proposal.desired,
    map,
    costs: costsOf(next.plan),
    states: statesOf(input.pops, proposal),
  };
  const asking = askingOf(input);
  const clients = clientsOf(asking, next, fed);
  const judged = inService === undefined ? undefined : judge(input, proposal, next, map);
  return {
    prediction: predict({
      ...{ before, after, clients, nowMs },
      requestsPerSecond: toldLoads(input.pops),
      keeps: input.keeps,
    }),
    changes: changesOf(desired, proposal.desired),
    ...(judged !== undefined && { judged }),
    prefixes: asking.all,
    taken: asking.count,
    measured: input.known.table.prefixes,
  };
}

/** What things are now beside what they were: demand and estimates are those of now. */
export function rescore(
  input: ForecastInput,
  then: { readonly desired: PlanState; readonly map: SteeringMap | undefined; readonly closed: readonly string[] },
): Prediction {
  const { fed, desired, inService, nowMs } = input;
  const plan = planOf(then.desired, distancePrior);
  const before: PlanSide = {
    desired: then.desired,
    map: then.map,
    costs: costsOf(plan),
    states: new Map(then.closed.map((id) => [id, LiveState.down])),
  };
  const states = statesOf(input.pops, { drained: [] });
  const after: PlanSide = { desired, map: inService, costs: costsOf(fed.plan), states };
  const clients = clientsOf(askingOf(input), fed, fed);
  const requestsPerSecond = toldLoads(input.pops);
  return predict({ before, after, clients, nowMs, requestsPerSecond, keeps: input.keeps });
}

/** The next build for the proposal; where a map depends on nothing that it changes, the one there is. */
export function trial(input: ForecastInput, proposal: Proposal): { next: Fed; map: SteeringMap | undefined } {
  const { fed, inService, known, nowMs } = input;
  const { desired } = proposal;
  const plan = planOf(desired, distancePrior);
  if (JSON.stringify(plan) === JSON.stringify(fed.plan)) return { next: fed, map: inService };
  // Bases that it makes are its own.
  const on = { ...fed, bases: new Map(fed.build.input.bases) };
  const { fed: next } = beginBuild(plan, on, known, inService, nowMs);
  tellPops(popsThen(input, proposal), desired, next, inService, nowMs);
  return { next, map: next.build.build(nowMs, true) };
}

/** PoPs as they would be. */
function popsThen({ pops }: ForecastInput, { desired, drained, opened = [] }: Proposal): Map<string, PopNow> {
  return new Map(
    desired.pops.map(({ id, requestsPerSecond: capacity }) => {
      const now = pops.get(id);
      const isOpen = ((now?.isOpen ?? true) || opened.includes(id)) && !drained.includes(id);
      return [id, { ...now, capacity, isOpen }];
    }),
  );
}

function statesOf(
  pops: ReadonlyMap<string, PopNow>,
  { drained, opened = [] }: Pick<Proposal, 'drained' | 'opened'>,
): Map<string, LiveState> {
  const states = new Map<string, LiveState>();
  for (const [id, { isOpen }] of pops) if (!isOpen && !opened.includes(id)) states.set(id, LiveState.down);
  for (const id of drained) if (!states.has(id)) states.set(id, LiveState.draining);
  return states;
}

function toldLoads(pops: ReadonlyMap<string, PopNow>): Map<string, number> {
  const told = new Map<string, number>();
  for (const [id, { requestsPerSecond }] of pops) if (requestsPerSecond !== undefined) told.set(id, requestsPerSecond);
  return told;
}

/** Whether the moves that the map makes would be let go, and how soon. New groups of names are no moves. */
function judge(input: ForecastInput, proposal: Proposal, { plan, build }: Fed, after: SteeringMap | undefined) {
  const { inService: before, nowMs } = input;
  if (before === undefined || after === undefined || before === after) return undefined;
  const { hard } = proposal.desired.room ?? defaultRoom;
  const costs = costsOf(plan);
  const pops = popsThen(input, proposal);
  const followMs = followMsOf(proposal.desired.services);
  const demand = demandOf(build.sharing, nowMs);
  const { reasons, moved } = new Judge().judge({ before, after, nowMs, pops, hard, costs, followMs, ...demand });
  return moved.wanted === 0 && reasons.length === 0 ? undefined : { reasons, moved };
}

/** Cells that ask; every n-th of `all`. */
interface AskingCells {
  readonly all: number;
  readonly count: number;
  readonly family: Uint8Array;
  readonly hi: Uint32Array;
  readonly lo: Uint32Array;
  readonly demand: Float64Array;
}

function askingOf({ fed, known, nowMs }: ForecastInput): AskingCells {
  const { traffic, table } = known;
  const { cells } = fed.build;
  const all = traffic.cells > 0 ? traffic.cells : cells.count;
  const every = Math.max(1, Math.ceil(all / limits.plan.prefixes));
  const count = Math.ceil(all / every);
  const [family, hi, lo] = [new Uint8Array(count), new Uint32Array(count), new Uint32Array(count)];
  const demand = new Float64Array(count);
  let at = 0;
  const take = (ofFamily: Family, ofHi: number, ofLo: number, of: (cell: Address) => number) => {
    const number = at++ / every;
    if (!Number.isInteger(number)) return;
    family[number] = ofFamily;
    hi[number] = ofHi;
    lo[number] = ofLo;
    demand[number] = of({ family: ofFamily, hi: ofHi, lo: ofLo });
  };
  if (traffic.cells > 0) traffic.forEach(nowMs, (f, h, l, perSecond) => take(f, h, l, () => perSecond));
  else {
    const samples = (cell: Address) => samplesOf(table, fed.plan.sources, cell, nowMs);
    for (let row = 0; row < all; row++) {
      take(cells.family[row] === 4 ? 4 : 6, cells.hi[row]!, cells.lo[row]!, samples);
    }
  }
  return { all, count, family, hi, lo, demand };
}

/** Round trips to PoPs that the proposal has no more are those of the current build. */
function clientsOf(asking: AskingCells, next: Fed, fed: Fed): PlanClients {
  const { count, family, hi, lo, demand } = asking;
  const ids = [...new Set([...next.plan.pops, ...fed.plan.pops])];
  const ms = estimatesOf(asking, next, fed, ids);
  const numbers = new Map(ids.map((id, number) => [id, number]));
  const { country } = next.geoip.locations;
  return {
    ...{ count, family, hi, lo, demand },
    country: (client) => {
      const location = locationOf(next.ground, family[client] === 4 ? 4 : 6, hi[client]!, lo[client]!);
      return location < 0 ? '' : countryText(country[location]!);
    },
    clientMs: (client, pop) => ms[client * ids.length + (numbers.get(pop) ?? -1)] ?? Number.NaN,
  };
}

/**
 * Effective samples at all PoPs, those that are no more too, decayed: what beacons say of about the last day. A cell that was
 * measured at a PoP that goes has no less demand for that.
 */
function samplesOf(table: EvidenceTable, sources: readonly string[], cell: Address, nowMs: number): number {
  const number = table.numberOf(formatPrefix({ ...cell, length: cell.family === 4 ? 24 : 48 }));
  let samples = 0;
  if (number < 0) return samples;
  table.forEach(number, (entry) => {
    const { target, source } = table.rests[entry.rest]!;
    if (target.startsWith('pop:') && sources.includes(source)) samples += table.read(entry).effectiveN(nowMs);
  });
  return samples;
}

/** Client by client: round trips by number in `ids`, milliseconds. */
function estimatesOf(
  { count, family, hi, lo }: AskingCells,
  next: Fed,
  fed: Fed,
  ids: readonly string[],
): Float32Array {
  const ms = new Float32Array(count * ids.length).fill(Number.NaN);
  const gone = fed.plan.pops.filter((id) => !next.plan.pops.includes(id));
  for (let client = 0; client < count; client++) {
    const put = ({ build, plan }: Fed, pops: readonly string[]) => {
      const estimates = build.estimatesAt(family[client] === 4 ? 4 : 6, hi[client]!, lo[client]!);
      for (const id of pops) ms[client * ids.length + ids.indexOf(id)] = estimates.ms[plan.pops.indexOf(id)]!;
    };
    put(next, next.plan.pops);
    if (gone.length > 0) put(fed, gone);
  }
  return ms;
}
