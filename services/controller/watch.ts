/**
 * Notices changes of files and folders: fs.watch for speed, and a look at each interval, because watches miss changes on
 * some file systems and a folder may not be there yet.
 */
import { type FSWatcher, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Component } from '@ufes/core/ports.ts';

export interface WatchInit {
  readonly clock: Clock;
  /** Between looks without a hint. */
  readonly pollMs: number;
  /** Waits this long after a hint, so that a burst of changes is one. */
  readonly debounceMs: number;
  /** Folders to get hints from. Asked again at every look. */
  readonly folders: () => readonly string[];
  /** Whether a change of this file is worth a look. */
  readonly concerns: (path: string) => boolean;
  /** Called at each look; one at a time. */
  readonly look: () => Promise<void>;
}

/** `start` resolves after a first look. */
export function createWatch(init: WatchInit): Component & { hint(): void } {
  const { clock } = init;
  const watchers = new Map<string, FSWatcher>();
  let running: Promise<void> | undefined;
  let isWanted = false;
  let isStopped = true;
  let cancelHint: (() => void) | undefined;
  let cancelPoll: (() => void) | undefined;

  const hint = () => {
    cancelHint ??= clock.after(init.debounceMs, () => {
      cancelHint = undefined;
      void look();
    });
  };

  const rewatch = () => {
    const folders = new Set(init.folders());
    for (const [folder, watcher] of watchers) {
      if (folders.has(folder)) continue;
      watcher.close();
      watchers.delete(folder);
    }
    for (const folder of folders) {
      if (watchers.has(folder)) continue;
      try {
        const watcher = watch(folder, (_, name) => {
          if (name === null || init.concerns(join(folder, name))) hint();
        });
        const drop = () => {
          watcher.close();
          watchers.delete(folder);
        };
        watcher.on('error', drop);
        watchers.set(folder, watcher);
      } catch {
        // Not there (yet): the next look tries again.
      }
    }
  };

  const look = (): Promise<void> => {
    isWanted = true;
    running ??= (async () => {
      while (isWanted && !isStopped) {
        isWanted = false;
        rewatch();
        await init.look();
      }
      running = undefined;
    })();
    return running;
  };

  return {
    hint,
    async start() {
      isStopped = false;
      await look();
      cancelPoll = clock.every(init.pollMs, () => void look());
    },
    async stop() {
      isStopped = true;
      cancelHint?.();
      cancelPoll?.();
      for (const watcher of watchers.values()) watcher.close();
      watchers.clear();
      await running;
    },
  };
}

/** Changes whenever the file may have; `-` when it is not there. */
export async function fileSignature(path: string): Promise<string> {
  try {
    const { mtimeMs, ctimeMs, size, ino } = await stat(path);
    return `${mtimeMs}|${ctimeMs}|${size}|${ino}`;
  } catch {
    return '-';
  }
}
