import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CellTables } from './cell-table.ts';
import { Cells } from './cells.ts';
import { createEstimates } from './estimation.ts';
import { cellEntry, Tier } from './map.ts';

const pops = 4;
/** A cell's row: which PoPs were measured, which are shown, and a number that tells it from others. */
const change = fc.tuple(fc.boolean(), fc.nat(30), fc.nat(15), fc.nat(15), fc.integer({ min: 1, max: 5_000 }));

test('a table made from the one before is the table of all that was put', () => {
  fc.assert(
    fc.property(fc.array(fc.array(change, { maxLength: 20 }), { maxLength: 6 }), (builds) => {
      const cells = new Cells(pops);
      const tables = new CellTables(cells);
      const model = new Map<number, readonly (number | undefined)[]>();
      for (const changes of builds) {
        for (const [is4, at, measured, shown, value] of changes) {
          const [family, hi] = is4 ? [4 as const, at * 256] : [6 as const, at];
          const length = is4 ? 24 : 48;
          const known = cells.rowOf(family, hi, 0);
          const km = new Float32Array(pops);
          const prefix = { family, hi, lo: 0, length };
          const row = known >= 0 ? known : cells.add({ prefix, location: 0, km, votes: false });
          const estimates = createEstimates(pops);
          const has = (bits: number, pop: number) => ((bits >> pop) & 1) === 1;
          for (let pop = 0; pop < pops; pop++) {
            estimates.ms[pop] = value + pop;
            estimates.n[pop] = value % 100;
            estimates.tier[pop] = has(measured, pop) ? Tier.prefix : Tier.prior;
          }
          tables.put(
            row,
            estimates,
            Uint8Array.from({ length: pops }, (_, pop) => (has(shown, pop) ? 1 : 0)),
          );
          model.set(
            row,
            Array.from({ length: pops }, (_, pop) => (has(measured | shown, pop) ? 10 * (value + pop) : undefined)),
          );
        }
        const table = tables.make();
        const rows = [...cells.sorted(4), ...cells.sorted(6)];
        expect(table.v4.length + table.v6hi.length).toBe(rows.length);
        for (const [cell, row] of rows.entries()) {
          const found = Array.from({ length: pops }, (_, pop) => {
            const entry = cellEntry(table, pops, cell, pop);
            return entry < 0 ? undefined : table.estimate[entry];
          });
          expect(found).toEqual(model.get(row));
          const [from, end] = [table.first![cell]!, table.first![cell + 1]!];
          expect(table.weight![cell]).toBe(table.n.slice(from, end).reduce((sum, n) => sum + n, 0));
        }
      }
    }),
  );
});
