import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { limits } from '../limits.ts';
import { seededRng } from '../seeded.ts';
import type { PopGuard } from './guards.ts';
import { Judge } from './judge.ts';
import type { JudgeInput, PopNow, RawLookup } from './judging.ts';
import type { SteeringMap } from './map.ts';
import { decodeMap, encodeMap } from './map-bytes.ts';
import { judgedCells, withRankingsOf } from './moves.ts';
import type { GuardName } from './publication.ts';
import {
  hiOf,
  judgedKey,
  judgedMap,
  judgedPops,
  judgeInput,
  popsNow,
  rankingAt,
  type TestCell,
} from './testing-judge.ts';

const startMs = 1_764_000_000_000;
const numbers = (count: number) => [...Array(count).keys()];

/** Cells at their best PoP, `lon` unless told, with estimates that say so. */
const cells = (count: number, change: (at: number) => Partial<TestCell> = () => ({})): TestCell[] =>
  numbers(count).map((i) => ({ at: 2 * i, ranking: ['lon', 'fra', 'iad', 'sin'], ...change(2 * i) }));
const toIad = { ranking: ['iad', 'lon', 'fra', 'sin'] };

function judge(before: SteeringMap, after: SteeringMap, over: Partial<JudgeInput> = {}, judged = new Judge()) {
  return judged.judge(judgeInput(before, after, over));
}
const firstsOf = (map: SteeringMap, count: number) => numbers(count).map((i) => rankingAt(map, 2 * i)[0]!);
const moved = (map: SteeringMap | undefined, count: number, to = 'iad') =>
  map === undefined ? 0 : firstsOf(map, count).filter((pop) => pop === to).length;

/** Raw samples: round trips by PoP, the same for all cells of which `speaks` is true. */
function rawOf(ms: Readonly<Record<string, number>>, speaks: (at: number) => boolean = () => true): JudgeInput['raw'] {
  return ({ hi }): RawLookup =>
    (cell, pop) =>
      speaks((hi[cell]! - hiOf(0)) / 256)
        ? { ms: ms[pop]!, lowMs: ms[pop]! - 2, highMs: ms[pop]! + 2, n: 20 }
        : undefined;
}

const guardOn =
  (guard: PopGuard, at: string): JudgeInput['guardOf'] =>
  (_family, _hi, _lo, _key, pop) =>
    pop === at ? guard : undefined;

interface Row {
  readonly what: string;
  readonly count: number;
  /** Cells that want to go from lon to iad. */
  readonly want: number;
  readonly over?: Partial<JudgeInput>;
  readonly pops?: Readonly<Record<string, Partial<PopNow>>>;
  /** How they are in service: without an estimate of their own. */
  readonly isFirst?: boolean;
  /** Cells that go. */
  readonly goes: number;
  readonly held?: GuardName;
}

const rows: readonly Row[] = [
  // Discretionary: 5% in any ten minutes.
  { what: 'a twentieth of demand goes at once', count: 100, want: 5, goes: 5 },
  { what: 'beyond it in stages', count: 100, want: 20, goes: 5 },
  { what: 'of few cells the smallest goes, whatever its share', count: 4, want: 1, goes: 1 },
  { what: 'a single cell is never too much', count: 1, want: 1, goes: 1 },
  { what: 'exactly a quarter is staged', count: 100, want: 25, goes: 5 },
  // Held.
  { what: 'more than a quarter away from estimates in service', count: 100, want: 26, goes: 0, held: 'too-much' },
  { what: 'that, released', count: 100, want: 60, goes: 5, over: { isReleased: true } },
  {
    what: 'a PoP over its hard limit, if all went',
    count: 100,
    want: 20,
    pops: { lon: { requestsPerSecond: 800 }, iad: { requestsPerSecond: 900 } },
    goes: 0,
    held: 'over-hard',
  },
  {
    what: 'over the hard limit, though released',
    count: 100,
    want: 20,
    over: { isReleased: true },
    pops: { lon: { requestsPerSecond: 800 }, iad: { requestsPerSecond: 900 } },
    goes: 0,
    held: 'over-hard',
  },
  {
    what: 'all worse by raw samples',
    count: 100,
    want: 20,
    over: { raw: rawOf({ lon: 20, iad: 60 }) },
    goes: 0,
    held: 'worse',
  },
  {
    what: '25 ms worse is not more than 25 ms',
    count: 100,
    want: 5,
    over: { raw: rawOf({ lon: 20, iad: 45 }) },
    goes: 5,
  },
  {
    what: 'one of twenty that is worse stays alone',
    count: 400,
    want: 20,
    over: { raw: rawOf({ lon: 20, iad: 60 }, (at) => at === 0) },
    goes: 19,
  },
  {
    what: 'rolled back',
    count: 100,
    want: 1,
    over: { rolledBack: { version: '1-a', untilMs: startMs + 1 } },
    goes: 0,
    held: 'rolled-back',
  },
  {
    what: 'a rollback that is over',
    count: 100,
    want: 1,
    over: { rolledBack: { version: '1-a', untilMs: startMs } },
    goes: 1,
  },
  // First estimates.
  { what: 'first estimates are staged by a wider budget', count: 300, want: 300, isFirst: true, goes: 100 },
  { what: 'and by share where cells are many', count: 4_000, want: 4_000, isFirst: true, goes: 200 },
  {
    what: 'a rollback holds first ones too',
    count: 300,
    want: 300,
    isFirst: true,
    over: { rolledBack: { version: '1-a', untilMs: startMs + 1 } },
    goes: 0,
    held: 'rolled-back',
  },
  // Exempt.
  { what: 'off a PoP that is down', count: 100, want: 100, pops: { lon: { isOpen: false } }, goes: 100 },
  { what: 'off one that is degraded', count: 100, want: 100, pops: { lon: { isDegraded: true } }, goes: 100 },
  {
    what: 'off one over its hard limit, as far as there is room',
    count: 100,
    want: 100,
    pops: { lon: { requestsPerSecond: 1_000 }, iad: { requestsPerSecond: 450 } },
    // 1,450 requests a second in all: 14.5 a cell, 490.5 of them fit.
    goes: 33,
  },
  {
    what: 'whoever rolled back',
    count: 100,
    want: 100,
    pops: { lon: { isDegraded: true } },
    over: { rolledBack: { version: '1-a', untilMs: startMs + 1 } },
    goes: 100,
    held: 'rolled-back',
  },
  {
    what: 'whatever raw samples say',
    count: 100,
    want: 100,
    pops: { lon: { isDegraded: true } },
    over: { raw: rawOf({ lon: 20, iad: 300 }) },
    goes: 100,
  },
  {
    what: 'off one that their network does not reach, whatever raw samples say',
    count: 100,
    want: 100,
    over: { guardOf: guardOn('unreachable', 'lon'), raw: rawOf({ lon: 20, iad: 300 }) },
    goes: 100,
  },
  // Staged like others, but p25 is no reason against what a guard says.
  {
    what: 'off one that is slow for every fourth request, whatever raw samples say',
    count: 100,
    want: 20,
    over: { guardOf: guardOn('slow', 'lon'), raw: rawOf({ lon: 20, iad: 60 }) },
    goes: 5,
  },
  {
    what: 'a guard on another PoP is none',
    count: 100,
    want: 20,
    over: { guardOf: guardOn('slow', 'iad'), raw: rawOf({ lon: 20, iad: 60 }) },
    goes: 0,
    held: 'worse',
  },
];

describe('guardrails and exemptions', () => {
  test.each(rows)('$what', ({ count, want, over, pops, isFirst, goes, held }) => {
    const unmeasured = { n: 0 };
    const before = judgedMap(cells(count, () => (isFirst ? unmeasured : {})));
    const after = judgedMap(cells(count, (at) => (at < 2 * want ? toIad : {})));
    const { map, reasons, moved: shares } = judge(before, after, { pops: popsNow(pops), ...over });
    expect(reasons.map(({ guard }) => guard)).toEqual(held === undefined ? [] : [held]);
    expect(moved(map, count)).toBe(goes);
    expect(shares.cells).toBe(goes);
    expect(shares.moved).toBeCloseTo(goes / count, 6);
    expect(shares.wanted).toBeCloseTo(want / count, 6);
    // What stays is ranked as it was, all down the list.
    if (map === undefined) return;
    for (const { at, ranking } of cells(count)) {
      if (rankingAt(map, at)[0] === 'lon') expect(rankingAt(map, at)).toEqual(ranking);
    }
  });

  test('a hold says what it is about, with figures', () => {
    const before = judgedMap(cells(40));
    const after = judgedMap(cells(40, (at) => (at < 60 ? toIad : {})));
    const [reason] = judge(before, after).reasons;
    expect(reason!.text).toContain('75% of demand (30 cells) away from estimates in service');
    expect(reason!.text).toContain('25% is the most');
  });

  test('the way back to a PoP that was down is staged, and never too much', () => {
    const judged = new Judge();
    const away = judgedMap(cells(100, () => toIad));
    const home = judgedMap(cells(100));
    expect(moved(judge(home, away, { pops: popsNow({ lon: { isOpen: false } }) }, judged).map, 100)).toBe(100);
    const later = judge(away, home, { nowMs: startMs + 3_600_000 }, judged);
    expect(later.reasons).toEqual([]);
    expect(moved(later.map, 100, 'lon')).toBe(5);
    const tooLate = judge(away, home, { nowMs: startMs + 3 * 3_600_000 }, judged);
    expect(tooLate.reasons.map(({ guard }) => guard)).toEqual(['too-much']);
  });

  test('who was sent to a PoP and is not counted there yet takes room', () => {
    const judged = new Judge();
    const map = (moving: number) => judgedMap(cells(100, (at) => (at < 2 * moving ? toIad : {})));
    // 1,000 in all, 10 a cell. Virginia has room for five; told again before they have come, it seems to have it still.
    const pops = popsNow({ lon: { isDegraded: true, requestsPerSecond: 100 }, iad: { requestsPerSecond: 890 } });
    const step = (before: number, after: number, seconds: number) => {
      const judgement = judge(map(before), map(after), { pops, nowMs: startMs + 1_000 * seconds }, judged);
      expect(judgement.reasons).toEqual([]);
      return moved(judgement.map, 100);
    };
    expect(step(0, 5, 0)).toBe(5);
    expect(step(5, 10, 15)).toBe(6);
    expect(step(6, 10, 75)).toBe(10);
  });

  test('what need not be leaves a little of the hard limit free, an evacuation less', () => {
    const before = judgedMap(cells(100));
    const after = judgedMap(cells(100, (at) => (at < 8 ? toIad : {})));
    const goes = (isDegraded: boolean) => {
      const pops = popsNow({ lon: { isDegraded, requestsPerSecond: 90 }, iad: { requestsPerSecond: 910 } });
      return moved(judge(before, after, { pops }).map, 100);
    };
    // 10 a second each; up to 935.75 of 1,000, or up to 940.5.
    expect(goes(false)).toBe(2);
    expect(goes(true)).toBe(3);
  });

  test('off a receiver that is full go as many as make room for those that must, and no more', () => {
    const at = (pop: string) => ({ ranking: [pop, ...judgedPops.filter((other) => other !== pop)] });
    // Ten are to leave London for Virginia, which is full; forty of its own are to go on to Singapore.
    const before = judgedMap(cells(100, (cell) => (cell < 20 ? {} : at('iad'))));
    const after = judgedMap(cells(100, (cell) => (cell < 20 ? toIad : at(cell < 100 ? 'sin' : 'iad'))));
    const loads = { iad: { requestsPerSecond: 900 }, sin: { requestsPerSecond: 0 } };
    const pops = popsNow({ ...loads, lon: { isDegraded: true, requestsPerSecond: 100 } });
    const isReleased = true;
    const { map, moved: shares } = judge(before, after, { pops, isReleased });
    expect(shares.exempt).toBeCloseTo(0.16);
    expect(firstsOf(map!, 10)).toEqual(numbers(10).map(() => 'iad'));
    const held = { rolledBack: { version: '1-a', untilMs: startMs + 1 } };
    expect(moved(judge(before, after, { pops, ...held }).map, 10)).toBe(4);
  });

  test('no PoP is too full for some that come while as many leave it', () => {
    const before = judgedMap(cells(100, (at) => (at < 20 ? toIad : {})));
    // Ten go each way; those that leave Virginia are measured for the first time.
    const first = judgedMap(cells(100, (at) => ({ ...(at < 20 ? toIad : {}), n: at < 20 ? 0 : 30 })));
    const after = judgedMap(cells(100, (at) => (at >= 20 && at < 40 ? toIad : {})));
    const full = popsNow({ lon: { requestsPerSecond: 700 }, iad: { requestsPerSecond: 940 } });
    for (const one of [before, first]) expect(judge(one, after, { pops: full }).reasons).toEqual([]);
  });

  test('an evacuation goes while the rest of the same build is held', () => {
    const where = (at: number) => (at < 60 ? { ranking: ['sin', 'lon', 'iad', 'fra'] } : {});
    const before = judgedMap(cells(100, where));
    // Thirty cells leave Singapore, which is down; sixty others are told to leave London by estimates gone wrong.
    const after = judgedMap(
      cells(100, (at) => (at < 60 ? { ranking: ['lon', 'iad', 'fra', 'sin'] } : at < 180 ? toIad : {})),
    );
    const { map, reasons, moved: shares } = judge(before, after, { pops: popsNow({ sin: { isOpen: false } }) });
    expect(reasons.map(({ guard }) => guard)).toEqual(['too-much']);
    expect(shares).toMatchObject({ exempt: expect.closeTo(0.3), discretionary: 0 });
    expect(moved(map, 100, 'sin')).toBe(0);
    expect(moved(map, 100, 'iad')).toBe(0);
    // Nothing else of that build is in it.
    expect(map!.cells).toBe(before.cells);
  });

  test('half of all estimates inverted, then right again', () => {
    const rng = seededRng('inverted');
    const order = (ms: Readonly<Record<string, number>>) => judgedPops.toSorted((a, b) => ms[a]! - ms[b]!);
    const truth = numbers(400).map(() => Object.fromEntries(judgedPops.map((id) => [id, 10 + 200 * rng.next()])));
    const build = (isInverted: (i: number) => boolean) =>
      judgedMap(
        truth.map((ms, i) => {
          const seen = isInverted(i) ? Object.fromEntries(Object.entries(ms).map(([id, one]) => [id, 220 - one])) : ms;
          return { at: 2 * i, ranking: order(seen), ms: seen };
        }),
      );
    const good = build(() => false);
    const judged = new Judge();
    const raw: JudgeInput['raw'] = () => (cell, pop) => {
      const ms = truth[cell]![pop]!;
      return { ms, lowMs: ms * 0.97, highMs: ms * 1.03, n: 20 };
    };
    const bad = judge(
      good,
      build((i) => i % 2 === 0),
      { raw },
      judged,
    );
    expect(bad.map).toBeUndefined();
    expect(bad.reasons.map(({ guard }) => guard)).toEqual(['too-much', 'worse']);
    expect(judge(good, good, { raw, nowMs: startMs + 1_000 }, judged)).toMatchObject({ reasons: [], map: good });
    // Even let pass, no cell goes where it would be worse.
    const released = judge(
      good,
      build((i) => i % 2 === 0),
      { raw, isReleased: true },
      judged,
    );
    for (const one of released.went)
      expect(truth[one.cell]![one.to]!).toBeLessThanOrEqual(truth[one.cell]![one.from]! + 26);
  });

  test('first estimates that wait stay first, though the map in service has them by then', () => {
    const before = judgedMap(cells(300, () => ({ n: 0 })));
    const after = judgedMap(cells(300, () => toIad));
    const judged = new Judge();
    let inService = before;
    let nowMs = startMs;
    for (let i = 0; i < 3; i++, nowMs += limits.publish.firstMs) {
      const { map, moved: shares } = judge(inService, after, { nowMs }, judged);
      expect(shares).toMatchObject({ cells: 100, discretionary: 0 });
      inService = map!;
    }
    expect(moved(inService, 300)).toBe(300);
  });

  test('demand counts, not cells', () => {
    const before = judgedMap(cells(100));
    const after = judgedMap(cells(100, (at) => (at < 20 ? toIad : {})));
    // The first cell has as much as all others.
    const demandOf: JudgeInput['demandOf'] = (_, hi) => (hi === hiOf(0) ? 99 : 1);
    const { moved: shares, map } = judge(before, after, { demandOf });
    expect(shares.wanted).toBeCloseTo((99 + 9) / 198);
    expect(map === undefined).toBe(true);
    expect(judge(before, after, { demandOf, isReleased: true }).moved.moved).toBeCloseTo(9 / 198);
  });

  test('evidence that was lost moves nobody unseen', () => {
    const before = judgedMap(cells(100, () => toIad));
    const after = judgedMap([]);
    const { reasons, map } = judge(before, after);
    expect(reasons.map(({ guard }) => guard)).toEqual(['too-much']);
    expect(map).toBeUndefined();
  });

  test('a PoP or a service that came or went does not wait for what is held', () => {
    const before = judgedMap(cells(100));
    const three = ['fra', 'iad', 'lon'];
    const after = judgedMap(
      cells(100, (at) => (at < 100 ? toIad : {})),
      { pops: three },
    );
    const { map, reasons } = judge(before, after);
    expect(reasons.map(({ guard }) => guard)).toEqual(['too-much']);
    expect(map!.pops).toEqual(three);
    expect(moved(map, 100)).toBe(0);
    expect(rankingAt(map!, 0)).toEqual(['lon', 'fra', 'iad']);
  });

  test('off a PoP that is no more', () => {
    const before = judgedMap(cells(100, () => ({ ranking: ['sin', 'lon', 'iad', 'fra'] })));
    const pops = popsNow();
    pops.delete('sin');
    const { map, moved: shares } = judge(before, judgedMap(cells(100)), { pops });
    expect(shares.exempt).toBeCloseTo(1);
    expect(moved(map, 100, 'lon')).toBe(100);
  });

  test('predicts by raw samples, and says what PoPs will carry', () => {
    const before = judgedMap(cells(100));
    const after = judgedMap(cells(100, (at) => (at < 10 ? toIad : {})));
    const pops = popsNow({ lon: { requestsPerSecond: 500 }, iad: { requestsPerSecond: 100 } });
    const { predicted, loads } = judge(before, after, { pops, raw: rawOf({ lon: 100, iad: 40 }, (at) => at < 10) });
    // Five of a hundred cells gain 60 ms by raw samples; the others stay at the 20 ms they are estimated at.
    expect(predicted!.meanBeforeMs).toBeCloseTo(0.05 * 100 + 0.95 * 20, 0);
    expect(predicted!.meanAfterMs).toBeCloseTo(0.05 * 40 + 0.95 * 20, 0);
    expect(predicted!.known).toBeCloseTo(1);
    expect(loads).toContainEqual({ pop: 'iad', before: 0.1, after: expect.closeTo(0.13, 3) });
    expect(loads).toContainEqual({ pop: 'lon', before: 0.5, after: expect.closeTo(0.47, 3) });
  });
});

describe('maps put together', () => {
  const cell = fc.record({
    at: fc.nat(30),
    ranking: fc.shuffledSubarray(judgedPops, { minLength: 4, maxLength: 4 }),
    n: fc.constantFrom(0, 5, 30),
  });
  const drawn = fc.uniqueArray(cell, { maxLength: 12, selector: ({ at }) => at }).map((list) => judgedMap(list));

  test('each cell is ranked by the map that was asked for, all else by the frame; the bytes are a good map', () => {
    fc.assert(
      fc.property(drawn, drawn, fc.nat(2 ** 31 - 1), (frame, source, chosen) => {
        const all = judgedCells(frame, source);
        const units = numbers(all.count).flatMap((i) =>
          chosen & (1 << (i % 31)) ? [{ cell: i, key: judgedKey }] : [],
        );
        const map = decodeMap(encodeMap(withRankingsOf(frame, source, all, units)));
        const from = new Set(units.map((unit) => all.hi[unit.cell]));
        for (let at = 0; at < 34; at++) {
          const expected = rankingAt(from.has(hiOf(at)) ? source : frame, at);
          expect(rankingAt(map, at)).toEqual(expected);
        }
        expect(rankingAt(map, 5, judgedKey.replace('latency', 'geo'))).toEqual(judgedPops);
      }),
      { numRuns: 500 },
    );
  });

  test('whatever is built, a judgement moves no more than its budgets and nothing that must stay', () => {
    fc.assert(
      fc.property(drawn, fc.array(drawn, { minLength: 1, maxLength: 12 }), (first, builds) => {
        const judged = new Judge();
        let inService = first;
        let nowMs = startMs;
        const went: { atMs: number; share: number; cells: number }[] = [];
        for (const after of builds) {
          nowMs += 120_000;
          const { map, moved: shares, went: gone } = judge(inService, after, { nowMs }, judged);
          const own = gone.filter(({ cell }) => cell >= 0).length;
          expect(own).toBe(shares.cells);
          if (shares.discretionary > 0) went.push({ atMs: nowMs, share: shares.discretionary, cells: shares.cells });
          const window = went.filter(({ atMs }) => atMs > nowMs - limits.publish.windowMs);
          const sum = window.reduce((total, { share }) => total + share, 0);
          if (window.length > 1) expect(sum).toBeLessThanOrEqual(limits.publish.windowShare + 1e-9);
          const before = inService;
          inService = map ?? inService;
          for (let at = 0; at < 32; at++) {
            const isGone = gone.some(({ hi }) => hi === hiOf(at));
            const [was, is] = [rankingAt(before, at)[0], rankingAt(inService, at)[0]];
            if (was !== is) expect(isGone || !isJudged(before, after, at)).toBe(true);
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  const isJudged = (before: SteeringMap, after: SteeringMap, at: number) => {
    const all = judgedCells(before, after);
    return numbers(all.count).some((i) => all.hi[i] === hiOf(at));
  };
});
