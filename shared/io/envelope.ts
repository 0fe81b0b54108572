/**
 * A sealed artefact: 144 bytes, then the payload, which so stays aligned to 8. Numbers are little-endian.
 *
 *       0  8   magic "UFESSEAL"
 *       8  4   format, 1
 *      12  4   kind: 1 map, 2 desired
 *      16  8   version, milliseconds
 *      24  16  version, writer: ASCII, padded with NUL
 *      40  8   length of the payload
 *      48  32  SHA-256 of the payload
 *      80  64  Ed25519 signature of bytes 0–79
 *     144      payload
 */
import { createHash, type KeyObject, sign, verify } from 'node:crypto';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { ArtefactKind } from '@ufes/core/ports.ts';
import { formatVersion, parseVersion, type Version } from '@ufes/core/version.ts';

const magic = Buffer.from('UFESSEAL');
const format = 1;
const kinds: Record<ArtefactKind, number> = { map: 1, desired: 2 };
const signedBytes = 80;
/** Before the payload. */
export const sealedHeaderBytes = 144;

export function seal(kind: ArtefactKind, version: Version, payload: Uint8Array, key: KeyObject): Uint8Array {
  if (payload.length > limits.store.artefactBytes) {
    throw new OperatingError(
      'BODY_TOO_LARGE',
      `${kind}: ${payload.length} bytes; at most ${limits.store.artefactBytes}`,
    );
  }
  const sealed = Buffer.alloc(sealedHeaderBytes + payload.length);
  magic.copy(sealed);
  sealed.writeUInt32LE(format, 8);
  sealed.writeUInt32LE(kinds[kind], 12);
  sealed.writeBigUInt64LE(BigInt(version.ms), 16);
  sealed.write(version.writer, 24, 16, 'latin1');
  sealed.writeBigUInt64LE(BigInt(payload.length), 40);
  createHash('sha256').update(payload).digest().copy(sealed, 48);
  sign(null, sealed.subarray(0, signedBytes), key).copy(sealed, signedBytes);
  sealed.set(payload, sealedHeaderBytes);
  return sealed;
}

export interface Opened {
  readonly version: Version;
  /** At the start of a buffer of its own. */
  readonly payload: Uint8Array;
}

/**
 * Checks everything; throws ARTEFACT_CORRUPT with what is wrong. `shared`: the payload is in a SharedArrayBuffer, so
 * that worker threads can read it in place.
 */
export function unseal(kind: ArtefactKind, sealed: Uint8Array, key: KeyObject, shared = false): Opened {
  const corrupt = (why: string): never => {
    throw new OperatingError('ARTEFACT_CORRUPT', `sealed ${kind}: ${why}`);
  };
  const header = Buffer.from(sealed.buffer, sealed.byteOffset, Math.min(sealed.length, sealedHeaderBytes));
  if (header.length < sealedHeaderBytes) corrupt(`only ${sealed.length} bytes`);
  if (!header.subarray(0, 8).equals(magic)) corrupt('it does not begin with the magic of an artefact');
  if (header.readUInt32LE(8) !== format) corrupt(`format ${header.readUInt32LE(8)}; this ufes reads ${format}`);
  if (header.readUInt32LE(12) !== kinds[kind]) corrupt('it is of another kind');
  if (!verify(null, header.subarray(0, signedBytes), key, header.subarray(signedBytes))) {
    corrupt('the signature is not by the signing key of this state folder');
  }
  const length = Number(header.readBigUInt64LE(40));
  if (length !== sealed.length - sealedHeaderBytes) {
    corrupt(`${sealed.length - sealedHeaderBytes} bytes of payload where ${length} were sealed`);
  }
  const writer = header.toString('latin1', 24, 40).replace(/\0+$/, '');
  const version = { ms: Number(header.readBigUInt64LE(16)), writer };
  if (parseVersion(formatVersion(version)) === undefined) corrupt('its version is malformed');
  const payload = new Uint8Array(shared ? new SharedArrayBuffer(length) : new ArrayBuffer(length));
  payload.set(sealed.subarray(sealedHeaderBytes));
  if (!createHash('sha256').update(payload).digest().equals(header.subarray(48, signedBytes))) {
    corrupt('the payload does not match its hash');
  }
  return { version, payload };
}
