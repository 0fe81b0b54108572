import type { SampleKind, SampleRecord } from '@ufes/core/samples.ts';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EvidenceTable } from './evidence.ts';
import { type Fed, feedCell, sketchSamples } from './feed.ts';
import { beacon, fedOf } from './testing.ts';

const nowMs = 1_764_000_000_000;
const text = '192.0.2.0/24';

function samples(kind: SampleKind, rtts: Readonly<Record<string, number>>, count: number): SampleRecord[] {
  return Array.from({ length: count }, (_, i) => ({ ...beacon(nowMs - i * 1000, text, rtts), kind }));
}

/** Of the cell: its kind, and what it knows of each PoP. */
function fed(records: readonly SampleRecord[]): { kind: number; p25: (number | undefined)[]; build: Fed['build'] } {
  const table = new EvidenceTable();
  table.apply(sketchSamples(table, records));
  const of = fedOf();
  feedCell(of, table, text, nowMs);
  const { cells } = of.build;
  const own = cells.ownOf(0);
  return {
    kind: cells.kind[0]!,
    p25: Array.from(own.n, (n, pop) => (n > 0 ? own.p25[pop] : undefined)),
    build: of.build,
  };
}

describe('a gain compares two PoPs on one kind', () => {
  const browser = samples('browser', { 'pop:lon': 30, 'pop:iad': 20, 'pop:sin': 150 }, 100);

  test('edge-timed where two PoPs have 20 samples of it, however many others there are', () => {
    const { kind, p25 } = fed([...browser, ...samples('edge', { 'pop:lon': 25, 'pop:iad': 90 }, 20)]);
    expect(kind).toBe(0);
    expect(p25).toEqual([expect.closeTo(90, -1), expect.closeTo(25, -1), undefined]);
  });

  test('the one that says most where only one has', () => {
    const few = samples('edge', { 'pop:iad': 90 }, 19);
    const { kind, p25 } = fed([...browser, ...samples('edge', { 'pop:lon': 25 }, 40), ...few]);
    expect(kind).toBe(1);
    expect(p25).toEqual([expect.closeTo(20, -1), expect.closeTo(30, -1), expect.closeTo(150, -1)]);
  });
});

test('within a key samples weigh by age alone, whatever the chance was that they were taken', () => {
  const drawn = fc.array(
    fc.record({
      rttMs: fc.double({ min: 5, max: 300, noNaN: true }),
      p: fc.double({ min: 0.01, max: 1, noNaN: true }),
    }),
    { minLength: 1, maxLength: 60 },
  );
  fc.assert(
    fc.property(drawn, (list) => {
      const records = (weighted: boolean) =>
        list.map(({ rttMs, p }, i) => ({
          ...beacon(nowMs - i * 60_000, text, {}),
          observations: [{ target: 'pop:lon', ok: true, rttMs, weight: weighted ? Math.min(20, 1 / p) : 1 }],
        }));
      const [weighted, plain] = [fed(records(true)).build, fed(records(false)).build];
      expect(weighted.cells.ownOf(0)).toEqual(plain.cells.ownOf(0));
      expect(weighted.build(nowMs)).toEqual(plain.build(nowMs));
    }),
    { numRuns: 30 },
  );
});
