/**
 * Journals of collectors that leave for good. One that leaves drains: its doors close, a last mark goes into its journal,
 * and it stays until all of it is folded. One whose machine leaves at once hands its journal over: the folder
 * STATE/probe/journal, put into STATE/probe/handed/ of another collector, is forwarded by that one when it starts, under the name it always
 * had, and removed when it is folded.
 */
import { mkdirSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component, EvidenceStore } from '@ufes/core/ports.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { createForwarder } from './forward.ts';
import { type Journal, openJournal } from './journal.ts';

/** After this nothing comes (core/samples.ts, Mark). */
const forGood = Number.MAX_SAFE_INTEGER;

/** Records of a journal that are not folded yet. Rejects with STORE_UNAVAILABLE. */
async function unfolded(
  journal: Pick<Journal, 'counts'>,
  collector: string,
  evidence: Pick<EvidenceStore, 'offsets'>,
): Promise<number> {
  let waiting = 0;
  for (const [shard, count] of journal.counts().entries()) {
    waiting += Math.max(0, count - ((await evidence.offsets(shard))[collector] ?? 0));
  }
  return waiting;
}

export interface Departing {
  readonly journal: Journal;
  readonly collector: string;
  readonly evidence: Pick<EvidenceStore, 'offsets'>;
  readonly closeDoors: () => Promise<void>;
}

/** Each call says how many records are not folded yet; the first one closes the doors. */
export function createDeparture({ journal, collector, evidence, closeDoors }: Departing): () => Promise<number> {
  let closed: Promise<void> | undefined;
  return async () => {
    closed ??= closeDoors().then(() => journal.mark(forGood));
    await closed;
    return unfolded(journal, collector, evidence);
  };
}

/** Forwards the journals that were handed over, and removes each when all of it is folded. */
export function createHeirs(context: ServiceContext): Component {
  const { state, node, clock, log, store, queue } = context;
  const folder = join(state, 'probe', 'handed');
  const stops: (() => Promise<void>)[] = [];

  async function adopt(name: string): Promise<void> {
    const path = join(folder, name);
    const journal = await openJournal({ folder: path, clock, log });
    const collector = `${node}-${journal.id}`;
    const forwarder = createForwarder({ journal, collector, stream: queue.samples, clock, log });
    await journal.mark(forGood);
    await forwarder.start();
    log.info({ journal: name, collector, records: forwarder.lag() }, 'a journal was handed over and is forwarded');
    const end = async (): Promise<void> => {
      cancel();
      await forwarder.stop();
      await journal.close();
    };
    let isLooking = false;
    const look = async (): Promise<void> => {
      if (isLooking || (await unfolded(journal, collector, store.evidence)) > 0) return;
      isLooking = true;
      stops.splice(stops.indexOf(end), 1);
      await end();
      await rm(path, { recursive: true });
      log.info({ journal: name, collector }, 'a journal that was handed over is folded, and removed');
    };
    const cancel = clock.every(limits.probe.forwardCheckMs, () => {
      look().catch((thrown: unknown) => log.debug({ error: describeError(thrown) }, 'a handed journal waits'));
    });
    stops.push(end);
  }

  return {
    async start() {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const entries = await readdir(folder, { withFileTypes: true });
      for (const entry of entries) if (entry.isDirectory()) await adopt(entry.name);
    },
    async stop() {
      for (const stop of stops.splice(0)) await stop();
    },
  };
}
