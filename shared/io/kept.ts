/**
 * A node's own copies of the artefacts it serves by, STATE/nodes/NODE/KIND.current and .previous: what a restart serves
 * from when the store is gone. Written aside, synced, renamed: each file is whole or not there.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ArtefactKind } from '@ufes/core/ports.ts';

export class KeptArtefacts {
  readonly current: string;
  readonly previous: string;

  constructor(state: string, node: string, kind: ArtefactKind) {
    this.current = join(state, 'nodes', node, `${kind}.current`);
    this.previous = join(state, 'nodes', node, `${kind}.previous`);
  }

  /** Undefined when there is none; rejects when it cannot be read. */
  async read(path: string): Promise<Uint8Array | undefined> {
    return ifThere(readFile(path));
  }

  /**
   * Writes pieces one after the other to a file beside `current`, on disk when it resolves to its path; undefined: there
   * is no first piece. The file is the caller's, to be adopted or removed.
   */
  async writeAside(pieceAt: (offset: number) => Promise<Uint8Array | undefined>): Promise<string | undefined> {
    const first = await pieceAt(0);
    if (first === undefined) return undefined;
    await mkdir(dirname(this.current), { recursive: true, mode: 0o700 });
    const aside = asideOf(this.current);
    try {
      const file = await open(aside, 'wx', 0o600);
      try {
        let length = 0;
        for (let piece: Uint8Array | undefined = first; piece !== undefined; piece = await pieceAt(length)) {
          await file.writeFile(piece);
          length += piece.length;
        }
        await file.sync();
      } finally {
        await file.close();
      }
      return aside;
    } catch (error) {
      await rm(aside, { force: true }).catch(() => {});
      throw error;
    }
  }

  /** Makes a file that was written aside the current one. `isCurrentGood`: as for save(). */
  async adopt(aside: string, isCurrentGood: boolean): Promise<void> {
    if (isCurrentGood) await ifThere(rename(this.current, this.previous));
    await rename(aside, this.current);
    await syncFolder(this.current);
  }

  /** `isCurrentGood`: what was current is worth stepping back to. */
  async save(sealed: Uint8Array, isCurrentGood: boolean): Promise<void> {
    if (isCurrentGood) await ifThere(rename(this.current, this.previous));
    await writeDurably(this.current, sealed);
  }
}

/** Whole and on disk under `path`, or not at all. Makes the folder. */
export async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const aside = asideOf(path);
  try {
    const file = await open(aside, 'wx', 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(aside, path);
  } catch (error) {
    await rm(aside, { force: true }).catch(() => {});
    throw error;
  }
  await syncFolder(path);
}

/** A name of its own: two writers of one path must not share a file, and the last to rename wins whole. */
function asideOf(path: string): string {
  return `${path}.${randomBytes(6).toString('hex')}.new`;
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Undefined when the file it is about is missing. */
export async function ifThere<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
