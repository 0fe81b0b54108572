/**
 * The journal of the live state that this node decides by: every change of what answers read, its own votes, and the
 * versions it had applied. Kept in the history stream `live/NODE`; while the store is gone it waits in memory, bounded.
 */
import type { ExternalVerdict } from '@ufes/core/belief.ts';
import { describeError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { LiveView } from '@ufes/core/live.ts';
import { type Fact, factsOf, LiveJournal, loadsOf, type Numbered } from '@ufes/core/live-facts.ts';
import type { Verdict, Vote } from '@ufes/core/votes.ts';
import { keepLive } from '@ufes/io/history.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import type { Orders } from './orders.ts';

type Parts = Pick<ServiceContext, 'store' | 'node' | 'clock' | 'log' | 'rng'>;

/** What answers are decided by now. */
export interface Decisive {
  readonly view: LiveView;
  readonly numbered: Numbered;
  /** Row and PoP of the cells that are set. */
  readonly cells: Iterable<readonly [row: number, pop: number]>;
  readonly verdicts: ReadonlyMap<string, Verdict>;
  readonly own: readonly Vote[];
  readonly orders: Pick<Orders, 'at' | 'inForce'>;
  readonly external: Iterable<ExternalVerdict>;
  /** Versions of the tables in service, as texts. */
  readonly applied: { readonly map?: string | undefined; readonly desired?: string | undefined };
}

export interface JournalKeeper {
  note(decisive: Decisive): void;
  /** Keeps what waits. */
  flush(): Promise<void>;
}

export function createJournalKeeper(parts: Parts): JournalKeeper {
  const { clock, log, rng } = parts;
  const journal = new LiveJournal(`${Math.floor(clock.nowMs())}-${Buffer.from(rng.bytes(3)).toString('hex')}`);
  const loads = new Map<string, Fact>();
  let loadsAtMs = Number.NEGATIVE_INFINITY;
  let number = 0;
  let timer: (() => void) | undefined;
  let keeping: Promise<void> | undefined;
  let isGone = false;

  async function keep(): Promise<void> {
    try {
      for (let batch = journal.batch(); batch !== undefined; batch = journal.batch()) {
        await keepLive(parts, batch, ++number);
        journal.kept(batch);
      }
      isGone = false;
    } catch (error) {
      if (!isGone) log.warn({ error: describeError(error) }, 'dns: the journal of live state waits for the store');
      isGone = true;
      later();
    }
  }

  function later(): void {
    timer ??= clock.after(limits.history.liveMs, () => {
      timer = undefined;
      void flush();
    });
  }

  function flush(): Promise<void> {
    keeping ??= keep().finally(() => {
      keeping = undefined;
    });
    return keeping;
  }

  /** Explains, and decides nothing: noted now and then, where it changed by much. */
  function noteLoads(view: LiveView, numbered: Numbered, atMs: number): void {
    if (atMs - loadsAtMs < limits.history.loadMs) return;
    loadsAtMs = atMs;
    for (const [pop, load] of loadsOf(view, numbered)) {
      const before = Number(loads.get(pop)?.[0] ?? 0);
      if (Math.abs(load - before) >= limits.history.loadPerMille) loads.set(pop, [load]);
    }
  }

  return {
    note({ view, numbered, cells, verdicts, own, orders, external, applied }) {
      const atMs = Math.floor(clock.nowMs());
      const facts = factsOf(view, numbered, cells);
      noteLoads(view, numbered, atMs);
      for (const [pop, load] of loads) facts.set(`load/${pop}`, load);
      for (const [target, { state, counted, sinceMs }] of verdicts)
        facts.set(`votes/${target}`, [state, counted, sinceMs]);
      for (const { target, state } of own) facts.set(`own/${target}`, [state]);
      for (const { pop, untilMs, by, reason } of orders.inForce('drain'))
        facts.set(`drain/${pop}`, [untilMs, by, reason]);
      for (const { target, state, untilMs, by, reason } of external)
        if (state !== 'none') facts.set(`said/${target}`, [state, untilMs, by, reason]);
      for (const [key, fact] of facts) {
        const order = key.startsWith('force/') ? orders.at(Number(key.slice('force/'.length))) : undefined;
        if (order === undefined) continue;
        facts.set(key, [...fact, order.key.slice('force/'.length), order.glob ?? '', order.by, order.reason]);
      }
      for (const kind of ['map', 'desired'] as const) {
        const version = applied[kind];
        if (version !== undefined) facts.set(`applied/${kind}`, [version]);
      }
      if (journal.note(facts, atMs)) later();
    },
    async flush() {
      timer?.();
      timer = undefined;
      await keeping;
      await flush();
    },
  };
}
