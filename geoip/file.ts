/**
 * The kept file, STATE/geoip/ranges.bin: what a compile made, so that a start reads it in a fraction of a second.
 *
 *     "UFGEO\0" u16 format | u32 header bytes | u32 CRC-32 of all that follows | header, JSON | arrays, 8-aligned
 *
 * Everything is little-endian. The arrays are views of the one buffer the file was read into. Written beside and
 * renamed, so that a reader sees the old one or the new one.
 */
import { mkdir, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { OperatingError } from '@ufes/core/errors.ts';
import type { Compiled, GeoHeader, GeoTables } from './tables.ts';

const magic = 'UFGEO\0';
const format = 1;
const prefaceBytes = 16;

/** In the order of the arrays. */
const kinds = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, i32: Int32Array, f32: Float32Array } as const;
type Kind = keyof typeof kinds;
type Section = Uint8Array | Uint16Array | Uint32Array | Int32Array | Float32Array;

interface FileHeader extends GeoHeader {
  /** [kind, offset from the end of the header, elements] */
  readonly sections: readonly (readonly [Kind, number, number])[];
}

export function keptFile(state: string): string {
  return path.join(state, 'geoip', 'ranges.bin');
}

function sectionsOf(tables: GeoTables): [Kind, Section][] {
  const { v4, v6, locations, asn4, asn6, texts } = tables;
  return [
    ['u32', v4.hi],
    ['i32', v4.value],
    ['u32', v6.hi],
    ['u32', v6.lo],
    ['i32', v6.value],
    ['f32', locations.latitude],
    ['f32', locations.longitude],
    ['u16', locations.country],
    ['u32', locations.city],
    ['u32', locations.region],
    ['u32', asn4.hi],
    ['u32', asn4.value],
    ['u32', asn6.hi],
    ['u32', asn6.lo],
    ['u32', asn6.value],
    ['u32', tables.asnNumbers],
    ['u32', tables.asnNames],
    ['u32', texts.offsets],
    ['u8', texts.bytes],
  ];
}

export async function writeKept(file: string, { header, tables }: Compiled): Promise<void> {
  const sections = sectionsOf(tables);
  let offset = 0;
  const table = sections.map(([kind, section]): FileHeader['sections'][number] => {
    const at = offset;
    offset = aligned(offset + section.byteLength);
    return [kind, at, section.length];
  });
  const json = Buffer.from(JSON.stringify({ ...header, sections: table } satisfies FileHeader));
  const head = Buffer.alloc(aligned(prefaceBytes + json.length));
  head.write(magic, 'latin1');
  head.writeUInt16LE(format, 6);
  head.writeUInt32LE(json.length, 8);
  json.copy(head, prefaceBytes);
  const chunks = [head, ...sections.flatMap(([, section]) => padded(section))];
  let crc = crc32(head.subarray(prefaceBytes));
  for (const chunk of chunks.slice(1)) crc = crc32(chunk, crc);
  head.writeUInt32LE(crc, 12);
  await mkdir(path.dirname(file), { recursive: true });
  // One name: only the holder of the lock writes, and what a killed one leaves is overwritten by the next.
  const beside = `${file}.tmp`;
  try {
    const handle = await open(beside, 'w');
    try {
      for (const chunk of chunks) await handle.writeFile(chunk);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(beside, file);
  } catch (cause) {
    await rm(beside, { force: true });
    throw cause;
  }
}

function padded(section: Section): Buffer[] {
  const bytes = Buffer.from(section.buffer, section.byteOffset, section.byteLength);
  return [bytes, Buffer.alloc(aligned(bytes.length) - bytes.length)];
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

/** Undefined when there is none. Throws ARTEFACT_CORRUPT when it cannot be used. */
export async function readKept(file: string): Promise<Compiled | undefined> {
  const buffer = await readWhole(file);
  return buffer && decodeKept(buffer);
}

async function readWhole(file: string): Promise<ArrayBuffer | undefined> {
  try {
    await using handle = await open(file, 'r');
    const buffer = new ArrayBuffer((await handle.stat()).size);
    let filled = 0;
    while (filled < buffer.byteLength) {
      const { bytesRead } = await handle.read(new Uint8Array(buffer, filled));
      if (bytesRead === 0) throw corrupt('it became shorter while it was read');
      filled += bytesRead;
    }
    return buffer;
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return undefined;
    throw thrown;
  }
}

export function decodeKept(buffer: ArrayBuffer): Compiled {
  const bytes = Buffer.from(buffer);
  if (bytes.length < prefaceBytes || bytes.toString('latin1', 0, 6) !== magic)
    throw corrupt('it does not begin like one');
  if (bytes.readUInt16LE(6) !== format) throw corrupt(`its format is ${bytes.readUInt16LE(6)}, not ${format}`);
  if (crc32(bytes.subarray(prefaceBytes)) !== bytes.readUInt32LE(12)) throw corrupt('its checksum is wrong');
  const headerBytes = bytes.readUInt32LE(8);
  const header: FileHeader = JSON.parse(bytes.toString('utf8', prefaceBytes, prefaceBytes + headerBytes));
  const body = aligned(prefaceBytes + headerBytes);
  let next = 0;
  const take = <K extends Kind>(kind: K): InstanceType<(typeof kinds)[K]> => {
    const [found, offset, length] = header.sections[next++] ?? ['none', 0, 0];
    if (found !== kind || body + offset + length * kinds[kind].BYTES_PER_ELEMENT > buffer.byteLength) {
      throw corrupt(`section ${next - 1} does not fit`);
    }
    return new kinds[kind](buffer, body + offset, length) as InstanceType<(typeof kinds)[K]>;
  };
  const none = new Uint32Array(0);
  const tables: GeoTables = {
    v4: { family: 4, hi: take('u32'), lo: none, value: take('i32') },
    v6: { family: 6, hi: take('u32'), lo: take('u32'), value: take('i32') },
    locations: {
      latitude: take('f32'),
      longitude: take('f32'),
      country: take('u16'),
      city: take('u32'),
      region: take('u32'),
    },
    asn4: { family: 4, hi: take('u32'), lo: none, value: take('u32') },
    asn6: { family: 6, hi: take('u32'), lo: take('u32'), value: take('u32') },
    asnNumbers: take('u32'),
    asnNames: take('u32'),
    texts: { offsets: take('u32'), bytes: take('u8') },
  };
  return { header, tables };
}

export function corrupt(why: string): OperatingError {
  return new OperatingError('ARTEFACT_CORRUPT', `kept GeoIP file: ${why}`);
}
