/**
 * A service with everything that `decide` looks up for it, made when desired state or map are swapped: candidates instead
 * of PoPs, prefix lists as intervals, shares as places on a circle.
 */
import type { DesiredService } from '../desired.ts';
import { type Prefix, parsePrefix } from '../ip.ts';
import { type MapGroup, noPop, type Population, type SteeringMap } from './map.ts';
import { compilePrefixes, type PrefixTable } from './prefixes.ts';
import { circle, saltOf } from './unit.ts';

export interface PreparedService {
  readonly service: DesiredService;
  /** The service's number in the desired state: its row of cells in live state. */
  readonly row: number;
  /** Undefined: no map, or it does not know the group yet; then the default list ranks. */
  readonly group: MapGroup | undefined;
  /** The same candidates by distance alone, for the control arm. */
  readonly geo: MapGroup | undefined;
  readonly population: Population | undefined;
  /** Map PoP number → candidate index, noPop when it is no candidate. */
  readonly candidateOfMapPop: Uint8Array;
  /** PoP number of the desired state → candidate index, noPop when it is no candidate. */
  readonly candidateOfPop: Uint8Array;
  /** Candidate index → PoP number of the desired state, for live state. */
  readonly popOfCandidate: Uint8Array;
  /** Client region → candidate index → 1 when `only` allows it; row 0 is the clients of no region. */
  readonly allowed: Uint8Array;
  readonly regions: PrefixTable | undefined;
  readonly overrides: PrefixTable | undefined;
  /** By value in `overrides`, less one. */
  readonly overrideRules: readonly OverrideRule[];
  /** Some clients are held to PoPs whatever their state. */
  readonly pinsSome: boolean;
  readonly shares: readonly ShareRule[];
  /** Places on the circle below this are the control arm. */
  readonly controlBelow: number;
  readonly controlSalt: number;
  /** Candidate index → salt by which its PoP keeps its cells: the same for all services. */
  readonly roomSalts: Int32Array;
  readonly ignoresSubnet: boolean;
}

export interface OverrideRule {
  readonly candidates: Uint8Array;
  readonly pin: boolean;
}

export interface ShareRule {
  readonly candidate: number;
  /** Places on the circle below this are the share's. */
  readonly below: number;
  readonly salt: number;
  /** Clients it takes from; undefined: all. */
  readonly clients: PrefixTable | undefined;
}

/** What a service says of clients, compiled once for all the maps that come while it stays as it is. */
interface Rules {
  readonly regions: PrefixTable | undefined;
  readonly overrides: PrefixTable | undefined;
  readonly shares: readonly (PrefixTable | undefined)[];
}
const compiled = new WeakMap<DesiredService, Rules>();

function rulesOf(service: DesiredService): Rules {
  let rules = compiled.get(service);
  if (rules === undefined) {
    const { overrides = [], shares = [], regions = [] } = service;
    rules = {
      regions: regions.length === 0 ? undefined : tableOf(regions.map(({ prefixes }) => prefixes)),
      overrides: overrides.length === 0 ? undefined : tableOf(overrides.map(({ prefixes }) => prefixes)),
      shares: shares.map(({ prefixes }) => prefixes && tableOf([prefixes])),
    };
    compiled.set(service, rules);
  }
  return rules;
}

/** `key`: of its group; `row`: its number in the desired state. */
export function prepareService(
  service: DesiredService,
  key: string,
  popIds: readonly string[],
  map: SteeringMap | undefined,
  row = 0,
): PreparedService {
  const { candidates, overrides = [], shares = [], controlShare = 0 } = service;
  const rules = rulesOf(service);
  const candidateOfPop = new Uint8Array(popIds.length).fill(noPop);
  for (const [index, { pop }] of candidates.entries()) candidateOfPop[pop] = index;
  const candidateOf = (pop: number): number => candidateOfPop[pop] ?? noPop;
  const isSteeredByGeo = service.policy === 'geo';
  const own: Omit<PreparedService, keyof MapPart> = {
    service,
    row,
    candidateOfPop,
    popOfCandidate: Uint8Array.from(candidates, ({ pop }) => pop),
    allowed: allowedRows(service),
    regions: rules.regions,
    overrides: rules.overrides,
    overrideRules: overrides.map(({ pops, pin }) => ({ candidates: Uint8Array.from(pops, candidateOf), pin })),
    pinsSome: overrides.some(({ pin }) => pin),
    shares: shares.map(({ pop, share }, i) => ({
      candidate: candidateOf(pop),
      below: share * circle,
      salt: saltOf(`share ${service.id} ${popIds[pop]}`),
      clients: rules.shares[i],
    })),
    controlBelow: isSteeredByGeo ? 0 : controlShare * circle,
    controlSalt: saltOf('control'),
    roomSalts: Int32Array.from(candidates, ({ pop }) => saltOf(`room ${popIds[pop]}`)),
    ignoresSubnet: service.ignoreSubnet === true,
  };
  return joined(own, mapPartOf(service, key, popIds, map, candidateOfPop));
}

/** The same service with another map: nothing is compiled again. */
export function withMap(
  prepared: PreparedService,
  key: string,
  popIds: readonly string[],
  map: SteeringMap,
): PreparedService {
  return joined(prepared, mapPartOf(prepared.service, key, popIds, map, prepared.candidateOfPop));
}

/** The one place where they are made, so that all have one shape for the answer path. */
function joined(own: Omit<PreparedService, keyof MapPart>, part: MapPart): PreparedService {
  return {
    group: part.group,
    geo: part.geo,
    population: part.population,
    candidateOfMapPop: part.candidateOfMapPop,
    service: own.service,
    row: own.row,
    candidateOfPop: own.candidateOfPop,
    popOfCandidate: own.popOfCandidate,
    allowed: own.allowed,
    regions: own.regions,
    overrides: own.overrides,
    overrideRules: own.overrideRules,
    pinsSome: own.pinsSome,
    shares: own.shares,
    controlBelow: own.controlBelow,
    controlSalt: own.controlSalt,
    roomSalts: own.roomSalts,
    ignoresSubnet: own.ignoresSubnet,
  };
}

type MapPart = Pick<PreparedService, 'group' | 'geo' | 'population' | 'candidateOfMapPop'>;

function mapPartOf(
  service: DesiredService,
  key: string,
  popIds: readonly string[],
  map: SteeringMap | undefined,
  candidateOfPop: Uint8Array,
): MapPart {
  const candidateOf = (id: string): number => candidateOfPop[popIds.indexOf(id)] ?? noPop;
  return {
    group: groupOf(map, key),
    geo: service.policy === 'geo' ? undefined : groupOf(map, geoKey(key)),
    population: map?.population,
    candidateOfMapPop: Uint8Array.from(map?.pops ?? [], candidateOf),
  };
}

/** A map's groups by key, made once a map: there may be as many as services. */
const groupsByKey = new WeakMap<SteeringMap, ReadonlyMap<string, MapGroup>>();

function groupOf(map: SteeringMap | undefined, key: string): MapGroup | undefined {
  if (map === undefined) return undefined;
  let groups = groupsByKey.get(map);
  if (groups === undefined) {
    groups = new Map(map.groups.map((group) => [group.key, group]));
    groupsByKey.set(map, groups);
  }
  return groups.get(key);
}

/** Key of the group with the same candidates and origin that ranks by distance alone. */
export function geoKey(key: string): string {
  return key.replace(/\|latency$/, '|geo');
}

function allowedRows({ candidates, only, regions = [] }: DesiredService): Uint8Array {
  const rows = [undefined, ...regions.map((region) => region.only)];
  const isAllowed = (pop: number, region: readonly number[] | undefined) =>
    (only === undefined || only.includes(pop)) && (region === undefined || region.includes(pop));
  return Uint8Array.from(rows.flatMap((region) => candidates.map(({ pop }) => (isAllowed(pop, region) ? 1 : 0))));
}

/** Number in the list + 1 is the value. Prefixes were checked with the configuration; what is none holds nobody. */
function tableOf(lists: readonly (readonly string[])[]): PrefixTable {
  return compilePrefixes(
    lists.flatMap((prefixes, i) =>
      prefixes.flatMap((text) => {
        const prefix: Prefix | undefined = parsePrefix(text);
        return prefix === undefined ? [] : [{ prefix, value: i + 1 }];
      }),
    ),
  );
}
