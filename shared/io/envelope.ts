/**
 * A sealed artefact: 144 bytes, then the payload, which so stays aligned to 8, then the SHA-256 of each of its blocks of
 * 64 KiB, by which a part can be read and checked without the rest (sealed-file.ts). Numbers are little-endian.
 *
 *       0  8   magic "UFESSEAL"
 *       8  4   format, 2; format 1, which is still read, has no hashes of blocks
 *      12  4   kind: 1 map, 2 desired
 *      16  8   version, milliseconds
 *      24  16  version, writer: ASCII, padded with NUL
 *      40  8   length of the payload
 *      48  32  SHA-256 of the blocks' hashes; of the payload in format 1
 *      80  64  Ed25519 signature of bytes 0–79
 *     144      payload, hashes of its blocks
 */
import { hash, type KeyObject, sign, verify } from 'node:crypto';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { ArtefactKind } from '@ufes/core/ports.ts';
import { formatVersion, parseVersion, type Version } from '@ufes/core/version.ts';

const magic = Buffer.from('UFESSEAL');
const format = 2;
const kinds: Record<ArtefactKind, number> = { map: 1, desired: 2 };
const signedBytes = 80;
/** Before the payload. */
export const sealedHeaderBytes = 144;
export const blockBytes = 1 << 16;
export const hashBytes = 32;

export function seal(kind: ArtefactKind, version: Version, payload: Uint8Array, key: KeyObject): Uint8Array {
  if (payload.length > limits.store.artefactBytes) {
    throw new OperatingError(
      'BODY_TOO_LARGE',
      `${kind}: ${payload.length} bytes; at most ${limits.store.artefactBytes}`,
    );
  }
  const hashes = hashesOf(payload);
  const sealed = Buffer.alloc(sealedHeaderBytes + payload.length + hashes.length);
  magic.copy(sealed);
  sealed.writeUInt32LE(format, 8);
  sealed.writeUInt32LE(kinds[kind], 12);
  sealed.writeBigUInt64LE(BigInt(version.ms), 16);
  sealed.write(version.writer, 24, 16, 'latin1');
  sealed.writeBigUInt64LE(BigInt(payload.length), 40);
  sha256(hashes).copy(sealed, 48);
  sign(null, sealed.subarray(0, signedBytes), key).copy(sealed, signedBytes);
  sealed.set(payload, sealedHeaderBytes);
  hashes.copy(sealed, sealedHeaderBytes + payload.length);
  return sealed;
}

export function sha256(bytes: Uint8Array): Buffer {
  return hash('sha256', bytes, 'buffer');
}

/** Length of the list of hashes behind a payload. */
export function hashesLength(payload: number): number {
  return Math.ceil(payload / blockBytes) * hashBytes;
}

function hashesOf(payload: Uint8Array): Buffer {
  const hashes = Buffer.alloc(hashesLength(payload.length));
  for (let i = 0; i * hashBytes < hashes.length; i++) {
    sha256(payload.subarray(i * blockBytes, (i + 1) * blockBytes)).copy(hashes, i * hashBytes);
  }
  return hashes;
}

/** A sealed artefact's first 144 bytes, whose signature holds. */
export interface SealedHeader {
  readonly format: number;
  readonly version: Version;
  /** Of the payload, bytes. */
  readonly length: number;
  /** SHA-256 of the hashes of blocks; of the payload in format 1. */
  readonly hash: Buffer;
}

export interface Opened {
  readonly version: Version;
  /** At the start of a buffer of its own, or of one that was allocated for it. */
  readonly payload: Uint8Array;
}

/** Room for a payload: that many bytes, or more. */
export type Allocate = (bytes: number) => ArrayBufferLike;

/** Checks everything; throws ARTEFACT_CORRUPT with what is wrong. `allocate`: as for followArtefact. */
export function unseal(
  kind: ArtefactKind,
  sealed: Uint8Array,
  key: KeyObject,
  allocate: Allocate = (bytes) => new ArrayBuffer(bytes),
): Opened {
  const header = openHeader(kind, sealed.subarray(0, sealedHeaderBytes), sealed.length, key);
  const { version, length } = header;
  const end = sealedHeaderBytes + length;
  const payload = new Uint8Array(allocate(length), 0, length);
  payload.set(sealed.subarray(sealedHeaderBytes, end));
  const isGood =
    header.format === 1
      ? sha256(payload).equals(header.hash)
      : sha256(sealed.subarray(end)).equals(header.hash) && hashesOf(payload).equals(sealed.subarray(end));
  if (!isGood) throw corruptArtefact(kind, 'the payload does not match its hash');
  return { version, payload };
}

export function corruptArtefact(kind: ArtefactKind, why: string): OperatingError {
  return new OperatingError('ARTEFACT_CORRUPT', `sealed ${kind}: ${why}`);
}

/** `total`: bytes that the sealed artefact has. Throws ARTEFACT_CORRUPT. */
export function openHeader(kind: ArtefactKind, first: Uint8Array, total: number, key: KeyObject): SealedHeader {
  const corrupt = (why: string): never => {
    throw corruptArtefact(kind, why);
  };
  const header = Buffer.from(first.buffer, first.byteOffset, first.length);
  if (header.length < sealedHeaderBytes || total < sealedHeaderBytes) corrupt(`only ${total} bytes`);
  if (!header.subarray(0, 8).equals(magic)) corrupt('it does not begin with the magic of an artefact');
  const found = header.readUInt32LE(8);
  if (found !== format && found !== 1) corrupt(`format ${found}; this ufes reads 1 to ${format}`);
  if (header.readUInt32LE(12) !== kinds[kind]) corrupt('it is of another kind');
  if (!verify(null, header.subarray(0, signedBytes), key, header.subarray(signedBytes))) {
    corrupt('the signature is not by the signing key of this state folder');
  }
  const length = Number(header.readBigUInt64LE(40));
  const room = total - sealedHeaderBytes - (found === 1 ? 0 : hashesLength(length));
  if (length !== room) corrupt(`${room} bytes of payload where ${length} were sealed`);
  const writer = header.toString('latin1', 24, 40).replace(/\0+$/, '');
  const version = { ms: Number(header.readBigUInt64LE(16)), writer };
  if (parseVersion(formatVersion(version)) === undefined) corrupt('its version is malformed');
  return { format: found, version, length, hash: header.subarray(48, signedBytes) };
}
