import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Availability, reaching } from './availability.ts';
import { Cells } from './cells.ts';

const nowMs = 1_764_000_000_000;
const hiOf = (row: number) => 0x0a000000 + row * 256;
/** Ten cells an AS. */
const asnOf = (row: number) => 64_500 + Math.floor(row / 10);

function cellsOf(count: number): Cells {
  const cells = new Cells(1);
  for (let row = 0; row < count; row++) {
    const prefix = { family: 4, hi: hiOf(row), lo: 0, length: 24 } as const;
    cells.add({ prefix, location: -1, km: Float32Array.of(Number.NaN), votes: true });
  }
  return cells;
}

function unreached(availability: Availability, doubted: readonly string[], atMs = nowMs, count = 60): number[] {
  availability.step(cellsOf(count), asnOf, ['lon'], new Set(doubted), atMs);
  return [...(availability.now.get('lon')?.keys() ?? [])];
}

/** Each cell tries ten times; those for which it is said fail so many. */
function tried(failures: (row: number) => number, byEdge = false, atMs = nowMs): Availability {
  const availability = new Availability();
  for (let row = 0; row < 60; row++) {
    for (let i = 0; i < 10; i++) availability.add('lon', 4, hiOf(row), 0, i >= failures(row), byEdge, atMs);
  }
  return availability;
}

describe('a PoP is not first for a network', () => {
  test('of which less than 95% reach it, while a check fails too', () => {
    const availability = tried((row) => (row < 20 ? 2 : 0));
    expect(unreached(availability, ['lon'])).toEqual([64_500, 64_501]);
  });

  test('by what edges see fail alone', () => {
    expect(
      unreached(
        tried((row) => (row < 20 ? 2 : 0), true),
        [],
      ),
    ).toEqual([64_500, 64_501]);
  });

  test('while it lasts, and ten minutes', () => {
    const availability = tried((row) => (row < 20 ? 2 : 0));
    unreached(availability, ['lon']);
    expect(unreached(availability, [], nowMs + reaching.holdMs - 1)).toEqual([64_500, 64_501]);
    expect(unreached(availability, ['lon'], nowMs + reaching.holdMs)).toEqual([]);
  });
});

describe('it stays first', () => {
  test.each([
    ['by what clients alone say', (row: number) => (row < 20 ? 10 : 0), []],
    ['with 19 sources', (row: number) => (row < 19 ? 10 : 0), ['lon']],
    ['when 95% reach it', (row: number) => (row % 2 === 0 ? 1 : 0), ['lon']],
    ['of another check that fails', (row: number) => (row < 20 ? 10 : 0), ['iad']],
  ])('%s', (_, failures, doubted) => {
    expect(unreached(tried(failures), doubted)).toEqual([]);
  });

  test('for a network of which one prefix alone fails', () => {
    const failures = (row: number) => (row < 20 || row === 30 ? 10 : 0);
    expect(unreached(tried(failures), ['lon'])).toEqual([64_500, 64_501]);
  });

  test('after five minutes', () => {
    expect(
      unreached(
        tried((row) => (row < 20 ? 10 : 0)),
        ['lon'],
        nowMs + reaching.windowMs + 1,
      ),
    ).toEqual([]);
  });
});

test('one client cannot bring it about, whatever it reports and whatever checks say', () => {
  const report = fc.record({ ok: fc.boolean(), byEdge: fc.boolean() });
  fc.assert(
    fc.property(fc.array(report, { maxLength: 300 }), fc.nat(59), (reports, row) => {
      const availability = tried(() => 0);
      for (const { ok, byEdge } of reports) availability.add('lon', 4, hiOf(row), 0, ok, byEdge, nowMs);
      expect(unreached(availability, ['lon'])).toEqual([]);
    }),
    { numRuns: 50 },
  );
});
