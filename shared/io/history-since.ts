/** From when on a stream of the past is kept. */
import type { HistoryStore } from '@ufes/core/ports.ts';

/** When its oldest row is of; undefined: there is none. By halving: rows are many, and only the newest are had directly. */
export async function oldestKept(history: HistoryStore, stream: string): Promise<number | undefined> {
  const [newest] = await history.list(stream, { limit: 1 });
  if (newest === undefined) return undefined;
  let [noneMs, someMs] = [-1, newest.atMs];
  while (someMs - noneMs > 1) {
    const middleMs = Math.floor((noneMs + someMs) / 2);
    const [found] = await history.list(stream, { toMs: middleMs, limit: 1 });
    if (found === undefined) noneMs = middleMs;
    else someMs = found.atMs;
  }
  return someMs;
}
