/**
 * Room for everybody: cells are given to PoPs by deferred acceptance (Gale and Shapley 1962, with capacities).
 *
 *     each cell asks the PoPs of its ranking in turn; a PoP that is over its limit sends away the cells that lose least
 *     by going on to their next one; these ask there, until none is sent away
 *
 * The outcome is stable: no cell would rather be at a PoP that has room for it, or that holds a cell that would lose less.
 * A PoP that is full up to its soft limit takes no cell that loses next to nothing elsewhere; up to its hard one it takes
 * what would lose. Pure; demand and capacities come in any one unit.
 */
export interface Asking {
  /** By cell: what it asks for, requests a second. */
  readonly demand: Float64Array;
  /** By cell, `width` each: PoPs, best first. */
  readonly rankings: Uint8Array;
  readonly width: number;
  /** By cell and PoP, `pops` each: what it costs there, milliseconds; NaN: not known. */
  readonly costs: Float32Array;
  readonly pops: number;
}

/** What one cell loses by leaving a PoP for the next one of its ranking. */
function lossOf({ costs, pops, rankings, width }: Asking, cell: number, step: number): number {
  if (step + 1 >= width) return Number.POSITIVE_INFINITY;
  const at = (i: number) => costs[cell * pops + rankings[cell * width + i]!]!;
  const loss = at(step + 1) - at(step);
  return Number.isNaN(loss) ? 0 : Math.max(0, loss);
}

/**
 * The step of its ranking at which each cell is let in. `limits` by PoP. A cell that no PoP of its ranking has room for
 * stays with its first: its answer must be something, and live shedding sees to the rest.
 */
export function assign(asking: Asking, limits: ArrayLike<number>, without = -1): Uint8Array {
  const { demand, rankings, width, pops } = asking;
  const steps = new Uint8Array(demand.length);
  const held = Array.from({ length: pops }, () => new LeastFirst());
  const load = new Float64Array(pops);
  const asks: number[] = [];
  for (let cell = demand.length - 1; cell >= 0; cell--) if (demand[cell]! > 0) asks.push(cell);
  while (asks.length > 0) {
    const cell = asks.pop()!;
    while (steps[cell]! < width && rankings[cell * width + steps[cell]!] === without) steps[cell]!++;
    if (steps[cell]! >= width) continue;
    const pop = rankings[cell * width + steps[cell]!]!;
    held[pop]!.push(cell, lossOf(asking, cell, steps[cell]!) / demand[cell]!);
    load[pop]! += demand[cell]!;
    while (load[pop]! > limits[pop]! && held[pop]!.size > 0) {
      const spilled = held[pop]!.pop();
      load[pop]! -= demand[spilled]!;
      steps[spilled]!++;
      asks.push(spilled);
    }
  }
  for (let cell = 0; cell < steps.length; cell++) if (steps[cell]! >= width) steps[cell] = 0;
  return steps;
}

/** A heap of cells, the one with the least loss on top. */
class LeastFirst {
  readonly #cells: number[] = [];
  readonly #losses: number[] = [];

  get size(): number {
    return this.#cells.length;
  }

  push(cell: number, loss: number): void {
    let at = this.#cells.length;
    this.#cells.push(cell);
    this.#losses.push(loss);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(at, parent)) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  pop(): number {
    const top = this.#cells[0]!;
    const cell = this.#cells.pop()!;
    const loss = this.#losses.pop()!;
    if (this.#cells.length === 0) return top;
    this.#cells[0] = cell;
    this.#losses[0] = loss;
    for (let at = 0; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < this.#cells.length && this.#isBefore(child, least)) least = child;
      }
      if (least === at) return top;
      this.#swap(at, least);
      at = least;
    }
  }

  #isBefore(a: number, b: number): boolean {
    return (
      this.#losses[a]! < this.#losses[b]! || (this.#losses[a] === this.#losses[b] && this.#cells[a]! > this.#cells[b]!)
    );
  }

  #swap(a: number, b: number): void {
    [this.#cells[a], this.#cells[b]] = [this.#cells[b]!, this.#cells[a]!];
    [this.#losses[a], this.#losses[b]] = [this.#losses[b]!, this.#losses[a]!];
  }
}

/**
 * Puts rankings in an order that fits: first choices within `limits`, and for the loss of any one PoP the second choices
 * of its cells within the room that is left. Changes `asking.rankings`; true when anything moved.
 */
export function fit(asking: Asking, limits: ArrayLike<number>): boolean {
  const { demand, rankings, width, pops } = asking;
  let moved = false;
  const promote = (cell: number, from: number, to: number): void => {
    if (from === to) return;
    const at = cell * width;
    const pop = rankings[at + from]!;
    rankings.copyWithin(at + to + 1, at + to, at + from);
    rankings[at + to] = pop;
    moved = true;
  };
  const steps = assign(asking, limits);
  for (let cell = 0; cell < demand.length; cell++) promote(cell, steps[cell]!, 0);
  const load = new Float64Array(pops);
  for (let cell = 0; cell < demand.length; cell++) load[rankings[cell * width]!]! += demand[cell]!;
  for (let lost = 0; lost < pops; lost++) {
    const cells: number[] = [];
    for (let cell = 0; cell < demand.length; cell++)
      if (rankings[cell * width] === lost && demand[cell]! > 0) cells.push(cell);
    if (cells.length === 0) continue;
    const room = Float64Array.from(load, (of, pop) => Math.max(0, limits[pop]! - of));
    const heirs = assign(subset(asking, cells), room, lost);
    for (const [i, cell] of cells.entries()) if (heirs[i]! > 0) promote(cell, heirs[i]!, 1);
  }
  return moved;
}

function subset({ demand, rankings, costs, width, pops }: Asking, cells: readonly number[]): Asking {
  const part = {
    demand: Float64Array.from(cells, (cell) => demand[cell]!),
    rankings: new Uint8Array(cells.length * width),
    costs: new Float32Array(cells.length * pops),
    width,
    pops,
  };
  for (const [i, cell] of cells.entries()) {
    part.rankings.set(rankings.subarray(cell * width, (cell + 1) * width), i * width);
    part.costs.set(costs.subarray(cell * pops, (cell + 1) * pops), i * pops);
  }
  return part;
}
