/**
 * What publications did: a quarter of an hour after one, raw samples since then say what the cells that moved have now,
 * and what they would have had. Beacons measure PoPs that answers do not send them to, so both are known.
 */
import { limits } from '@ufes/core/limits.ts';
import type { GroupCosts, Went } from '@ufes/core/steering/judging.ts';
import type { JudgedCells } from '@ufes/core/steering/moves.ts';
import type { Publication } from '@ufes/core/steering/publication.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import type { RawRing } from './raw.ts';

export class Effects {
  readonly #clock: ServiceContext['clock'];
  readonly #raw: RawRing;
  readonly #keep: (record: Publication) => Promise<void>;
  readonly #waiting = new Set<() => void>();

  constructor({ clock }: Pick<ServiceContext, 'clock'>, raw: RawRing, keep: (record: Publication) => Promise<void>) {
    this.#clock = clock;
    this.#raw = raw;
    this.#keep = keep;
  }

  /** Has the effect added to the record when it is known. Of many publications at once some are not measured. */
  expect(
    record: Publication,
    went: readonly Went[],
    costs: ReadonlyMap<string, GroupCosts>,
    sources: ReadonlySet<string>,
  ): void {
    const moves = went.toSorted((a, b) => b.share - a.share).slice(0, limits.publish.measuredMoves);
    if (moves.length === 0 || this.#waiting.size >= limits.publish.measuredWaiting) return;
    const cancel = this.#clock.after(limits.publish.measuredMs, () => {
      this.#waiting.delete(cancel);
      const measured = this.#measure(record.atMs, moves, costs, sources);
      if (measured !== undefined) void this.#keep({ ...record, measured });
    });
    this.#waiting.add(cancel);
  }

  stop(): void {
    for (const cancel of this.#waiting) cancel();
    this.#waiting.clear();
  }

  #measure(
    sinceMs: number,
    moves: readonly Went[],
    costs: ReadonlyMap<string, GroupCosts>,
    sources: ReadonlySet<string>,
  ): Publication['measured'] {
    const cells = cellsOf(moves);
    const raw = this.#raw.lookup(cells, new Uint8Array(cells.count).fill(1), sources, sinceMs);
    let [known, gain, predicted, all] = [0, 0, 0, 0];
    for (const [i, { key, from, to, share, gainMs }] of [...moves].sort(byFamily).entries()) {
      all += share;
      const [a, b] = [raw(i, from), raw(i, to)];
      if (a === undefined || b === undefined || Number.isNaN(gainMs)) continue;
      const { k = 1, backboneMs = new Map<string, number>() } = costs.get(key) ?? {};
      known += share;
      gain += share * (k * (a.ms - b.ms) + (backboneMs.get(from) ?? 0) - (backboneMs.get(to) ?? 0));
      predicted += share * gainMs;
    }
    if (known === 0) return undefined;
    return { atMs: this.#clock.nowMs(), gainMs: gain / known, predictedGainMs: predicted / known, known: known / all };
  }
}

const byFamily = (a: Went, b: Went): number => a.family - b.family;

/** /24s first, as `lookup` wants them; of one cell in two groups both. */
function cellsOf(moves: readonly Went[]): JudgedCells {
  const sorted = [...moves].sort(byFamily);
  const none = new Int32Array(sorted.length).fill(-1);
  return {
    count: sorted.length,
    count4: sorted.filter(({ family }) => family === 4).length,
    hi: Uint32Array.from(sorted, ({ hi }) => hi),
    lo: Uint32Array.from(sorted, ({ lo }) => lo),
    before: none,
    after: none,
  };
}
