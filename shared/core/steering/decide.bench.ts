/**
 * What a decision costs, nanoseconds a call: `vitest bench --run --project 'unit (bench)' shared/core/steering/decide`. 200 k /24s of random
 * rankings over 30 PoPs, asked at random, half of them inside.
 */
import { test } from 'vitest';
import type { DesiredService } from '../desired.ts';
import type { Address } from '../ip.ts';
import { formatPrefix } from '../ip.ts';
import { createLive, LiveState, liveBuffer, setForce, setRoom, setRowForces } from '../live.ts';
import { seededRng } from '../seeded.ts';
import { type Asked, createDecision, decide } from './decide.ts';
import { buildBuckets, type MapGroup, type SteeringMap, withBuckets } from './map.ts';
import { prepareService } from './prepare.ts';

const pops = 30;
const prefixes = 200_000;
const rng = seededRng('decide');
const popIds = Array.from({ length: pops }, (_, pop) => `pop${pop}`);
const starts = [...new Set(Array.from({ length: prefixes }, () => 2 * Math.floor(rng.next() * 2 ** 23)))].sort(
  (a, b) => a - b,
);

function groupOf(key: string): MapGroup {
  const hi = [0, ...starts.flatMap((cell) => [cell * 256, cell * 256 + 256])];
  const ranking = hi.map((_, i) => (i % 2 === 0 ? 0 : 1 + Math.floor(rng.next() * 999)));
  const rankings = Uint8Array.from({ length: 1_000 * pops }, (_, i) => (i + Math.floor(i / pops)) % pops);
  const none = Uint32Array.of(0);
  return {
    key,
    width: pops,
    rankings,
    v4: { family: 4, hi: Uint32Array.from(hi), lo: new Uint32Array(0), ranking: Uint32Array.from(ranking) },
    v6: { family: 6, hi: none, lo: none, ranking: none },
  };
}

const empty = new Uint32Array(0);
const short = new Uint16Array(0);
const cells = { v4: empty, v6hi: empty, v6lo: empty, estimate: short, low: short, high: short, n: short };
const bare: SteeringMap = {
  ...{ createdAtMs: 0, pops: popIds, sources: [], geoip: '', groups: [groupOf('g|latency'), groupOf('g|geo')] },
  cells: { ...cells, tier: new Uint8Array(0) },
};
const map = withBuckets(bare, buildBuckets(bare));

const service = (over: Partial<DesiredService> = {}): DesiredService => ({
  ...{ id: 'shop', name: 'www.shop.example.', owner: 'config', answered: true, policy: 'latency', origin: 'eu', k: 3 },
  candidates: popIds.map((_, pop) => ({ pop, v4: `192.0.2.${pop + 1}` })),
  ...{ answers: 1, ttlSecondsMin: 5, ttlSecondsMax: 60, allDown: { rule: 'serve-preferred' } },
  ...over,
});

const clients = Array.from({ length: 1 << 16 }, (_, i): Asked => {
  const cell = i % 2 === 0 ? starts[Math.floor(rng.next() * starts.length)]! : Math.floor(rng.next() * 2 ** 24);
  return { client: { family: 4, hi: cell * 256, lo: 0 }, bySubnet: true };
});
const peer: Address = { family: 4, hi: 0xcb007109, lo: 0 };
const decision = createDecision();
let at = 0;

function run(over: Partial<DesiredService>, live = createLive(liveBuffer(1))): () => void {
  const prepared = prepareService(service(over), 'g|latency', popIds, map, 0);
  return () => {
    for (let i = 0; i < 1_000; i++) decide(prepared, live, clients[at++ & 0xffff]!, peer, decision);
  };
}

const everyTenth = starts.filter((_, i) => i % 10 === 0);
const overrides = [
  {
    prefixes: everyTenth.map((cell) => formatPrefix({ family: 4, hi: cell * 256, lo: 0, length: 24 })),
    pops: [3],
    pin: false,
  },
];
const full = createLive(liveBuffer(1));
for (let pop = 0; pop < pops; pop++) setRoom(full, pop, 20_000, 6_554);
const forced = createLive(liveBuffer(1));
setForce(forced, 0, { pop: 4, state: LiveState.unknown, pin: false, endsMs: 0 });
setRowForces(forced, 0, 1, 0);

const rules = { controlShare: 0.01, shares: [{ pop: 2, share: 0.05 }] };
test('decide, rounds of 1,000 calls (µs a round = ns a call)', async ({ bench }) => {
  await bench.compare(
    bench('ranking alone', run({})),
    bench('with the control arm, as by default', run({ controlShare: 0.01 })),
    bench('and a 5% share', run(rules)),
    bench('and 20 k overrides', run({ ...rules, overrides })),
    bench('PoPs that keep 70% each', run({ controlShare: 0.01 }, full)),
    bench('forced', run({ controlShare: 0.01 }, forced)),
  );
});
