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
    try {
      return await readFile(path);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** `isCurrentGood`: what was current is worth stepping back to. */
  async save(sealed: Uint8Array, isCurrentGood: boolean): Promise<void> {
    if (isCurrentGood) await ignoreMissing(rename(this.current, this.previous));
    await writeDurably(this.current, sealed);
  }
}

/** Whole and on disk under `path`, or not at all. Makes the folder. */
export async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  // A name of its own: two writers of one path must not share a file, and the last to rename wins whole.
  const aside = `${path}.${randomBytes(6).toString('hex')}.new`;
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
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function ignoreMissing(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
