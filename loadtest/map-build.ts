/**
 * How long a steering map takes to build: prefixes measured at every PoP, real GeoIP ranges, one latency group.
 *
 *     node loadtest/map-build.ts [PREFIXES]        → loadtest/results/map-build.json
 *
 * For 3 and 30 PoPs: preparing GeoIP (once an edition), base (once a group), the first whole build with encoding, and
 * builds after 1 and after 1% of the prefixes got new evidence. Bytes of the map, of a sketch, and RSS.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Prefix, prefixOf } from '@ufes/core/ip.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { type QuantileBounds, Sketch } from '@ufes/core/sketch/sketch.ts';
import { vectorsOf } from '@ufes/core/steering/base.ts';
import { type Ground, SteeringBuild } from '@ufes/core/steering/build.ts';
import { statistic } from '@ufes/core/steering/estimate.ts';
import { decodeMap, encodeMap } from '@ufes/core/steering/map.ts';
import { type Geoip, openGeoip } from '@ufes/geoip/geoip.ts';
import { silentLog } from '@ufes/io/log.ts';
import { distancePrior, groundFrom, placeOf } from '@ufes/mapper/ground.ts';

const nowMs = 1_764_000_000_000;
/** Thirty cities with data centres: latitude, longitude. The first three are the small case. */
const cities: readonly (readonly [number, number])[] = [
  [51.5, -0.13],
  [39.04, -77.49],
  [1.35, 103.82],
  [50.11, 8.68],
  [48.86, 2.35],
  [40.42, -3.7],
  [45.46, 9.19],
  [59.33, 18.07],
  [52.23, 21.01],
  [53.35, -6.26],
  [41.88, -87.63],
  [32.78, -96.8],
  [37.77, -122.42],
  [45.6, -121.18],
  [33.75, -84.39],
  [43.65, -79.38],
  [25.76, -80.19],
  [19.43, -99.13],
  [-23.55, -46.63],
  [-33.45, -70.67],
  [35.68, 139.69],
  [34.69, 135.5],
  [37.57, 126.98],
  [22.32, 114.17],
  [19.08, 72.88],
  [28.61, 77.21],
  [25.2, 55.27],
  [-33.87, 151.21],
  [-26.2, 28.05],
  [6.52, 3.38],
];

interface Timed<T> {
  readonly value: T;
  readonly ms: number;
}

function timed<T>(fn: () => T): Timed<T> {
  const start = performance.now();
  const value = fn();
  return { value, ms: Math.round(10 * (performance.now() - start)) / 10 };
}

/** /24s drawn from the ranges that have a place. */
function drawPrefixes(geoip: Geoip, count: number): Prefix[] {
  const rng = seededRng('map-build');
  const chosen = new Map<number, Prefix>();
  const { starts, location } = geoip.v4;
  while (chosen.size < count) {
    const at = Math.floor(rng.next() * starts.length);
    if (location[at]! < 0) continue;
    const prefix = prefixOf({ family: 4, hi: starts[at]!, lo: 0 }, 24);
    chosen.set(prefix.hi, prefix);
  }
  return [...chosen.values()];
}

interface Made {
  readonly own: QuantileBounds;
  readonly lastSeconds: number;
  readonly bytes: number;
}
const made = new Map<number, Made>();

/** Evidence of thirty samples around prior × a residual that is skewed, as real ones are; one a millisecond is shared. */
function evidenceFor(priorMs: number, rng: { next(): number }): Made {
  const centre = Math.round(priorMs * (0.7 + 1.2 * rng.next() ** 3));
  let evidence = made.get(centre);
  if (evidence === undefined) {
    const sketch = new Sketch();
    for (let i = 0; i < 30; i++) sketch.add(centre * (1 + 0.2 * rng.next()), nowMs - i * 120_000);
    const { own } = statistic(sketch, nowMs);
    evidence = { own, lastSeconds: sketch.lastSeconds, bytes: sketch.encode().length };
    made.set(centre, evidence);
  }
  return evidence;
}

function measure(geoip: Geoip, ground: Ground, prefixes: readonly Prefix[], popCount: number) {
  const pops = cities.slice(0, popCount);
  const popVectors = vectorsOf(
    pops.map(([latitude]) => latitude),
    pops.map(([, longitude]) => longitude),
  );
  const base = timed(
    () =>
      new SteeringBuild({
        pops: pops.map((_, i) => `p${i}`),
        popVectors,
        groups: [
          {
            key: 'all',
            pops: pops.map((_, i) => i),
            backboneMs: pops.map((_, i) => 5 * i),
            k: 3,
            policy: 'latency',
            defaultOrder: pops.map((_, i) => i),
          },
        ],
        ground,
        sources: ['rum'],
        prior: distancePrior,
        bases: new Map(),
      }),
  );
  const build = base.value;
  const rng = seededRng('samples');
  let sketchBytes = 0;
  const measureCell = (row: number): void => {
    for (let pop = 0; pop < popCount; pop++) {
      const km = build.cells.km[row * popCount + pop]!;
      const evidence = evidenceFor(distancePrior.expectedMs(Number.isNaN(km) ? 5_000 : km), rng);
      sketchBytes += evidence.bytes;
      build.cells.setOwn(row, pop, evidence.own, evidence.lastSeconds);
    }
  };
  const filled = timed(() => {
    for (const prefix of prefixes) measureCell(build.cells.add(placeOf(geoip, ground, popVectors, prefix)));
  });
  const keys = prefixes.length * popCount;
  const whole = timed(() => encodeMap(build.build(nowMs)));
  const read = timed(() => decodeMap(whole.value));
  measureCell(0);
  const afterOne = timed(() => encodeMap(build.build(nowMs + 1_000)));
  for (let row = 0; row < prefixes.length; row += 100) measureCell(row);
  const afterShare = timed(() => encodeMap(build.build(nowMs + 2_000)));
  const { v4, v6, rankings, width } = read.value.groups[0]!;
  return {
    pops: popCount,
    prefixes: prefixes.length,
    baseMs: base.ms,
    fillMs: filled.ms,
    wholeBuildMs: whole.ms,
    decodeMs: read.ms,
    buildAfterOneMs: afterOne.ms,
    buildAfterOnePercentMs: afterShare.ms,
    mapBytes: whole.value.length,
    intervals4: v4.hi.length,
    intervals6: v6.hi.length,
    rankings: rankings.length / width,
    sketchBytes: Math.round(sketchBytes / (keys + (1 + Math.ceil(prefixes.length / 100)) * popCount)),
    rssBytes: process.memoryUsage().rss,
  };
}

const state = process.argv[3] ?? mkdtempSync(join(tmpdir(), 'ufes-map-build-'));
const geoip = await openGeoip({ state, city: 'builtin', asn: 'builtin', log: silentLog });
if (process.argv[3] === undefined) rmSync(state, { recursive: true });
const ground = timed(() => groundFrom(geoip));
const prefixes = drawPrefixes(geoip, Number(process.argv[2] ?? 100_000));
const results = {
  command: `node loadtest/map-build.ts ${prefixes.length}`,
  node: process.version,
  cpu: cpus()[0]?.model,
  geoip: geoip.label,
  groundMs: ground.ms,
  cases: [3, 30].map((pops) => measure(geoip, ground.value, prefixes, pops)),
};
const folder = join(import.meta.dirname, 'results');
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, 'map-build.json'), `${JSON.stringify(results, null, 2)}\n`);
console.log(JSON.stringify(results, null, 2));
