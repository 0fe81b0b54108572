/** For tests: services with rules, maps from intervals, and random ones of both, drawn by fast-check. */
import fc from 'fast-check';
import type { AllDown, DesiredService } from '../desired.ts';
import { type Address, formatPrefix, parseAddress, parsePrefix, prefixOf } from '../ip.ts';
import { createLive, LiveState, type LiveView, liveBuffer, setForce, setLive, setRoom, setRowForces } from '../live.ts';
import type { Asked } from './decide.ts';
import type { IntervalIndex, MapGroup, SteeringMap } from './map.ts';
import { compilePrefixes } from './prefixes.ts';
import { type PreparedService, prepareService } from './prepare.ts';

export const popIds = ['fra', 'iad', 'lon', 'sin'];

export function service(over: Partial<DesiredService> = {}): DesiredService {
  return {
    id: 'shop',
    name: 'www.shop.example.',
    owner: 'config',
    answered: true,
    policy: 'latency',
    candidates: popIds.map((_, pop) => ({ pop, v4: `192.0.2.${pop + 1}` })),
    origin: 'eu',
    k: 3,
    answers: 1,
    ttlSecondsMin: 5,
    ttlSecondsMax: 60,
    allDown: { rule: 'serve-preferred' },
    ...over,
  };
}

export type Intervals = readonly (readonly [from: string, ranking: readonly number[]])[];

export const key = 'fra,iad,lon,sin|eu|3|latency';

export function group(name: string, v4: Intervals, v6: Intervals = [['::', v4[0]![1]]]): MapGroup {
  const rows: string[] = [];
  const row = (ranking: readonly number[]): number => {
    const text = ranking.join();
    if (!rows.includes(text)) rows.push(text);
    return rows.indexOf(text);
  };
  const index = (family: 4 | 6, intervals: Intervals): IntervalIndex => {
    const starts = intervals.map(([from, ranking]) => ({ ...parseAddress(from)!, row: row(ranking) }));
    const kept = starts.filter((one, i) => i === 0 || one.row !== starts[i - 1]!.row);
    return {
      family,
      hi: Uint32Array.from(kept, ({ hi }) => hi),
      lo: Uint32Array.from(family === 4 ? [] : kept, ({ lo }) => lo),
      ranking: Uint32Array.from(kept, (one) => one.row),
    };
  };
  const indexes = { v4: index(4, v4), v6: index(6, v6) };
  const rankings = Uint8Array.from(
    rows.flatMap((text) => {
      const pops = text === '' ? [] : text.split(',').map(Number);
      return popIds.map((_, i) => pops[i] ?? 255);
    }),
  );
  return { key: name, width: popIds.length, rankings, ...indexes };
}

export function mapOf(groups: readonly MapGroup[], over: Partial<SteeringMap> = {}): SteeringMap {
  const none = new Uint32Array(0);
  const short = new Uint16Array(0);
  const cells = { v4: none, v6hi: none, v6lo: none, estimate: short, low: short, high: short, n: short };
  const tier = new Uint8Array(0);
  return { createdAtMs: 1, pops: popIds, sources: [], geoip: '', groups, cells: { ...cells, tier }, ...over };
}

/** Resolver prefix → the cell of its clients. */
export function populationOf(entries: readonly (readonly [resolver: string, client: string])[]) {
  const clients = entries.map(([, client]) => parseAddress(client)!);
  const table = compilePrefixes(entries.map(([resolver], i) => ({ prefix: parsePrefix(resolver)!, value: i + 1 })));
  return {
    ...table,
    family: Uint8Array.from([4, ...clients.map(({ family }) => family)]),
    hi: Uint32Array.from([0, ...clients.map(({ hi }) => hi)]),
    lo: Uint32Array.from([0, ...clients.map(({ lo }) => lo)]),
  };
}

export type PopCondition = 'up' | 'down' | 'draining' | 'full';

export function setCondition(live: LiveView, pop: number, condition: PopCondition): void {
  const state = condition === 'full' ? LiveState.up : LiveState[condition];
  setLive(live, pop, { state, loadPerMille: 0, holdMs: 0, sinceSeconds: 1 });
  setRoom(live, pop, condition === 'full' ? 65_536 : 0, 0);
}

export const bySubnet = (client: Address): Asked => ({ client, bySubnet: true });
export const byResolver: Asked = { client: { family: 4, hi: 0, lo: 0 }, bySubnet: false };
export const resolver: Address = parseAddress('203.0.113.9')!;

export const anyAddress: fc.Arbitrary<Address> = fc
  .tuple(fc.boolean(), fc.nat(0xffffffff), fc.nat(0xffffffff))
  .map(([isV4, hi, lo]) =>
    isV4
      ? { family: 4, hi: hi % 3 === 0 ? 0x51020000 | (hi & 0x3ffff) : hi, lo: 0 }
      : { family: 6, hi: 0x20010000 | (hi & 0x3ff), lo: lo % 2 === 0 ? (lo & 0xfff00000) >>> 0 : lo },
  );

const anyPrefix = fc
  .tuple(anyAddress, fc.integer({ min: 1, max: 64 }))
  .map(([address, length]) => formatPrefix(prefixOf(address, address.family === 4 ? Math.min(length, 32) : length)));
const anyPop = fc.nat(popIds.length - 1);
const anyPops = fc.shuffledSubarray([0, 1, 2, 3], { minLength: 1 });
const anyPrefixes = fc.array(anyPrefix, { minLength: 1, maxLength: 6 });

const anyIntervals = (family: 4 | 6): fc.Arbitrary<Intervals> =>
  fc.array(fc.tuple(anyAddress, fc.integer({ min: 1, max: 48 }), anyPops), { maxLength: 10 }).map((list): Intervals => {
    const starts = new Map<string, readonly number[]>([[family === 4 ? '0.0.0.0' : '::', [0, 1, 2, 3]]]);
    const own = list.filter(([address]) => address.family === family);
    for (const [address, length, ranking] of own) {
      const { hi, lo } = prefixOf(address, family === 4 ? Math.min(24, length) : length);
      starts.set(formatPrefix({ family, hi, lo, length: 0 }).split('/')[0]!, ranking);
    }
    const place = (text: string) => {
      const { hi, lo } = parseAddress(text)!;
      return hi * 2 ** 32 + lo;
    };
    return [...starts].sort(([a], [b]) => place(a) - place(b));
  });

const anyGroup = (name: string) => fc.tuple(anyIntervals(4), anyIntervals(6)).map(([v4, v6]) => group(name, v4, v6));

export interface World {
  readonly service: DesiredService;
  readonly map: SteeringMap | undefined;
  readonly prepared: PreparedService;
  readonly live: LiveView;
}

const anyService: fc.Arbitrary<DesiredService> = fc
  .record({
    only: fc.option(anyPops, { nil: undefined, freq: 2 }),
    answers: fc.integer({ min: 1, max: 3 }),
    allDown: fc.constantFrom<AllDown>(
      { rule: 'serve-preferred' },
      { rule: 'nodata' },
      { rule: 'fallback', addresses: [{ family: 4, address: '192.0.2.99' }] },
    ),
    overrides: fc.array(fc.record({ prefixes: anyPrefixes, pops: anyPops, pin: fc.boolean() }), { maxLength: 3 }),
    shares: fc.array(
      fc.record({ pop: anyPop, share: fc.double({ min: 0, max: 1, noNaN: true }), prefixes: anyPrefixes }),
      { maxLength: 2 },
    ),
    regions: fc.array(fc.record({ prefixes: anyPrefixes, only: anyPops }), { maxLength: 3 }),
    controlShare: fc.constantFrom(0, 0.01, 0.5, 1),
  })
  .map(({ only, ...rest }) => service({ ...rest, ...(only && { only }) }));

const anyPopState = fc.record({
  state: fc.constantFrom<LiveState>(0, 1, 2, 3),
  holdMs: fc.constantFrom(0, 500, 20_000),
  shed: fc.constantFrom(0, 0, 6_554, 40_000, 65_536),
  band: fc.constantFrom(0, 6_554),
});
const anyForce = fc.record({
  pop: anyPop,
  state: fc.constantFrom<LiveState>(0, 0, 1, 2, 3),
  pin: fc.boolean(),
  endsMs: fc.constantFrom(0, 15_000),
});

export const anyWorld: fc.Arbitrary<World> = fc
  .record({
    service: anyService,
    map: fc.option(
      fc.tuple(anyGroup(key), anyGroup(key.replace('latency', 'geo'))).map((groups) => mapOf(groups)),
      { nil: undefined, freq: 5 },
    ),
    pops: fc.array(anyPopState, { minLength: 4, maxLength: 4 }),
    forces: fc.array(anyForce, { maxLength: 2 }),
  })
  .map(({ service: one, map, pops, forces }) => {
    const live = createLive(liveBuffer(1));
    for (const [pop, { state, holdMs, shed, band }] of pops.entries()) {
      setLive(live, pop, { state, holdMs, loadPerMille: 0, sinceSeconds: 1 });
      setRoom(live, pop, shed, band);
    }
    let answer = 0;
    let states = 0;
    for (const [slot, force] of forces.entries()) {
      setForce(live, slot, force);
      if (force.state === LiveState.unknown) answer ||= slot + 1;
      else states |= 1 << slot;
    }
    setRowForces(live, 0, answer, states);
    const world = { service: one, map, prepared: prepareService(one, key, popIds, map, 0), live };
    const shown = {
      service: one,
      pops,
      forces,
      groups: map?.groups.map(({ v4, v6, rankings }) => ({ v4, v6, rankings })),
    };
    return Object.defineProperty(world, fc.toStringMethod, { value: () => fc.stringify(shown) });
  });
