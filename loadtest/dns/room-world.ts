/**
 * A closed loop in miniature: users behind caches → `decide` → load of a PoP → feedback → shares → `decide`.
 *
 * Units of demand (a /16 each, a few of them heavy) prefer lon; each has caches that keep their answer for its TTL. The
 * load that lon tells every second is what caches still send there, so feedback sees its own effect late. One second a
 * step, nothing random but the seed.
 */
import type { DesiredService } from '@ufes/core/desired.ts';
import { limits } from '@ufes/core/limits.ts';
import { createLive, liveBuffer, setRoom, setTimes } from '@ufes/core/live.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { createDecision, decide } from '@ufes/core/steering/decide.ts';
import type { SteeringMap } from '@ufes/core/steering/map.ts';
import { prepareService } from '@ufes/core/steering/prepare.ts';
import { defaultRoom, RoomShares } from '@ufes/core/steering/room.ts';

export interface RoomInit {
  readonly seed: string;
  /** Demand of those who prefer lon, of its capacity, at a second. */
  readonly offered: (second: number) => number;
  readonly seconds: number;
  /** Random part of each second's load. */
  readonly noise?: number;
}

/** At each feedback. */
export interface RoomPoint {
  readonly second: number;
  readonly offered: number;
  readonly load: number;
  readonly share: number;
}

const units = 3_000;
const cachesPerUnit = 4;
const lon = 0;

export function simulateRoom({ seed, offered, seconds, noise = 0 }: RoomInit): RoomPoint[] {
  const rng = seededRng(seed);
  // Pareto with a finite mean, cut: the heaviest /16 has about half a percent of all.
  const weights = Array.from({ length: units }, () => Math.min(30, (1 - rng.next()) ** (-1 / 1.2)));
  const whole = weights.reduce((sum, one) => sum + one, 0);
  const caches = weights.flatMap((weight, unit) =>
    Array.from({ length: cachesPerUnit }, () => ({
      unit,
      weight: weight / whole / cachesPerUnit,
      pop: lon,
      untilSecond: 0,
    })),
  );
  for (const cache of caches) cache.untilSecond = Math.floor(rng.next() * 60);
  const addresses = weights.map((_, unit) => ({ family: 4 as const, hi: ((unit + 256) << 16) >>> 0, lo: 0 }));
  const live = createLive(liveBuffer(1));
  const prepared = prepareService(service, key, ['lon', 'iad'], map, 0);
  const decision = createDecision();
  const room = new RoomShares();
  const points: RoomPoint[] = [];
  const peer = { family: 4 as const, hi: 0, lo: 0 };
  let load = 0;
  for (let second = 0; second < seconds; second++) {
    const nowMs = second * 1_000;
    // As the feed of a dns node: shares and the time to the next feedback change together.
    if (second > 0) room.observe('lon', load, nowMs);
    if (room.step(nowMs, defaultRoom))
      points.push({ second, offered: offered(second), load, share: room.share('lon') });
    const { shed, band } = room.words('lon', defaultRoom);
    setRoom(live, lon, shed, band);
    setTimes(live, 0, room.leftMs(nowMs));
    let share = 0;
    for (const cache of caches) {
      if (second >= cache.untilSecond) {
        decide(prepared, live, { client: addresses[cache.unit]!, bySubnet: true }, peer, decision);
        cache.pop = decision.candidates[0]!;
        cache.untilSecond = second + decision.ttlSeconds;
      }
      if (cache.pop === lon) share += cache.weight;
    }
    load = share * offered(second) * (1 + noise * (2 * rng.next() - 1));
  }
  return points;
}

/** Points of the share that one feedback moved, at most; changes of direction; load at the end. */
export function summaryOf(points: readonly RoomPoint[]): {
  step: number;
  reversals: number;
  settled: number;
  peak: number;
} {
  let step = 0;
  let reversals = 0;
  let direction = 0;
  for (let i = 1; i < points.length; i++) {
    const move = points[i]!.share - points[i - 1]!.share;
    step = Math.max(step, Math.abs(move));
    if (Math.abs(move) < 1e-9) continue;
    if (direction !== 0 && Math.sign(move) !== direction) reversals++;
    direction = Math.sign(move);
  }
  const last = points.slice(-10).map(({ load }) => load);
  return { step, reversals, settled: Math.max(...last), peak: Math.max(...points.map(({ load }) => load)) };
}

/** 75% for five minutes, up to 120% in ten, and there. */
export function ramp(second: number): number {
  return 0.75 + 0.45 * Math.min(1, Math.max(0, (second - 300) / 600));
}

/** The same at once. */
export function jump(second: number): number {
  return second < 300 ? 0.75 : 1.2;
}

export const feedbackSeconds = limits.dns.feedbackMs / 1_000;

const key = 'iad,lon|eu|3|latency';
const service: DesiredService = {
  ...{ id: 'shop', name: 'www.shop.example.', owner: 'config', answered: true, policy: 'latency', origin: 'eu', k: 3 },
  candidates: [
    { pop: 0, v4: '192.0.2.1' },
    { pop: 1, v4: '198.51.100.1' },
  ],
  ...{ answers: 1, ttlSecondsMin: 5, ttlSecondsMax: 60, allDown: { rule: 'serve-preferred' } },
};
const none = new Uint32Array(0);
const start = Uint32Array.of(0);
const short = new Uint16Array(0);
const map: SteeringMap = {
  ...{ createdAtMs: 0, pops: ['lon', 'iad'], sources: [], geoip: '' },
  groups: [
    {
      ...{ key, width: 2, rankings: Uint8Array.of(0, 1) },
      v4: { family: 4, hi: start, lo: none, ranking: start },
      v6: { family: 6, hi: start, lo: start, ranking: start },
    },
  ],
  cells: {
    ...{ v4: none, v6hi: none, v6lo: none, estimate: short, low: short, high: short, n: short },
    tier: new Uint8Array(0),
  },
};
