/**
 * Rankings of one group that were changed so that PoPs have room (capacity.ts), kept from build to build: who was sent
 * away is the first to be sent away again, so that cells do not come and go.
 */
import { type Asking, fit, type PopLimits } from './capacity.ts';
import { noPop } from './map.ts';

export class Fitted {
  /** By cell row: places in the group's candidates, best first. */
  rows: ReadonlyMap<number, Uint8Array> = new Map();
  /** First choices by unit, as the last fit changed them. */
  #firsts = new Map<number, number>();

  /** Fits anew. Rows whose ranking is another than before; `rowFor` gives units a row that have none. */
  update(asking: Omit<Asking, 'kept'>, limits: PopLimits, rowFor: (unit: number) => number): number[] {
    const kept = this.#firsts;
    const fitted = fit({ ...asking, kept: (unit) => kept.get(unit) ?? noPop }, limits);
    const rows = new Map<number, Uint8Array>();
    this.#firsts = new Map();
    for (const [unit, ranking] of fitted) {
      rows.set(rowFor(unit), ranking);
      this.#firsts.set(unit, ranking[0]!);
    }
    const changed: number[] = [];
    for (const [row, ranking] of rows) if (!isSame(this.rows.get(row), ranking)) changed.push(row);
    for (const row of this.rows.keys()) if (!rows.has(row)) changed.push(row);
    this.rows = rows;
    return changed;
  }
}

function isSame(a: Uint8Array | undefined, b: Uint8Array): boolean {
  if (a === undefined) return false;
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
