/**
 * Everything one answer is made from: names, steered services, the map, live state. Prepared beside the tables in use
 * and put in service by one assignment, so that no query sees half of a change.
 */
import { type DesiredService, type DesiredState, groupKey } from '@ufes/core/desired.ts';
import { addressBytes, parsePrefix } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { LiveView } from '@ufes/core/live.ts';
import type { SteeringMap } from '@ufes/core/steering/map.ts';
import { compilePrefixes, type PrefixTable } from '@ufes/core/steering/prefixes.ts';
import { type PreparedService, prepareService, withMap } from '@ufes/core/steering/prepare.ts';
import type { Version } from '@ufes/core/version.ts';
import { runThrough, type Slices } from '@ufes/io/slices.ts';
import { type Binding, compileBindings } from './bindings.ts';
import type { AnswerCounts } from './counters.ts';
import { compileNamesInSlices, type Names } from './zones.ts';

export interface SteeredService {
  /** groupKey() of it. */
  readonly key: string;
  readonly service: DesiredService;
  readonly prepared: PreparedService;
  /** Candidate index → address, wire. */
  readonly v4: readonly (Uint8Array | undefined)[];
  readonly v6: readonly (Uint8Array | undefined)[];
  /** The same one after the other, for the fast path; undefined where a candidate has none. */
  readonly wire4: Uint8Array | undefined;
  readonly wire6: Uint8Array | undefined;
  /** Of the all-down rule `fallback`. */
  readonly fallback4: readonly Uint8Array[];
  readonly fallback6: readonly Uint8Array[];
  readonly bindings: readonly Binding[];
  /** Candidate index → slot in the counts of answers; the last is "no PoP". */
  readonly counts: Uint32Array;
}

interface ProbePop {
  readonly pop: number;
  readonly v4: Uint8Array | undefined;
  readonly v6: Uint8Array | undefined;
}

export interface Tables {
  readonly desired: DesiredState;
  readonly map: SteeringMap | undefined;
  readonly mapVersion: Version | undefined;
  /** From then on the map's measurements are too old to be passed over in silence. */
  readonly staleAtMs: number;
  readonly names: Names;
  /** By index in `desired.services`. */
  readonly services: readonly SteeredService[];
  readonly probePops: ReadonlyMap<string, ProbePop>;
  /** Peers that may ask why. */
  readonly explainClients: PrefixTable;
  /** Of `desired.pops`. */
  readonly live: LiveView;
}

export interface TablesInit {
  readonly desired: DesiredState;
  readonly map: SteeringMap | undefined;
  readonly mapVersion: Version | undefined;
  readonly live: LiveView;
  readonly counts: AnswerCounts;
  readonly names?: Names;
}

/** Throws ZONE_INVALID when the desired state cannot be served. */
export function buildTables(init: TablesInit): Tables {
  return runThrough(buildTablesInSlices(init));
}

/** The same, a few services at a time. */
export function* buildTablesInSlices(init: TablesInit): Slices<Tables> {
  const { desired, map, mapVersion, live, counts } = init;
  const popIds = desired.pops.map((pop) => pop.id);
  const names = init.names ?? (yield* compileNamesInSlices(desired));
  const services: SteeredService[] = [];
  for (const [row, service] of desired.services.entries()) {
    if (row % slice === 0) yield;
    const { candidates, allDown } = service;
    const key = groupKey(service, desired.pops);
    const fallback = allDown.rule === 'fallback' ? allDown.addresses : [];
    const v4 = candidates.map((candidate) => wireAddress(candidate.v4));
    const v6 = candidates.map((candidate) => wireAddress(candidate.v6));
    services.push({
      key,
      service,
      prepared: prepareService(service, key, popIds, map, row),
      v4,
      v6,
      wire4: joined(v4),
      wire6: joined(v6),
      fallback4: fallback.filter(({ family }) => family === 4).flatMap(({ address }) => wireAddress(address) ?? []),
      fallback6: fallback.filter(({ family }) => family === 6).flatMap(({ address }) => wireAddress(address) ?? []),
      bindings: compileBindings(service),
      counts: Uint32Array.from([...candidates.map(({ pop }) => popIds[pop]!), ''], (pop) =>
        counts.slot(service.id, pop),
      ),
    });
  }
  const probePops = new Map(
    desired.pops.map(({ id, vips }, pop) => [id, { pop, v4: wireAddress(vips.v4), v6: wireAddress(vips.v6) }]),
  );
  const mayAsk = (desired.debug?.explainClients ?? []).flatMap((text) => parsePrefix(text) ?? []);
  const explainClients = compilePrefixes(mayAsk.map((prefix) => ({ prefix, value: 1 })));
  return { desired, map, mapVersion, staleAtMs: staleAtMs(map), names, services, probePops, explainClients, live };
}

/** Services between two yields. */
const slice = 4;

/** The tables in use with another map, in slices; what does not come from a map is theirs. */
export function* withMapInSlices(before: Tables, map: SteeringMap, mapVersion: Version): Slices<Tables> {
  const popIds = before.desired.pops.map((pop) => pop.id);
  const services: SteeredService[] = [];
  for (const steered of before.services) {
    if (services.length % mapSlice === 0) yield;
    services.push(withPrepared(steered, withMap(steered.prepared, steered.key, popIds, map)));
  }
  return { ...before, map, mapVersion, staleAtMs: staleAtMs(map), services };
}

/** Written out, so that it has the shape that buildTables gives it. */
function withPrepared(steered: SteeredService, prepared: PreparedService): SteeredService {
  const { key, service, v4, v6, wire4, wire6, fallback4, fallback6, bindings, counts } = steered;
  return { key, service, prepared, v4, v6, wire4, wire6, fallback4, fallback6, bindings, counts };
}

/** A service takes microseconds. */
const mapSlice = 16;

function staleAtMs(map: SteeringMap | undefined): number {
  const isMeasured = map !== undefined && map.cells.v4.length + map.cells.v6hi.length > 0;
  return isMeasured ? map.createdAtMs + limits.dns.staleMs : Number.POSITIVE_INFINITY;
}

function joined(addresses: readonly (Uint8Array | undefined)[]): Uint8Array | undefined {
  if (!addresses.every((address) => address !== undefined)) return undefined;
  return Uint8Array.from(addresses.flatMap((address) => [...address]));
}

function wireAddress(text: string | undefined): Uint8Array | undefined {
  return text === undefined ? undefined : addressBytes(text);
}
