/**
 * Sees to it that the kept file is the one of the sources: compiles in a thread when it is not. Several processes of
 * one state folder wait for the one that compiles, by a lock file that its holder touches every second.
 */
import { mkdir, open, rm, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Log } from '@ufes/core/ports.ts';
import { systemClock } from '@ufes/io/clock.ts';
import type { CompileMessage, CompileTask } from './compile-worker.ts';
import { readKept } from './file.ts';
import type { Sources } from './sources.ts';
import type { Compiled, OnProgress } from './tables.ts';

export interface KeepOptions {
  readonly log: Log;
  readonly onProgress?: OnProgress;
  /** Ends the thread; the result then rejects. */
  readonly signal?: AbortSignal;
}

/** The compiled `sources`, from the kept file or by a compile. Rejects with GEOIP_UNREADABLE or GEOIP_CORRUPT. */
export async function keptOrCompiled(sources: Sources, file: string, options: KeepOptions): Promise<Compiled> {
  const kept = await readGood(file, options.log);
  if (kept?.header.key === sources.key) return kept;
  await mkdir(path.dirname(file), { recursive: true });
  const unlock = await lock(`${file}.lock`, options);
  try {
    const meanwhile = await readGood(file, options.log);
    if (meanwhile?.header.key === sources.key) return meanwhile;
    const startedMs = systemClock.monotonicMs();
    await compileInThread({ sources, file }, options);
    const seconds = Math.round(systemClock.monotonicMs() - startedMs) / 1000;
    options.log.info({ file, seconds }, 'compiled GeoIP data');
    const compiled = await readKept(file);
    if (compiled === undefined) throw new Error(`${file} vanished after it was written`);
    return compiled;
  } finally {
    await unlock();
  }
}

/** The kept file, or undefined, with a line in the log, when it cannot be used. */
export async function readGood(file: string, log: Log): Promise<Compiled | undefined> {
  try {
    return await readKept(file);
  } catch (thrown) {
    log.warn({ file, error: describeError(thrown) }, 'kept GeoIP file cannot be used; compiling anew');
    return undefined;
  }
}

async function compileInThread(task: CompileTask, { onProgress, signal }: KeepOptions): Promise<void> {
  const worker = new Worker(new URL('./compile-worker.ts', import.meta.url), { workerData: task, execArgv: [] });
  const end = () => void worker.terminate();
  try {
    await new Promise<void>((resolve, reject) => {
      worker.on('message', (message: CompileMessage) => {
        if (message.kind === 'progress') onProgress?.(message.fraction, message.what);
        else if (message.kind === 'done') resolve();
        else if (message.code === undefined) reject(new Error(message.message));
        else reject(new OperatingError(message.code, message.message));
      });
      worker.on('error', reject);
      worker.on('exit', (code) => reject(new Error(`the compiling thread ended early (${code})`)));
      signal?.addEventListener('abort', end);
      if (signal?.aborted) end();
    });
    onProgress?.(1, 'done');
  } finally {
    signal?.removeEventListener('abort', end);
    await worker.terminate();
  }
}

/** Waits for the lock; the result gives it back. */
/** Waits for its turn; the result gives it back. */
export async function lock(file: string, { signal }: KeepOptions): Promise<() => Promise<void>> {
  while (!(await take(file))) {
    await delay(limits.geoip.lockPollMs, undefined, { signal });
    const silentMs = systemClock.nowMs() - (await touchedMs(file));
    if (silentMs > limits.geoip.lockStaleMs) await rm(file, { force: true });
  }
  const stopTouching = systemClock.every(1_000, () => {
    const now = new Date(systemClock.nowMs());
    utimes(file, now, now).catch(() => {});
  });
  return async () => {
    stopTouching();
    await rm(file, { force: true });
  };
}

async function take(file: string): Promise<boolean> {
  try {
    await using handle = await open(file, 'wx');
    await handle.writeFile(`${process.pid}\n`);
    return true;
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST') return false;
    throw thrown;
  }
}

async function touchedMs(file: string): Promise<number> {
  try {
    return (await stat(file)).mtimeMs;
  } catch {
    return systemClock.nowMs();
  }
}
