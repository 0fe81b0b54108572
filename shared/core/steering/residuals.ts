/**
 * What is known of the ways to all PoPs, as three columns in one array: there are tens of thousands of these, and each array
 * more is an object that every collection of garbage goes through.
 *
 *     PoP        0     1     2   │  0     1     2   │  0     1     2
 *              ms                │  slack           │  votes, or basis
 */

class Columns {
  protected readonly pops: number;
  /** Begins with `ms` of all PoPs. */
  readonly values: Float32Array;

  constructor(pops: number, values = new Float32Array(3 * pops)) {
    this.pops = pops;
    this.values = values;
  }

  /** NaN where it is not known. */
  ms(pop: number): number {
    return this.values[pop]!;
  }

  /** How far one vote alone can move `ms` at most. */
  slackMs(pop: number): number {
    return this.values[this.pops + pop]!;
  }

  protected third(pop: number): number {
    return this.values[2 * this.pops + pop]!;
  }

  put(pop: number, ms: number, slackMs: number, third: number): void {
    this.values[pop] = ms;
    this.values[this.pops + pop] = slackMs;
    this.values[2 * this.pops + pop] = third;
  }
}

/** Medians of votes. */
export class Residuals extends Columns {
  votes(pop: number): number {
    return this.third(pop);
  }

  /** Of some PoP there are so many votes. */
  hasVotes(least: number): boolean {
    for (let pop = 0; pop < this.pops; pop++) if (this.votes(pop) >= least) return true;
    return false;
  }
}

/** What is believed of a place, added to the prior, and what that rests on (prediction-errors.ts). */
export class Belief extends Columns {
  constructor(pops: number, values = new Float32Array(5 * pops)) {
    super(pops, values);
  }

  /** How far one cell could move `ms` beside its slack by not voting: fewer weigh less, and a metro around may be gone. */
  frailMs(pop: number): number {
    return this.values[3 * this.pops + pop]!;
  }

  /** Votes of what it rests on: of the AS, of the metro, or of those around. */
  votes(pop: number): number {
    return this.values[4 * this.pops + pop]!;
  }

  rest(pop: number, frailMs: number, votes: number): void {
    this.values[3 * this.pops + pop] = frailMs;
    this.values[4 * this.pops + pop] = votes;
  }

  /** Takes over what another one says of a PoP. */
  take(pop: number, from: Belief): void {
    for (let at = pop; at < this.values.length; at += this.pops) this.values[at] = from.values[at]!;
  }

  basis(pop: number): number {
    return this.third(pop);
  }

  copy(): Belief {
    return new Belief(this.pops, this.values.slice());
  }
}
