/**
 * Sketches as they were written before weights were whole numbers: read, never written.
 *
 * Bytes, little-endian: u8 format, u8 0, u16 buckets, u16 buckets of the newer slot, u16 of the older one, u16 landmark
 * (days), u16 0, u32 last (s), u32 count, u32 failures, u32 newer slot, f64 Σw², f64 demand, then u16 indexes less
 * `bucketMin` of all three, f32 weights of the first, u16 counts of the other two. A weight is 2^((t − landmark) / 6 h).
 */
import { OperatingError } from '../errors.ts';
import { Buckets, bucketMax, bucketMin } from './buckets.ts';

const format = 1;
const headerBytes = 44;
const octavesADay = 4;

export interface Format1 {
  readonly count: number;
  readonly failures: number;
  readonly lastSeconds: number;
  readonly slot: number;
  readonly sumSquares: number;
  readonly demand: number;
  readonly buckets: Buckets;
  readonly newer: Buckets;
  readonly older: Buckets;
}

export function isFormat1(bytes: Uint8Array, from: number, end: number): boolean {
  return from < end && bytes[from] === format;
}

/** With weights in whole numbers, of which `unit` is one sample at the start of the newest octave. */
export function readFormat1(bytes: Uint8Array, octaveSeconds: number, unit: number): Format1 {
  if (bytes.length < headerBytes) throw corrupt('it is shorter than its header');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sizes = [view.getUint16(2, true), view.getUint16(4, true), view.getUint16(6, true)] as const;
  const entries = sizes[0] + sizes[1] + sizes[2];
  if (bytes.length !== headerBytes + 4 * entries + 2 * sizes[0]) throw corrupt('its length does not fit its header');
  const lastSeconds = view.getUint32(12, true);
  const octaves = Math.floor(lastSeconds / octaveSeconds) - octavesADay * view.getUint16(8, true);
  const scale = unit * 0.5 ** octaves;
  const indexesAt = headerBytes;
  const weightsAt = headerBytes + 2 * entries;
  const read = (before: number, size: number, weight: (i: number) => number): Buckets => {
    const buckets = new Buckets(size);
    let last = -1;
    for (let i = 0; i < size; i++) {
      const index = view.getUint16(indexesAt + 2 * (before + i), true);
      if (index <= last || index + bucketMin > bucketMax) throw corrupt('its buckets do not rise');
      last = index;
      const whole = Math.round(weight(i));
      if (!(whole >= 0 && whole < 1e15)) throw corrupt('a bucket has no weight');
      if (whole > 0) buckets.add(index + bucketMin, whole);
    }
    return buckets;
  };
  const slotsAt = weightsAt + 4 * sizes[0];
  return {
    count: view.getUint32(16, true),
    failures: view.getUint32(20, true),
    lastSeconds,
    slot: view.getUint32(24, true),
    sumSquares: view.getFloat64(28, true) * scale * scale,
    demand: view.getFloat64(36, true) * scale,
    buckets: read(0, sizes[0], (i) => scale * view.getFloat32(weightsAt + 4 * i, true)),
    newer: read(sizes[0], sizes[1], (i) => view.getUint16(slotsAt + 2 * i, true)),
    older: read(sizes[0] + sizes[1], sizes[2], (i) => view.getUint16(slotsAt + 2 * (sizes[1] + i), true)),
  };
}

function corrupt(why: string): OperatingError {
  return new OperatingError('ARTEFACT_CORRUPT', `evidence sketch of format 1: ${why}`);
}
