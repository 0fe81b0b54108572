/**
 * A sealed artefact as a file, of which only a part is wanted in memory: signature and list of hashes are checked when it
 * is opened, each block when it is read. Nothing larger than a megabyte is read or checked at a time.
 */
import type { KeyObject } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { ArtefactKind } from '@ufes/core/ports.ts';
import type { Version } from '@ufes/core/version.ts';
import {
  type Allocate,
  blockBytes,
  corruptArtefact,
  hashBytes,
  hashesLength,
  openHeader,
  sealedHeaderBytes,
  sha256,
} from './envelope.ts';

const readAtOnce = 16 * blockBytes;

/** What it takes to read parts of a payload later, by any thread. */
export interface KeptRest {
  /** Where it may be: a newer one moves it from the first to the second. */
  readonly paths: readonly string[];
  /** The first bytes of the sealed artefact, by which it is known again. */
  readonly header: Uint8Array;
  /** Of all blocks, behind the payload that was read. */
  readonly hashes: Uint8Array;
  /** Of the payload. */
  readonly length: number;
}

export interface OpenedFile {
  readonly version: Version;
  /** All of the payload, or its beginning, as far as was asked for; at the start of a buffer that was allocated for it. */
  readonly payload: Uint8Array;
  /** When that is not all. */
  readonly rest?: KeptRest;
}

export interface OpenFileOptions {
  readonly kind: ArtefactKind;
  readonly key: KeyObject;
  /** By its first bytes, how much of a payload is wanted. */
  readonly head: (first: Uint8Array) => number;
  /** Where the file will be found later. */
  readonly paths: readonly string[];
  /** Reads and checks all of it, what is not wanted too. */
  readonly whole: boolean;
  /** Called at most once. */
  readonly allocate: Allocate;
}

/** Throws ARTEFACT_CORRUPT; rejects when the file cannot be read. */
export async function openSealedFile(path: string, options: OpenFileOptions): Promise<OpenedFile> {
  const file = await open(path, 'r');
  try {
    return await openSealed(file, options);
  } finally {
    await file.close();
  }
}

async function openSealed(file: FileHandle, options: OpenFileOptions): Promise<OpenedFile> {
  const { kind, key, head, paths, whole, allocate } = options;
  const mismatch = () => corruptArtefact(kind, 'the payload does not match its hash');
  const { size } = await file.stat();
  const header = await readPart(file, 0, new Uint8Array(Math.min(sealedHeaderBytes, size)));
  const { format, version, length, hash } = openHeader(kind, header, size, key);
  if (format === 1) {
    const payload = await readPart(file, sealedHeaderBytes, new Uint8Array(allocate(length), 0, length));
    if (!sha256(payload).equals(hash)) throw mismatch();
    return { version, payload };
  }
  const hashes = await readPart(file, sealedHeaderBytes + length, new Uint8Array(hashesLength(length)));
  if (!sha256(hashes).equals(hash)) throw mismatch();
  const readChecked = async (at: number, bytes: Uint8Array): Promise<Uint8Array> => {
    await readPart(file, sealedHeaderBytes + at, bytes);
    if (!areGood(bytes, hashes, at)) throw mismatch();
    return bytes;
  };
  const first = await readChecked(0, new Uint8Array(Math.min(blockBytes, length)));
  const wanted = Math.min(length, head(first));
  // Blocks are checked whole.
  const kept = Math.min(length, Math.ceil(wanted / blockBytes) * blockBytes);
  const buffer = allocate(kept === length ? kept : kept + hashes.length);
  const payload = new Uint8Array(buffer, 0, kept);
  for (let at = 0; at < kept; at += readAtOnce) await readChecked(at, payload.subarray(at, at + readAtOnce));
  if (whole) {
    const spare = new Uint8Array(readAtOnce);
    for (let at = kept; at < length; at += readAtOnce) await readChecked(at, spare.subarray(0, length - at));
  }
  if (kept === length) return { version, payload };
  const hashesKept = new Uint8Array(buffer, kept, hashes.length);
  hashesKept.set(hashes);
  return { version, payload: payload.subarray(0, wanted), rest: { paths, header, hashes: hashesKept, length } };
}

/** Part of a payload; undefined: it is no longer on disk as it was. */
export function readKept(rest: KeptRest, offset: number, count: number): Uint8Array | undefined {
  const { paths, header, hashes, length } = rest;
  if (offset < 0 || offset + count > length) return undefined;
  const from = Math.floor(offset / blockBytes) * blockBytes;
  const to = Math.min(length, Math.ceil((offset + count) / blockBytes) * blockBytes);
  for (const path of paths) {
    const blocks = readIfSame(path, header, from, to);
    if (blocks !== undefined && areGood(blocks, hashes, from)) return blocks.subarray(offset - from).subarray(0, count);
  }
  return undefined;
}

function readIfSame(path: string, header: Uint8Array, from: number, to: number): Uint8Array | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    const found = Buffer.alloc(sealedHeaderBytes);
    if (readSync(fd, found, 0, sealedHeaderBytes, 0) < sealedHeaderBytes || !found.equals(header)) return undefined;
    const blocks = new Uint8Array(to - from);
    return readSync(fd, blocks, 0, blocks.length, sealedHeaderBytes + from) === blocks.length ? blocks : undefined;
  } catch {
    // Gone, or moved on by a newer one: the other path is next.
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** `bytes` are whole blocks of a payload from `at` on, the last one cut where the payload ends. */
function areGood(bytes: Uint8Array, hashes: Uint8Array, at: number): boolean {
  for (let i = 0; i < bytes.length; i += blockBytes) {
    const place = ((at + i) / blockBytes) * hashBytes;
    if (!sha256(bytes.subarray(i, i + blockBytes)).equals(hashes.subarray(place, place + hashBytes))) return false;
  }
  return true;
}

/** A file that ends early leaves zeros, which no hash matches. */
async function readPart(file: FileHandle, position: number, bytes: Uint8Array): Promise<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, at, Math.min(readAtOnce, bytes.length - at), position + at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return bytes;
}
