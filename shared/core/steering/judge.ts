/**
 * Whether a map that was built goes into service, and how much of it now. The map in service and the new one are scored
 * with the same live state, the same demand, and raw samples that the build did not read.
 *
 *     moves ─┬─ exempt          off a PoP that is gone, closed, over its hard limit or degraded, or that the cell's network does not
 *            │                  reach: now, as far as receivers have room; and off a receiver that has none, as many as make it
 *            ├─ first           the cell has no estimate of its own in service: in stages, by a budget of their own
 *            └─ discretionary   in stages, unless all of them are held
 *
 *     held     too many, but for those that come back to a PoP that was to be left; a PoP would be over its hard limit; too many are worse by raw
 *              samples; an operator rolled back (which holds first ones too)
 *
 * A single cell that is worse by raw samples stays, whatever the others do.
 *
 * What stays keeps its ranking: the map that goes into service is the new one with it, or, when all is held, the one in
 * service with what is exempt. Pure but for its memory of what went lately; time comes in as a number.
 */
import { limits } from '../limits.ts';
import type { JudgeInput, Judgement, Went } from './judging.ts';
import type { SteeringMap } from './map.ts';
import { type Compared, compareMaps, type JudgedCells, withRankingsOf } from './moves.ts';
import type { MovedShares } from './publication.ts';
import { type Move, mustLeave, rolledBackReason, Scene } from './scene.ts';
import { Stage } from './stage.ts';

const nothing: MovedShares = {
  ...{ wanted: 0, moved: 0, exempt: 0, first: 0, discretionary: 0, staged: 0, cells: 0 },
};

export class Judge {
  readonly #discretionary = new Stage({
    windowMs: limits.publish.windowMs,
    share: limits.publish.windowShare,
    units: 0,
  });
  readonly #first = new Stage({
    windowMs: limits.publish.firstMs,
    share: limits.publish.windowShare,
    units: limits.publish.firstUnits,
  });
  /** First estimates that wait for their turn: the map in service has them as estimates already, but not as moves. */
  #waiting: ReadonlySet<string> = new Set();

  /** Requests a second that were sent to PoPs (ids) lately. */
  #sent: { readonly atMs: number; readonly pop: string; readonly rate: number }[] = [];
  /** When a PoP was last one to leave, by id. */
  readonly #leftAtMs = new Map<string, number>();

  /** What went before a restart. */
  adopt(atMs: number, discretionary: number): void {
    this.#discretionary.adopt(atMs, discretionary, 0);
  }

  judge(input: JudgeInput): Judgement {
    const { before, after, pops, nowMs } = input;
    for (const id of before.pops) if (mustLeave(pops.get(id), input.hard)) this.#leftAtMs.set(id, nowMs);
    const compared = compareMaps(before, after, (pop) => pops.get(pop)?.isOpen ?? false);
    const { cells } = compared;
    if (compared.moves.length === 0) {
      const rolled = rolledBackReason(input);
      const map = rolled === undefined || !isSameFrame(before, after) ? after : undefined;
      return { map, reasons: rolled ? [rolled] : [], moved: nothing, loads: [], went: [], worse: 0 };
    }
    const scene = new Scene(input, compared, this.#onTheWay(input));
    const moves = scene.moves(
      (unit) => this.#waiting.has(nameOf(unit, cells)),
      (pop) => nowMs - (this.#leftAtMs.get(pop) ?? Number.NEGATIVE_INFINITY) < limits.publish.backMs,
    );
    const of = (kind: Move['kind']) =>
      moves.filter((one) => one.kind === kind).sort((a, b) => gainOf(b) - gainOf(a) || a.cell - b.cell);
    const worse = scene.worse(moves);
    const better = (one: Move) => !worse.has(one);
    const isRolledBack = rolledBackReason(input) !== undefined;
    const others = isRolledBack ? [] : [...of('first'), ...of('discretionary')].filter(better);
    const gone = letGo(of('exempt'), others);
    const reasons = scene.reasons(moves, worse);
    if (!isRolledBack) {
      for (const one of this.#first.admit(of('first').filter(better), nowMs)) gone.add(one);
    }
    if (reasons.length === 0) {
      for (const one of this.#discretionary.admit(of('discretionary').filter(better), nowMs)) gone.add(one);
    }
    for (const [pop, rate] of scene.sent) this.#sent.push({ atMs: nowMs, pop, rate });
    this.#waiting = new Set(
      moves.flatMap((one) => (one.kind === 'first' && !gone.has(one) ? [nameOf(one, cells)] : [])),
    );
    return {
      map: compose(input, compared, moves, gone, reasons.length > 0),
      reasons,
      moved: sharesOf(moves, gone),
      predicted: scene.predicted(gone),
      loads: scene.loads(),
      went: [...gone],
      worse: worse.size,
    };
  }

  /** By PoP (id): of what was sent there, what is not in its load yet. Answers expire one after another. */
  #onTheWay({ nowMs, followMs }: JudgeInput): Map<string, number> {
    const arrivalMs = followMs + limits.publish.tellMs;
    this.#sent = this.#sent.filter(({ atMs }) => nowMs - atMs < arrivalMs);
    const coming = new Map<string, number>();
    for (const { atMs, pop, rate } of this.#sent) {
      coming.set(pop, (coming.get(pop) ?? 0) + rate * (1 - (nowMs - atMs) / arrivalMs));
    }
    return coming;
  }
}

/**
 * Those that must go, as far as there is room. Where a receiver has none, of the others that are to leave it so many go too
 * as make room: without them nobody could.
 */
function letGo(must: readonly Move[], others: readonly Move[]): Set<Move> {
  const gone = new Set<Move>();
  const go = (one: Move) => one.fits() && gone.add(one);
  let waiting = must.filter((one) => !go(one));
  for (let made = true; made && waiting.length > 0; ) {
    made = false;
    const lacking = new Map<string, number>();
    const lack = ({ toNow, share }: Move) => lacking.set(toNow, (lacking.get(toNow) ?? 0) + share);
    for (const one of waiting) lack(one);
    for (const one of others) {
      const wanted = lacking.get(one.fromNow) ?? 0;
      if (wanted <= 0 || one.fromNow === one.toNow || gone.has(one)) continue;
      if (!go(one)) {
        lack(one);
        continue;
      }
      one.kind = 'exempt';
      lacking.set(one.fromNow, wanted - one.share);
      made = true;
    }
    waiting = waiting.filter((one) => !go(one));
  }
  return gone;
}

function nameOf(
  { key, cell }: { readonly key: string; readonly cell: number },
  { hi, lo, count4 }: JudgedCells,
): string {
  return `${key} ${cell < count4 ? 4 : 6} ${hi[cell]} ${lo[cell]}`;
}

function gainOf({ gainMs }: Went): number {
  return Number.isNaN(gainMs) ? -1e9 : gainMs;
}

function sharesOf(moves: readonly Move[], gone: ReadonlySet<Move>): MovedShares {
  const sum = (list: Iterable<Move>, kind?: Move['kind']) => {
    let total = 0;
    for (const one of list) if (kind === undefined || one.kind === kind) total += one.share;
    return total;
  };
  const [wanted, moved] = [sum(moves), sum(gone)];
  return {
    wanted,
    moved,
    exempt: sum(gone, 'exempt'),
    first: sum(gone, 'first'),
    discretionary: sum(gone, 'discretionary'),
    staged: Math.max(0, wanted - moved),
    cells: gone.size,
  };
}

/** Both maps number PoPs and groups alike, so that a ranking of one can stand in the other. */
function isSameFrame(before: SteeringMap, after: SteeringMap): boolean {
  const text = ({ pops, groups }: SteeringMap) => JSON.stringify([pops, groups.map(({ key }) => key)]);
  return text(before) === text(after);
}

function compose(
  { before, after }: JudgeInput,
  { cells }: Compared,
  moves: readonly Move[],
  gone: ReadonlySet<Move>,
  isHeld: boolean,
): SteeringMap | undefined {
  if (isHeld && isSameFrame(before, after)) {
    return gone.size === 0 ? undefined : withRankingsOf(before, after, cells, [...gone]);
  }
  const stay = moves.filter((one) => !gone.has(one));
  return withRankingsOf(after, before, cells, stay);
}
