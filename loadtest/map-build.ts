/**
 * How long a steering map takes to build from evidence in memory, and what that takes of memory: real GeoIP ranges, 30
 * PoPs, one latency group with its geo twin, on one core.
 *
 *     node loadtest/map-build.ts [PREFIXES …]        → loadtest/results/map-build.json
 *
 * Prefixes are /24s and /48s in runs, as networks are; each is measured at about five PoPs, near ones more often, with an
 * n that spreads from a few to hundreds over 24 hours. Every sketch is made of such samples; none is shared. Times: loading
 * packed sketches, the whole build from them (statistics, estimates, rankings, map, its bytes), and builds after 1% and
 * after one of the prefixes got a new beacon. Each size runs in a process of its own under `taskset`.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatPrefix, type Prefix } from '@ufes/core/ip.ts';
import type { EvidenceRow } from '@ufes/core/ports.ts';
import type { SampleRecord } from '@ufes/core/samples.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { Sketch } from '@ufes/core/sketch/sketch.ts';
import { vectorsOf } from '@ufes/core/steering/base.ts';
import { SteeringBuild } from '@ufes/core/steering/build.ts';
import { decodeMap, encodeMap } from '@ufes/core/steering/map-bytes.ts';
import { geoKey } from '@ufes/core/steering/prepare.ts';
import { type Geoip, openGeoip } from '@ufes/geoip/geoip.ts';
import { silentLog } from '@ufes/io/log.ts';
import { EvidenceTable } from '@ufes/mapper/evidence.ts';
import { type Fed, feedAll, feedCell, sketchSamples } from '@ufes/mapper/feed.ts';
import { distancePrior, groundFrom, placeOf } from '@ufes/mapper/ground.ts';

const nowMs = 1_764_000_000_000;
const dayMs = 86_400_000;
/** Thirty cities with data centres: latitude, longitude. */
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

const rng = seededRng('map-build');
const normal = (): number => Math.sqrt(-2 * Math.log(1 - rng.next())) * Math.cos(2 * Math.PI * rng.next());

function timed<T>(fn: () => T): { readonly value: T; readonly ms: number } {
  const start = performance.now();
  const value = fn();
  return { value, ms: Math.round(performance.now() - start) };
}

/** Runs of up to 32 cells that begin where a range with a place does; a tenth of them /48s. */
function drawPrefixes(geoip: Geoip, count: number): Prefix[] {
  const chosen = new Map<string, Prefix>();
  const { v4, v6 } = geoip;
  while (chosen.size < count) {
    const is4 = rng.next() < 0.9;
    const { location } = is4 ? v4 : v6;
    const at = Math.floor(rng.next() * location.length);
    if (location[at]! < 0) continue;
    const run = 1 + Math.floor(32 * rng.next() ** 2);
    for (let i = 0; i < run && chosen.size < count; i++) {
      const prefix: Prefix = is4
        ? { family: 4, hi: ((v4.starts[at]! & ~255) >>> 0) + 256 * i, lo: 0, length: 24 }
        : { family: 6, hi: v6.hi[at]!, lo: (((v6.lo[at]! >>> 16) + i) << 16) >>> 0, length: 48 };
      if (prefix.hi > 0xffff_ffff || (is4 ? v4.starts : v6.hi)[at] === undefined) break;
      chosen.set(`${prefix.family} ${prefix.hi} ${prefix.lo}`, prefix);
    }
  }
  return [...chosen.values()];
}

/** PoPs that beacons of a prefix measured: the four nearest ones most often, and one at random. */
function targetsOf(km: Float32Array): number[] {
  const near = Array.from(km.keys()).sort((a, b) => km[a]! - km[b]! || a - b);
  const chosen = near.slice(0, 3 + Math.floor(4 * rng.next()));
  chosen.push(near[Math.floor(near.length * rng.next())]!);
  return [...new Set(chosen)];
}

/** A key's day: prior × a skewed residual, with jitter above it; n is log-normal, median 20. */
function sketchAt(km: number): Sketch {
  const centre = distancePrior.expectedMs(Number.isNaN(km) ? 5_000 : km) * (0.7 + 1.2 * rng.next() ** 3);
  const n = Math.min(1_000, Math.max(1, Math.round(20 * Math.exp(normal()))));
  const times = Float64Array.from({ length: n }, () => nowMs - Math.floor(dayMs * rng.next())).sort();
  const sketch = new Sketch();
  for (const atMs of times) sketch.add(centre * (1 + 0.3 * rng.next() ** 2), atMs, 1 + 9 * rng.next());
  return sketch;
}

/** Packed sketches of some prefixes, by key, as a store holds them. */
function rowsOf(fed: Fed, prefixes: readonly Prefix[]): EvidenceRow[] {
  return prefixes.flatMap((prefix) => {
    const { km } = placeOf(fed.geoip, fed.ground, fed.plan.popVectors, prefix);
    const kind = rng.next() < 0.2 ? 'edge' : 'browser';
    const text = formatPrefix(prefix);
    return targetsOf(km).map((pop) => ({ key: `${text}|pop:p${pop}|${kind}|rum`, bytes: sketchAt(km[pop]!).encode() }));
  });
}

function fedOf(geoip: Geoip, popCount: number) {
  const pops = cities.slice(0, popCount);
  const popVectors = vectorsOf(
    pops.map(([latitude]) => latitude),
    pops.map(([, longitude]) => longitude),
  );
  const limits = { soft: new Float64Array(popCount), hard: new Float64Array(popCount) };
  const group = {
    limits,
    key: 'all|eu|3|latency',
    pops: pops.map((_, i) => i),
    backboneMs: pops.map((_, i) => 5 * i),
    k: 3,
    policy: 'latency' as const,
    defaultOrder: pops.map((_, i) => i),
  };
  const { limits: _, ...geo } = group;
  const groups = [group, { ...geo, key: geoKey(group.key), policy: 'geo' as const }];
  const plan = { pops: pops.map((_, i) => `p${i}`), popVectors, groups, sources: ['rum'] };
  const ground = timed(() => groundFrom(geoip));
  const build = timed(
    () => new SteeringBuild({ ...plan, ground: ground.value, prior: distancePrior, bases: new Map() }),
  );
  return { fed: { build: build.value, plan, geoip, ground: ground.value }, groundMs: ground.ms, baseMs: build.ms };
}

/** One more beacon of a prefix, to the PoPs that it measured before. */
function beaconOf(table: EvidenceTable, text: string, atMs: number): SampleRecord {
  const observations: { target: string; ok: boolean; rttMs: number; weight: number }[] = [];
  let kind: SampleRecord['kind'] = 'browser';
  table.forEach(table.numberOf(text), (entry) => {
    const { target, kind: own } = table.rests[entry.rest]!;
    if (own === 'edge') kind = 'edge';
    // From the same distribution as what was measured before.
    observations.push({ target, ok: true, rttMs: table.read(entry).quantile(rng.next()), weight: 1 });
  });
  return { token: 't', tokenExpiresAtMs: atMs, atMs, source: 'rum', kind, prefix: text, observations };
}

/**
 * What cells ask for is log-normal. PoPs have room for it half alike and half by what they have now, so that a quarter is
 * free when the fullest is lost.
 */
function ask({ build, plan }: Fed, prefixes: readonly Prefix[]): void {
  const loads = plan.pops.map(() => 0);
  let all = 0;
  for (const { family, hi, lo } of prefixes) {
    const perSecond = Math.exp(normal());
    build.setRequests(family, hi, lo, perSecond);
    loads[build.rankings(0, build.cells.rowOf(family, hi, lo)).steered[0]!]! += perSecond;
    all += perSecond;
  }
  const { soft, hard } = plan.groups[0]!.limits!;
  const shares = loads.map((load) => 0.5 / loads.length + (0.5 * load) / all);
  for (const [pop, share] of shares.entries()) {
    const capacity = (share * all) / (0.75 * (1 - Math.max(...shares)));
    (soft as Float64Array)[pop] = 0.8 * capacity;
    (hard as Float64Array)[pop] = 0.95 * capacity;
  }
}

/** Folds a beacon of each and builds; only the build counts. */
function rebuild(fed: Fed, table: EvidenceTable, prefixes: readonly Prefix[], atMs: number) {
  const records = prefixes.map((prefix) => beaconOf(table, formatPrefix(prefix), atMs));
  const folded = timed(() => table.apply(sketchSamples(table, records)));
  const built = timed(() => {
    for (const text of folded.value) feedCell(fed, table, text, atMs);
    return encodeMap(fed.build.build(atMs));
  });
  return { prefixes: prefixes.length, foldMs: folded.ms, buildMs: built.ms };
}

/** Bytes, of what /proc knows of this process. */
function memory(what: 'VmRSS' | 'VmHWM'): number {
  const line = new RegExp(`^${what}:\\s+(\\d+) kB$`, 'm').exec(readFileSync('/proc/self/status', 'utf8'));
  return 1024 * Number(line?.[1]);
}

async function measure(count: number) {
  const state = mkdtempSync(join(tmpdir(), 'ufes-map-build-'));
  const geoip = await openGeoip({ state, city: 'builtin', asn: 'builtin', log: silentLog });
  rmSync(state, { recursive: true });
  const { fed, groundMs, baseMs } = fedOf(geoip, 30);
  const beforeBytes = memory('VmRSS');
  const prefixes = drawPrefixes(geoip, count);
  const table = new EvidenceTable();
  let loadMs = 0;
  for (let from = 0; from < prefixes.length; from += 1_000) {
    const rows = rowsOf(fed, prefixes.slice(from, from + 1_000));
    loadMs += timed(() => {
      for (const { bytes } of rows) Sketch.decode(bytes);
      table.apply(rows);
    }).ms;
  }
  const loadedBytes = memory('VmRSS');
  const fed1 = timed(() => feedAll(fed, table, nowMs));
  const built = timed(() => fed.build.build(nowMs));
  const encoded = timed(() => encodeMap(built.value));
  ask(fed, prefixes);
  const fitted = timed(() => fed.build.build(nowMs + 1_000));
  const kept = timed(() => fed.build.build(nowMs + 2_000));
  const { intervals4, intervals6, rankings } = shapeOf(encoded.value);
  const builtBytes = memory('VmRSS');
  const onePercent = rebuild(
    fed,
    table,
    prefixes.filter((_, i) => i % 100 === 0),
    nowMs + 60_000,
  );
  const again = rebuild(
    fed,
    table,
    prefixes.filter((_, i) => i % 100 === 50),
    nowMs + 120_000,
  );
  const one = rebuild(fed, table, prefixes.slice(0, 1), nowMs + 180_000);
  return {
    prefixes: count,
    pops: 30,
    keys: table.keys,
    sketchBytesPerKey: round(table.bytes / table.keys),
    heldBytesPerKey: round(table.bytesHeld / table.keys),
    groundMs,
    baseMs,
    loadMs,
    wholeMs: fed1.ms + built.ms + encoded.ms,
    parts: { statisticsMs: fed1.ms, buildMs: built.ms, encodeMs: encoded.ms },
    fit: { firstMs: fitted.ms, keptMs: kept.ms },
    sentOn: fed.build.sentOn(0),
    afterOnePercent: [onePercent, again],
    afterOne: one,
    mapBytes: encoded.value.length,
    intervals4,
    intervals6,
    rankings,
    rssBytes: {
      before: beforeBytes,
      loaded: loadedBytes,
      built: builtBytes,
      end: memory('VmRSS'),
      peak: memory('VmHWM'),
    },
  };
}

function shapeOf(bytes: Uint8Array) {
  const { v4, v6, rankings, width } = decodeMap(bytes).groups[0]!;
  return { intervals4: v4.hi.length, intervals6: v6.hi.length, rankings: rankings.length / width };
}

const round = (value: number): number => Math.round(10 * value) / 10;

const [, file, ...given] = process.argv;
if (given[0] === '--one') console.log(JSON.stringify(await measure(Number(given[1]))));
else {
  const sizes = given.length === 0 ? ['1000', '100000', '1000000'] : given;
  const cases = sizes.map((size) => {
    const text = execFileSync('taskset', ['-c', '0', process.execPath, file!, '--one', size], { encoding: 'utf8' });
    console.log(text.trim());
    return JSON.parse(text) as unknown;
  });
  const results = {
    command: `node loadtest/map-build.ts ${sizes.join(' ')}`,
    node: process.version,
    cpu: cpus()[0]?.model,
    cores: 1,
    cases,
  };
  const folder = join(import.meta.dirname, 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'map-build.json'), `${JSON.stringify(results, null, 2)}\n`);
}
