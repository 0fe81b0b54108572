/**
 * What a proposed configuration would do, from the evidence in memory: a map is built for it as the builder would build
 * it, and both are decided by (core/steering/plan.ts). Of many prefixes every n-th is taken, so that the mapper goes on
 * mapping. Demand is what beacons say, which are a sample of page views.
 */
import { formatPrefix } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import { LiveState } from '@ufes/core/live.ts';
import { SteeringBuild } from '@ufes/core/steering/build.ts';
import type { Cells } from '@ufes/core/steering/cells.ts';
import { Judge, type Judgement, type PopNow } from '@ufes/core/steering/judge.ts';
import type { SteeringMap } from '@ufes/core/steering/map.ts';
import { type Prediction, predict } from '@ufes/core/steering/plan.ts';
import { changesOf, type PlanChange } from '@ufes/core/steering/plan-changes.ts';
import type { PlanClients, PlanSide, PlanState } from '@ufes/core/steering/plan-input.ts';
import { defaultRoom } from '@ufes/core/steering/room.ts';
import { countryText } from '@ufes/geoip/geoip.ts';
import type { EvidenceTable } from './evidence.ts';
import { type Fed, feedCell } from './feed.ts';
import { distancePrior } from './ground.ts';
import { planOf } from './plan.ts';
import { costsOf } from './publisher.ts';

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
  readonly table: EvidenceTable;
  readonly pops: ReadonlyMap<string, PopNow>;
  /** Shares of their cells that full PoPs keep, by id. */
  readonly keeps: Readonly<Record<string, number>>;
  readonly nowMs: number;
}

export interface Forecast {
  readonly prediction: Prediction;
  readonly changes: readonly PlanChange[];
  /** What the judge would say of the map's moves; absent: nothing moves by the map, or a part of the prefixes was taken. */
  readonly judged?: Pick<Judgement, 'reasons' | 'moved'>;
  /** Measured prefixes, and those that were taken of them. */
  readonly prefixes: number;
  readonly taken: number;
}

export function forecast(input: ForecastInput, proposal: Proposal): Forecast {
  const { fed, desired, inService, table, nowMs } = input;
  const step = Math.max(1, Math.ceil(table.prefixes / limits.plan.prefixes));
  const { next, map } = proposed(input, proposal.desired, step);
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
  const clients = clientsOf(input, next, step);
  const judged = step > 1 || inService === undefined ? undefined : judge(input, proposal, next, map);
  return {
    prediction: predict({
      ...{ before, after, clients, nowMs },
      requestsPerSecond: toldLoads(input.pops),
      keeps: input.keeps,
    }),
    changes: changesOf(desired, proposal.desired),
    ...(judged !== undefined && { judged }),
    prefixes: table.prefixes,
    taken: clients.count,
  };
}

/** What things are now beside what they were: demand and estimates are those of now. */
export function rescore(
  input: ForecastInput,
  then: { readonly desired: PlanState; readonly map: SteeringMap | undefined; readonly closed: readonly string[] },
): Prediction {
  const { fed, desired, inService, table, nowMs } = input;
  const plan = planOf(then.desired, distancePrior);
  const before: PlanSide = {
    desired: then.desired,
    map: then.map,
    costs: costsOf(plan),
    states: new Map(then.closed.map((id) => [id, LiveState.down])),
  };
  const states = statesOf(input.pops, { drained: [] });
  const after: PlanSide = { desired, map: inService, costs: costsOf(fed.plan), states };
  const clients = clientsOf(input, fed, Math.max(1, Math.ceil(table.prefixes / limits.plan.prefixes)));
  const requestsPerSecond = toldLoads(input.pops);
  return predict({ before, after, clients, nowMs, requestsPerSecond, keeps: input.keeps });
}

/** The build for the proposal; where a map depends on nothing that it changes, the one there is. */
function proposed({ fed, inService, table, nowMs }: ForecastInput, desired: PlanState, step: number) {
  const plan = planOf(desired, distancePrior);
  if (JSON.stringify(plan) === JSON.stringify(fed.plan)) return { next: fed, map: inService };
  const { ground, geoip, build: current } = fed;
  const bases = new Map(current.input.bases);
  const build = new SteeringBuild({ ...plan, ground, prior: distancePrior, bases });
  const next: Fed = { build, plan, ground, geoip };
  let number = 0;
  for (const text of table.prefixTexts()) if (number++ % step === 0) feedCell(next, table, text, nowMs);
  if (inService !== undefined) build.resume(inService);
  return { next, map: build.build(nowMs, true) };
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
function judge(
  { inService: before, pops, nowMs }: ForecastInput,
  { desired, drained, opened = [] }: Proposal,
  { plan }: Fed,
  after: SteeringMap | undefined,
): Forecast['judged'] {
  if (before === undefined || after === undefined || before === after) return undefined;
  const now = desired.pops.map(({ id, requestsPerSecond: capacity }): [string, PopNow] => {
    const known = pops.get(id);
    return [
      id,
      { ...known, capacity, isOpen: ((known?.isOpen ?? true) || opened.includes(id)) && !drained.includes(id) },
    ];
  });
  const { hard } = desired.room ?? defaultRoom;
  const { reasons, moved } = new Judge().judge({
    before,
    after,
    nowMs,
    pops: new Map(now),
    hard,
    costs: costsOf(plan),
  });
  return moved.wanted === 0 && reasons.length === 0 ? undefined : { reasons, moved };
}

/** Cells of the proposal's build; round trips to PoPs that it has no more are those of the current one. */
function clientsOf({ fed, table, nowMs }: ForecastInput, next: Fed, step: number): PlanClients {
  const { cells } = next.build;
  // A build of its own holds every n-th prefix already.
  const every = next === fed ? step : 1;
  const rows = Uint32Array.from({ length: Math.ceil(cells.count / every) }, (_, i) => i * every);
  const ids = [...new Set([...next.plan.pops, ...fed.plan.pops])];
  const ms = estimatesOf(next, fed, rows, ids);
  const numbers = new Map(ids.map((id, number) => [id, number]));
  const { country } = next.geoip.locations;
  return {
    count: rows.length,
    family: column(cells.family, rows),
    hi: column(cells.hi, rows),
    lo: column(cells.lo, rows),
    demand: Float64Array.from(rows, (row) => demandOf(table, fed.plan.sources, cells, row, nowMs)),
    country: (client) => {
      const location = cells.location[rows[client]!]!;
      return location < 0 ? '' : countryText(country[location]!);
    },
    clientMs: (client, pop) => ms[client * ids.length + (numbers.get(pop) ?? -1)] ?? Number.NaN,
  };
}

function column(values: Uint8Array | Uint32Array, rows: Uint32Array): Uint32Array {
  return rows.map((row) => values[row]!);
}

/**
 * Effective samples at all PoPs, those that are no more too, decayed: what beacons say of about the last day. A cell that was
 * measured at a PoP that goes has no less demand for that.
 */
function demandOf(table: EvidenceTable, sources: readonly string[], cells: Cells, row: number, nowMs: number): number {
  const family = cells.family[row] === 4 ? 4 : 6;
  const text = formatPrefix({ family, hi: cells.hi[row]!, lo: cells.lo[row]!, length: family === 4 ? 24 : 48 });
  const number = table.numberOf(text);
  let samples = 0;
  if (number < 0) return samples;
  table.forEach(number, (entry) => {
    const { target, source } = table.rests[entry.rest]!;
    if (target.startsWith('pop:') && sources.includes(source)) samples += table.read(entry).effectiveN(nowMs);
  });
  return samples;
}

/** Row by row: round trips by number in `ids`, milliseconds. */
function estimatesOf(next: Fed, fed: Fed, rows: Uint32Array, ids: readonly string[]): Float32Array {
  const ms = new Float32Array(rows.length * ids.length).fill(Number.NaN);
  for (const [client, row] of rows.entries()) {
    const own = next.build.estimates(row);
    for (const [pop, id] of next.plan.pops.entries()) ms[client * ids.length + ids.indexOf(id)] = own.ms[pop]!;
    if (next === fed) continue;
    const old = sameCell(next.build.cells, row, fed.build.cells);
    if (old < 0) continue;
    const then = fed.build.estimates(old);
    for (const [pop, id] of fed.plan.pops.entries()) {
      if (!next.plan.pops.includes(id)) ms[client * ids.length + ids.indexOf(id)] = then.ms[pop]!;
    }
  }
  return ms;
}

function sameCell(cells: Cells, row: number, others: Cells): number {
  return others.rowOf(cells.family[row] === 4 ? 4 : 6, cells.hi[row]!, cells.lo[row]!);
}
