/**
 * What places are ranked by: beliefs (tiers.ts), each held until more changed of it than one cell alone could have done.
 * A gain that falls just short would else be carried over the margin by a single liar.
 *
 *     held − 3 slacks      held      held + 3 slacks       slack: how far one cell could move it; thrice, since it also moves
 *     ───────┼──────────────┼──────────────┼───────       the lines of others, and they themselves change a little
 *       told │            stays            │ told         or told: a quarter of its votes, and two at least, came or went
 */
import { estimation } from './estimation.ts';
import { Basis } from './prediction-errors.ts';
import type { Belief } from './residuals.ts';
import type { Tiers } from './tiers.ts';

export const holding = {
  /** Held while what is believed now lies within so many slacks and milliseconds of it. */
  slacks: 3,
  ms: 2,
  /** Held while the votes that it rests on are within this share, and one, of those it rested on. */
  votesShare: 0.25,
};

export class HeldBeliefs {
  readonly #tiers: Tiers;
  readonly #pops: number;
  /** By metro and AS, 0 for the metro itself. */
  readonly #held = new Map<number, Map<number, Belief>>();

  constructor(tiers: Tiers, pops: number) {
    this.#tiers = tiers;
    this.#pops = pops;
  }

  /** As `Tiers.beliefOf`. */
  of(metro: number, asn: number): Belief {
    return this.#held.get(metro)?.get(asn) ?? this.#tiers.beliefOf(metro, asn);
  }

  /** Whether an AS has a belief of its own there; it keeps it. */
  has(metro: number, asn: number): boolean {
    return asn !== 0 && this.#held.get(metro)?.has(asn) === true;
  }

  /** Takes in what is believed of these metros now; those of them that something else is held of. */
  update(metros: Iterable<number>): number[] {
    const changed: number[] = [];
    for (const metro of metros) if (this.#take(metro)) changed.push(metro);
    return changed;
  }

  #take(metro: number): boolean {
    const tiers = this.#tiers;
    let byAsn = this.#held.get(metro);
    if (byAsn === undefined) {
      byAsn = new Map([[0, tiers.beliefOf(metro, 0)]]);
      this.#held.set(metro, byAsn);
      for (const asn of tiers.asnsOf(metro)) byAsn.set(asn, tiers.beliefOf(metro, asn));
      return true;
    }
    let changed = false;
    for (const [asn, held] of byAsn) {
      const taken = takenOf(held, tiers.beliefOf(metro, asn), this.#pops);
      if (taken === held) continue;
      byAsn.set(asn, taken);
      changed = true;
    }
    for (const asn of tiers.asnsOf(metro)) {
      if (byAsn.has(asn)) continue;
      byAsn.set(asn, tiers.beliefOf(metro, asn));
      changed = true;
    }
    return changed;
  }
}

/** `held` where it stays of every PoP. */
function takenOf(held: Belief, now: Belief, pops: number): Belief {
  let taken = held;
  for (let pop = 0; pop < pops; pop++) {
    if (stays(held, now, pop)) continue;
    if (taken === held) taken = held.copy();
    taken.take(pop, now);
  }
  return taken;
}

function stays(held: Belief, now: Belief, pop: number): boolean {
  const [level, levelNow] = [leastOf(held.basis(pop)), leastOf(now.basis(pop))];
  // With one vote, too many of its least are gone or there.
  if (level !== levelNow) return (level > levelNow ? held : now).votes(pop) === Math.max(level, levelNow);
  const before = held.votes(pop);
  const one = level === 0 ? estimation.metroVotes : 1;
  if (Math.abs(now.votes(pop) - before) > Math.max(one, holding.votesShare * before)) return false;
  const frailMs = Math.max(held.frailMs(pop), now.frailMs(pop));
  const withinMs = holding.slacks * held.slackMs(pop) + frailMs + holding.ms;
  return Math.abs(now.ms(pop) - held.ms(pop)) <= withinMs;
}

/** The least votes that a residual of the AS, or of the metro, rests on; 0: it rests on those around. */
function leastOf(basis: number): number {
  return basis === Basis.asn ? estimation.votes : basis === Basis.metro ? estimation.metroVotes : 0;
}
