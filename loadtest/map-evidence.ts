/**
 * Evidence of many prefixes, drawn from a seed and written as a store would give it, a file a shard. Drawn in a process of
 * its own: the one that is measured holds what a mapper holds.
 *
 * Prefixes are /24s and /48s in runs, as networks are; each is measured at about five PoPs, near ones more often, with an
 * n that spreads from a few to hundreds over 24 hours. Every sketch is made of such samples; none is shared.
 *
 *     row   u8 length, key │ u16 length, sketch                                               (little-endian)
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatPrefix, type Prefix } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { EvidenceRow, Rng } from '@ufes/core/ports.ts';
import { shardOf } from '@ufes/core/samples.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { Sketch } from '@ufes/core/sketch/sketch.ts';
import { distanceKm, type Vectors, vectorsOf } from '@ufes/core/steering/base.ts';
import type { Geoip } from '@ufes/geoip/geoip.ts';
import { distancePrior } from '@ufes/mapper/ground.ts';

export const drawnAtMs = 1_764_000_000_000;
const dayMs = 86_400_000;

export function normal(rng: Rng): number {
  return Math.sqrt(-2 * Math.log(1 - rng.next())) * Math.cos(2 * Math.PI * rng.next());
}

const fileOf = (folder: string, shard: number): string => join(folder, `evidence-${shard}.bin`);

/** Shards that are there stay. */
export function writeEvidence(folder: string, geoip: Geoip, pops: Vectors, count: number): void {
  const { latitude, longitude } = geoip.locations;
  const places = vectorsOf(latitude, longitude);
  const shards: Prefix[][] = Array.from({ length: limits.evidence.shards }, () => []);
  for (const prefix of drawPrefixes(seededRng('map-build'), geoip, count)) {
    shards[shardOf(formatPrefix(prefix))]!.push(prefix);
  }
  for (const [shard, prefixes] of shards.entries()) {
    if (existsSync(fileOf(folder, shard))) continue;
    const rng = seededRng(`map-build ${shard}`);
    const rows: Buffer[] = [];
    for (const prefix of prefixes) {
      const km = Float32Array.from({ length: pops.length / 3 }, (_, pop) =>
        distanceKm(places, geoip.locationId(prefix), pops, pop),
      );
      const kind = rng.next() < 0.2 ? 'edge' : 'browser';
      for (const pop of targetsOf(rng, km)) {
        rows.push(rowOf(`${formatPrefix(prefix)}|pop:p${pop}|${kind}|rum`, sketchAt(rng, km[pop]!).encode()));
      }
    }
    writeFileSync(fileOf(folder, shard), Buffer.concat(rows));
  }
}

function rowOf(key: string, bytes: Uint8Array): Buffer {
  const row = Buffer.alloc(3 + key.length + bytes.length);
  row.writeUInt8(key.length, 0);
  row.write(key, 1, 'latin1');
  row.writeUInt16LE(bytes.length, 1 + key.length);
  row.set(bytes, 3 + key.length);
  return row;
}

/** Rows of a shard. */
export function readEvidence(folder: string, shard: number): EvidenceRow[] {
  const bytes = readFileSync(fileOf(folder, shard));
  const rows: EvidenceRow[] = [];
  for (let at = 0; at < bytes.length; ) {
    const keyEnd = at + 1 + bytes.readUInt8(at);
    const end = keyEnd + 2 + bytes.readUInt16LE(keyEnd);
    rows.push({ key: bytes.toString('latin1', at + 1, keyEnd), bytes: bytes.subarray(keyEnd + 2, end) });
    at = end;
  }
  return rows;
}

/** Runs of up to 32 cells that begin where a range with a place does; a tenth of them /48s. */
function drawPrefixes(rng: Rng, { v4, v6 }: Geoip, count: number): Iterable<Prefix> {
  const chosen = new Map<string, Prefix>();
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
      if (prefix.hi > 0xffff_ffff) break;
      chosen.set(`${prefix.family} ${prefix.hi} ${prefix.lo}`, prefix);
    }
  }
  return chosen.values();
}

/** PoPs that beacons of a prefix measured: the nearest ones most often, and one at random. */
function targetsOf(rng: Rng, km: Float32Array): number[] {
  const near = Array.from(km.keys()).sort((a, b) => km[a]! - km[b]! || a - b);
  const chosen = near.slice(0, 3 + Math.floor(4 * rng.next()));
  chosen.push(near[Math.floor(near.length * rng.next())]!);
  return [...new Set(chosen)];
}

/** A key's day: prior × a skewed residual, with jitter above it; n is log-normal, median 20. */
function sketchAt(rng: Rng, km: number): Sketch {
  const centre = distancePrior.expectedMs(Number.isNaN(km) ? 5_000 : km) * (0.7 + 1.2 * rng.next() ** 3);
  const n = Math.min(1_000, Math.max(1, Math.round(20 * Math.exp(normal(rng)))));
  const times = Float64Array.from({ length: n }, () => drawnAtMs - Math.floor(dayMs * rng.next())).sort();
  const sketch = new Sketch();
  for (const atMs of times) sketch.add(centre * (1 + 0.3 * rng.next() ** 2), atMs, 1 + 9 * rng.next());
  return sketch;
}
