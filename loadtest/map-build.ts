/**
 * How long a steering map takes to build from evidence in memory, and what that takes of memory: real GeoIP ranges, 30
 * PoPs, one latency group with its geo twin, on one core.
 *
 *     node loadtest/map-build.ts [PREFIXES …]        → loadtest/results/map-build.json
 *     node loadtest/map-build.ts --draw PREFIXES FOLDER, then --measure FOLDER: the same in two steps
 *
 * Evidence is drawn (map-evidence.ts) and GeoIP compiled in a process of their own; the measured one, under `taskset`,
 * reads both as a mapper does. Times: loading packed sketches from a file, shard by shard; the whole build from them
 * (statistics, estimates, rankings, map, its bytes); builds after 1% and after one of the prefixes got a new beacon.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { limits } from '@ufes/core/limits.ts';
import type { SampleRecord } from '@ufes/core/samples.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { Sketch } from '@ufes/core/sketch/sketch.ts';
import { vectorsOf } from '@ufes/core/steering/base.ts';
import { SteeringBuild } from '@ufes/core/steering/build.ts';
import type { SteeringMap } from '@ufes/core/steering/map.ts';
import { decodeMap, encodeMap, roomOf } from '@ufes/core/steering/map-bytes.ts';
import { geoKey } from '@ufes/core/steering/prepare.ts';
import { type Geoip, openGeoip } from '@ufes/geoip/geoip.ts';
import { silentLog } from '@ufes/io/log.ts';
import { EvidenceTable } from '@ufes/mapper/evidence.ts';
import { type Fed, feedAll, feedCell, sketchSamples } from '@ufes/mapper/feed.ts';
import { distancePrior, groundFrom } from '@ufes/mapper/ground.ts';
import { normal, drawnAtMs as nowMs, readEvidence, writeEvidence } from './map-evidence.ts';

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

const rng = seededRng('map-build-asks');

function timed<T>(fn: () => T): { readonly value: T; readonly ms: number } {
  const start = performance.now();
  const value = fn();
  return { value, ms: Math.round(performance.now() - start) };
}

const popVectors = vectorsOf(
  cities.map(([latitude]) => latitude),
  cities.map(([, longitude]) => longitude),
);

function fedOf(geoip: Geoip) {
  const pops = cities;
  const room = { soft: new Float64Array(pops.length), hard: new Float64Array(pops.length) };
  const group = {
    limits: room,
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
  const fed = { build: build.value, plan, geoip: geoip.names(), ground: ground.value };
  return { fed, groundMs: ground.ms, baseMs: build.ms };
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
function ask({ build, plan }: Fed, table: EvidenceTable): void {
  const loads = plan.pops.map(() => 0);
  let all = 0;
  for (let number = 0; number < table.numbers; number++) {
    const { family, hi, lo } = table.prefixOf(number);
    const perSecond = Math.exp(normal(rng));
    build.sharing.setRequests(family, hi, lo, perSecond);
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

/** Builds a map and its bytes, and puts it in the place of the one before, as a mapper does. */
class Mapper {
  inService: SteeringMap | undefined;
  readonly #build: SteeringBuild;
  #room: Uint8Array = new Uint8Array(0);

  constructor(build: SteeringBuild) {
    this.#build = build;
  }

  step(atMs: number) {
    const built = timed(() => this.#build.build(atMs));
    this.inService = built.value;
    const encoded = timed(() => encodeMap(built.value, this.#room));
    this.#room = roomOf(encoded.value);
    return { buildMs: built.ms, encodeMs: encoded.ms };
  }
}

/** Folds a beacon of every `step`-th prefix and builds; only the build counts. */
function rebuild(mapper: Mapper, fed: Fed, table: EvidenceTable, step: number, first: number, atMs: number) {
  const texts: string[] = [];
  for (let number = first; number < table.numbers; number += step) texts.push(table.prefixText(number));
  const records = texts.map((text) => beaconOf(table, text, atMs));
  const folded = timed(() => table.apply(sketchSamples(table, records)));
  const { ms: statisticsMs } = timed(() => {
    for (const text of folded.value) feedCell(fed, table, text, atMs);
  });
  const parts = { statisticsMs, ...mapper.step(atMs) };
  return { prefixes: texts.length, foldMs: folded.ms, wholeMs: sum(parts), parts };
}

const sum = (parts: Readonly<Record<string, number>>) => Object.values(parts).reduce((all, ms) => all + ms);

/** Bytes, of what /proc knows of this process. */
function memory(what: 'VmRSS' | 'VmHWM'): number {
  const line = new RegExp(`^${what}:\\s+(\\d+) kB$`, 'm').exec(readFileSync('/proc/self/status', 'utf8'));
  return 1024 * Number(line?.[1]);
}

function load(table: EvidenceTable, folder: string): number {
  let ms = 0;
  for (let shard = 0; shard < limits.evidence.shards; shard++) {
    const rows = readEvidence(folder, shard);
    ms += timed(() => {
      for (const { bytes } of rows) Sketch.decode(bytes);
      table.replace(shard, rows);
    }).ms;
  }
  return ms;
}

const geoipOf = (state: string) => openGeoip({ state, city: 'builtin', asn: 'builtin', log: silentLog });

/** The file is let go, as a mapper does. */
const fedFrom = async (folder: string) => fedOf(await geoipOf(folder));

async function measure(folder: string) {
  const { fed, groundMs, baseMs } = await fedFrom(folder);
  const beforeBytes = memory('VmRSS');
  const table = new EvidenceTable();
  const loadMs = load(table, folder);
  const loadedBytes = memory('VmRSS');
  const mapper = new Mapper(fed.build);
  const { ms: statisticsMs } = timed(() => feedAll(fed, table, nowMs));
  const parts = { statisticsMs, ...mapper.step(nowMs) };
  const shape = shapeOf(encodeMap(mapper.inService!));
  const builtBytes = memory('VmRSS');
  ask(fed, table);
  const fit = { first: mapper.step(nowMs + 1_000), kept: mapper.step(nowMs + 2_000) };
  const afterOnePercent = [0, 25, 50, 75].map((first) =>
    rebuild(mapper, fed, table, 100, first, nowMs + 60_000 + 1_000 * first),
  );
  const afterOne = rebuild(mapper, fed, table, table.numbers, 0, nowMs + 180_000);
  return {
    prefixes: table.prefixes,
    pops: cities.length,
    keys: table.keys,
    sketchBytesPerKey: round(table.bytes / table.keys),
    heldBytesPerKey: round(table.bytesHeld / table.keys),
    groundMs,
    baseMs,
    loadMs,
    wholeMs: sum(parts),
    parts,
    fit,
    sentOn: fed.build.sentOn(0),
    afterOnePercent,
    afterOne,
    ...shape,
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
  return {
    mapBytes: bytes.length,
    intervals4: v4.hi.length,
    intervals6: v6.hi.length,
    rankings: rankings.length / width,
  };
}

const round = (value: number): number => Math.round(10 * value) / 10;

const [, file, ...given] = process.argv;
if (given[0] === '--draw') writeEvidence(given[2]!, await geoipOf(given[2]!), popVectors, Number(given[1]));
else if (given[0] === '--measure') console.log(JSON.stringify(await measure(given[1]!)));
else {
  const sizes = given.length === 0 ? ['1000', '100000', '1000000'] : given;
  const run = (...args: string[]) =>
    execFileSync('taskset', ['-c', '0', process.execPath, file!, ...args], { encoding: 'utf8' });
  const cases = sizes.map((size) => {
    const folder = mkdtempSync(join(tmpdir(), 'ufes-map-build-'));
    run('--draw', size, folder);
    const text = run('--measure', folder);
    rmSync(folder, { recursive: true });
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
  const into = join(import.meta.dirname, 'results');
  mkdirSync(into, { recursive: true });
  writeFileSync(join(into, 'map-build.json'), `${JSON.stringify(results, null, 2)}\n`);
}
