/**
 * What is believed of a client when a plan is drawn for it: from the map in service, its ranking and what it says of the
 * client's cell; from GeoIP, distances. What either does not say is left out, and then plans explore.
 *
 * The map is held whole: reading a cell's estimates from disk would cost a plan more than all else. GeoIP is only loaded
 * when a plan cannot ask for every PoP.
 */
import type { DesiredPop } from '@ufes/core/desired.ts';
import { describeError } from '@ufes/core/errors.ts';
import { type Address, cellOf, formatPrefix } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import { uncertaintyMs } from '@ufes/core/steering/asking.ts';
import { cellRow, findCell, findInterval, type MapGroup, noPop, type SteeringMap } from '@ufes/core/steering/map.ts';
import { decodeMapInSlices } from '@ufes/core/steering/map-bytes.ts';
import type { Beliefs } from '@ufes/core/steering/targets.ts';
import { type Geoip, openGeoip } from '@ufes/geoip/geoip.ts';
import { distanceKm, floorRttMs, priorRttMs } from '@ufes/geoip/prior.ts';
import { type ArtefactFollower, followArtefact } from '@ufes/io/artefact.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { runGently } from '@ufes/io/slices.ts';

export interface Believed extends Beliefs {
  /** What could still be gained for this client, milliseconds. */
  readonly uncertaintyMs: number;
}

export interface Knowledge {
  readonly follower: ArtefactFollower;
  /** Loads GeoIP if plans for so many PoPs need it. */
  wantedFor(pops: readonly DesiredPop[]): void;
  /** By number in `pops`. */
  about(client: Address, pops: readonly DesiredPop[]): Believed;
  /** Number of a client's AS, 0 when it has none; undefined while GeoIP, which this asks for, is not there. */
  asnOf(client: Address): number | undefined;
}

/** Tenths of a millisecond in a map; this is none. */
const noTime = 65_535;

export function createKnowledge(context: ServiceContext): Knowledge {
  const { config, state, log, rng, clock } = context;
  let geoip: Geoip | undefined;
  let wanted = false;
  let map: SteeringMap | undefined;
  const follower = followArtefact(context, 'map', async (payload) => {
    map = await runGently(decodeMapInSlices(payload), limits.probe.sliceMs, () => clock.monotonicMs());
  });
  const load = (): void => {
    if (wanted) return;
    wanted = true;
    openGeoip({ ...config.geoip, state, log }).then(
      (opened) => {
        geoip = opened;
      },
      (error: unknown) => log.warn({ error: describeError(error) }, 'plans are drawn without distances: no GeoIP'),
    );
  };
  return {
    follower,
    wantedFor(pops) {
      // One slot of a plan may be an origin's.
      if (pops.length >= limits.probe.targetsPerPlan) load();
    },
    asnOf(client) {
      load();
      return geoip?.asn(client);
    },
    about(client, pops) {
      const km = geoip === undefined ? undefined : distances(geoip, client, pops);
      const groups = map?.groups.filter(({ key }) => !key.endsWith('|geo')) ?? [];
      // Each service group has a ranking of its own: plans take turns.
      const group = groups[Math.floor(rng.next() * groups.length)];
      return believe(map, group, client, pops, km);
    },
  };
}

/** `km` by number in `pops`. */
export function believe(
  map: SteeringMap | undefined,
  group: MapGroup | undefined,
  client: Address,
  pops: readonly DesiredPop[],
  km: readonly number[] | undefined,
): Believed {
  const cell = map === undefined ? -1 : findCell(map.cells, client);
  const row = cell < 0 ? undefined : cellRow(map!, cell);
  const numbers = map === undefined ? [] : pops.map(({ id }) => map.pops.indexOf(id));
  const time = (column: ArrayLike<number> | undefined, pop: number): number => {
    const tenths = column?.[numbers[pop]!] ?? noTime;
    return tenths === noTime ? Number.NaN : tenths / 10;
  };
  const floorMs = (pop: number): number => (km === undefined ? Number.NaN : floorRttMs(km[pop]!));
  const beliefs = {
    ranking: rankingOf(map, group, client, pops, km),
    lowMs: pops.map((_, pop) => {
      const low = time(row?.low, pop);
      return Number.isNaN(low) ? floorMs(pop) : low;
    }),
    priorMs: pops.map((_, pop) => (km === undefined ? Number.NaN : priorRttMs(km[pop]!))),
  };
  const highMs = pops.map((_, pop) => time(row?.high, pop));
  return { ...beliefs, uncertaintyMs: uncertaintyMs(beliefs, highMs) };
}

/** As the client is steered now; PoPs that the map does not know come last, all by distance where there is no map. */
function rankingOf(
  map: SteeringMap | undefined,
  group: MapGroup | undefined,
  { family, hi, lo }: Address,
  pops: readonly DesiredPop[],
  km: readonly number[] | undefined,
): number[] {
  const ranking: number[] = [];
  if (map !== undefined && group !== undefined) {
    const index = family === 4 ? group.v4 : group.v6;
    const row = index.ranking[findInterval(index, hi, lo)]!;
    for (const number of group.rankings.subarray(row * group.width, (row + 1) * group.width)) {
      const pop = number === noPop ? -1 : pops.findIndex(({ id }) => id === map.pops[number]);
      if (pop >= 0) ranking.push(pop);
    }
  }
  const others = pops.map((_, pop) => pop).filter((pop) => !ranking.includes(pop));
  if (ranking.length === 0 && km !== undefined) others.sort((a, b) => km[a]! - km[b]!);
  return [...ranking, ...others];
}

function distances(geoip: Geoip, client: Address, pops: readonly DesiredPop[]): number[] | undefined {
  const found = geoip.lookup(client);
  if (found === undefined || Number.isNaN(found.latitude)) return undefined;
  return pops.map(({ latitude, longitude }) => distanceKm(found.latitude, found.longitude, latitude, longitude));
}

/** How many visitors of a cell come for a plan, of late: halved every hour. */
export class PlanDemand {
  readonly #counts = new Map<string, number>();
  #halvedAtMs: number | undefined;

  /** One came; how many did of late, itself included. */
  count(client: Address, nowMs: number): number {
    this.#halvedAtMs ??= nowMs;
    if (nowMs - this.#halvedAtMs >= limits.probe.demandHalfLifeMs) {
      this.#halvedAtMs = nowMs;
      for (const [cell, count] of this.#counts) {
        if (count < 2) this.#counts.delete(cell);
        else this.#counts.set(cell, count / 2);
      }
    }
    const cell = formatPrefix(cellOf(client));
    const count = (this.#counts.get(cell) ?? 0) + 1;
    if (count > 1 || this.#counts.size < limits.probe.demandCells) this.#counts.set(cell, count);
    return count;
  }
}
