/**
 * The live state that a node keeps on its own disk, STATE/nodes/NODE/live.json: what was known last of each target, and
 * the external verdicts in force. A node that starts with nobody to ask begins from it.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ExternalVerdict, externalOf } from '@ufes/core/belief.ts';
import { describeError } from '@ufes/core/errors.ts';
import type { HealthState } from '@ufes/core/health.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Log } from '@ufes/core/ports.ts';
import type { Verdict } from '@ufes/core/votes.ts';
import { writeDurably } from '@ufes/io/kept.ts';

const format = 1;

export interface KeptState {
  /** Wall clock at which it was so. */
  readonly atMs: number;
  /** By target; counted 0, because nobody stands behind it any more. */
  readonly verdicts: ReadonlyMap<string, Verdict>;
  readonly external: readonly ExternalVerdict[];
}

export interface LiveKept {
  /** What was kept; nothing when there is none, or it cannot be read. */
  load(): Promise<KeptState>;
  /** Writes soon when states or external verdicts are others than those kept, and now and then to renew their age. */
  keep(verdicts: ReadonlyMap<string, Verdict>, external: Iterable<ExternalVerdict>): void;
  /** Writes what waits. */
  flush(): Promise<void>;
}

/** What tells whether there is anything new, without making text of all of it at each result. */
function sameStates(a: ReadonlyMap<string, Verdict>, b: ReadonlyMap<string, Verdict>): boolean {
  if (a.size !== b.size) return false;
  for (const [target, { state, sinceMs }] of a) {
    const other = b.get(target);
    if (other === undefined || other.state !== state || other.sinceMs !== sinceMs) return false;
  }
  return true;
}

interface Content {
  readonly verdicts: Record<string, { state: HealthState; sinceMs: number }>;
  readonly external: readonly ExternalVerdict[];
}

export function createLiveKept(
  state: string,
  node: string,
  { clock, log, intervalMs }: { clock: Clock; log: Log; intervalMs: number },
): LiveKept {
  const path = join(state, 'nodes', node, 'live.json');
  let kept: { verdicts: ReadonlyMap<string, Verdict>; external: readonly ExternalVerdict[] } | undefined;
  let writtenMs = Number.NEGATIVE_INFINITY;
  let isDue = false;
  let timer: (() => void) | undefined;
  let writing: Promise<void> = Promise.resolve();

  function write(): Promise<void> {
    timer?.();
    timer = undefined;
    if (!isDue || kept === undefined) return writing;
    isDue = false;
    writtenMs = clock.monotonicMs();
    const content: Content = {
      verdicts: Object.fromEntries(
        [...kept.verdicts].map(([target, { state, sinceMs }]) => [target, { state, sinceMs }]),
      ),
      external: kept.external,
    };
    const bytes = new TextEncoder().encode(JSON.stringify({ format, atMs: clock.nowMs(), ...content }));
    writing = writing
      .then(() => writeDurably(path, bytes))
      .catch((error: unknown) => log.warn({ error: describeError(error), path }, 'dns: live state not kept on disk'));
    return writing;
  }

  return {
    async load() {
      try {
        return parse(await readFile(path, 'utf8'), intervalMs);
      } catch (error) {
        const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
        if (!isMissing) log.warn({ error: describeError(error), path }, 'dns: kept live state left aside');
        return { atMs: 0, verdicts: new Map(), external: [] };
      }
    },
    keep(verdicts, external) {
      const next = [...external];
      const isSame =
        kept !== undefined &&
        sameStates(kept.verdicts, verdicts) &&
        kept.external.length === next.length &&
        kept.external.every((one, i) => one.target === next[i]!.target && one.atMs === next[i]!.atMs);
      if (isSame && clock.monotonicMs() - writtenMs < limits.health.keepAgainMs) return;
      kept = { verdicts, external: next };
      isDue = true;
      timer ??= clock.after(limits.health.keepMs, () => void write());
    },
    flush: write,
  };
}

function parse(text: string, intervalMs: number): KeptState {
  const read = JSON.parse(text) as Partial<Content> & { format?: unknown; atMs?: unknown };
  if (read.format !== format || typeof read.atMs !== 'number') throw new Error(`format ${read.format}, not ${format}`);
  const verdicts = new Map<string, Verdict>();
  for (const [target, { state, sinceMs }] of Object.entries(read.verdicts ?? {})) {
    if ((state !== 'up' && state !== 'down') || typeof sinceMs !== 'number') continue;
    verdicts.set(target, { state, sinceMs, holdMs: intervalMs, counted: 0, flippedAtMs: 0 });
  }
  const external = (read.external ?? []).flatMap((one) => externalOf(String(one.target ?? ''), one) ?? []);
  return { atMs: read.atMs, verdicts, external };
}
