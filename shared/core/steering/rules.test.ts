import { describe, expect, test } from 'vitest';
import type { DesiredService } from '../desired.ts';
import { findInterval, type SteeringMap } from './map.ts';
import { rulingPlanOf } from './ruling.ts';
import { latencyGroup, prefix, ranges4, ranges6, worldBuild } from './testing.ts';

const nowMs = 1_764_000_000_000;
const weekMs = 7 * 86_400_000;
const [iad, lon] = [0, 1];
/** As a configuration numbers them. */
const desiredPops = ['lon', 'sin', 'iad'].map((id) => ({ id }));

const service = (over: Partial<DesiredService> = {}): DesiredService => ({
  ...{ id: 'shop', name: 'www.shop.example.', owner: 'config', answered: true, policy: 'latency' },
  ...{ candidates: [0, 1, 2].map((pop) => ({ pop })), origin: 'eu', k: 3, answers: 1 },
  ...{ ttlSecondsMin: 5, ttlSecondsMax: 60, allDown: { rule: 'serve-preferred' } },
  ...over,
});

/** Of a /16 each, in London. */
const cells = Array.from({ length: 100 }, (_, i) => `10.${i}.0.0/24`);

function world(services: readonly DesiredService[], hard: readonly number[]) {
  const limits = { soft: hard.map((of) => 0.8 * of), hard };
  const v4 = ranges4([
    [0, -1],
    [0x0a000000, 0],
    [0x0b000000, -1],
  ]);
  const ruling = rulingPlanOf(services, desiredPops);
  const group = { ...latencyGroup, limits, ...(ruling && { ruling }) };
  const build = worldBuild(v4, ranges6([[0, 0, -1]]), [group]);
  for (const text of cells) {
    const { family, hi, lo } = prefix(text);
    build.sharing.setRequests(family, hi, lo, 1);
  }
  return build;
}

function firstsAt(map: SteeringMap, pop: number): string[] {
  const { v4, rankings, width } = map.groups[0]!;
  return cells.filter((text) => rankings[v4.ranking[findInterval(v4, prefix(text).hi, 0)]! * width] === pop);
}

const freeOf = ({ sharing }: ReturnType<typeof world>, text: string) => {
  const { family, hi, lo } = prefix(text);
  return sharing.freeOf(family, hi, lo, latencyGroup.key);
};

describe('what rules send to a PoP', () => {
  test('takes its room from rankings: those that fit beside it stay', () => {
    const prefixes = cells.slice(0, 60);
    const build = world([service({ overrides: [{ prefixes, pops: [0], pin: false }] })], [1000, 80, 1000]);
    const map = build.build(nowMs, true);
    // 60 by rule, and 0.97 of what is left of 80.
    expect(firstsAt(map, lon).filter((text) => !prefixes.includes(text))).toHaveLength(19);
    expect(cells.map((text) => freeOf(build, text))).toEqual(cells.map((_, i) => (i < 60 ? 0 : 1)));
  });

  test('is nothing of what those it takes would have asked for elsewhere', () => {
    const prefixes = cells.slice(0, 60);
    const build = world([service({ overrides: [{ prefixes, pops: [2], pin: false }] })], [1000, 80, 1000]);
    // 40 remain for London.
    expect(firstsAt(build.build(nowMs, true), lon)).toHaveLength(100);
  });

  test('counts as much as the names are that say so', () => {
    const overrides = [{ prefixes: cells, pops: [2], pin: false }];
    const build = world([service(), service({ id: 'b', overrides })], [1000, 1000, 1000]);
    build.build(nowMs, true);
    expect(freeOf(build, cells[0]!)).toBe(0.5);
  });

  test('is by shares and the control arm what it is for those who ask', () => {
    const build = world([service({ shares: [{ pop: 2, share: 0.3 }], controlShare: 0.2 })], [1000, 1000, 1000]);
    build.build(nowMs, true);
    const free = () => cells.filter((text) => freeOf(build, text) === 1);
    const now = free();
    expect(now.length).toBeGreaterThan(42);
    expect(now.length).toBeLessThan(70);
    build.build(nowMs + weekMs, true);
    expect(free()).not.toEqual(now);
  });

  test('gives way while the PoP takes no clients', () => {
    const overrides = [{ prefixes: cells, pops: [2], pin: false }];
    const build = world([service({ overrides })], [1000, 80, 1000]);
    expect(firstsAt(build.build(nowMs, true), iad)).toEqual([]);
    build.sharing.setClosed(new Set(['iad']));
    const map = build.build(nowMs + 60_000, true);
    expect(firstsAt(map, lon)).toHaveLength(77);
  });
});

describe('the plan of rules', () => {
  test('is nothing where no name has any', () => {
    expect(rulingPlanOf([service()], desiredPops)).toBeUndefined();
  });

  test('joins names that decide alike, and tells no news of what decides nothing', () => {
    const one = rulingPlanOf([service({ controlShare: 0.01 })], desiredPops)!;
    const other = service({ id: 'b', name: 'b.shop.example.', ttlSecondsMax: 300, controlShare: 0.01 });
    const two = rulingPlanOf([service({ controlShare: 0.01 }), other], desiredPops)!;
    expect(two).toEqual(one);
    expect(one.rulings.map(({ share }) => share)).toEqual([1]);
  });

  test('keeps names apart whose shares are dealt apart', () => {
    const shares = [{ pop: 0, share: 0.1 }];
    const plan = rulingPlanOf([service({ shares }), service({ id: 'b', shares })], desiredPops)!;
    expect(plan.rulings.map(({ share }) => share)).toEqual([0.5, 0.5]);
  });
});

test('more at a PoP than goes there, while clients follow a change, is no surge', () => {
  const build = world([service()], [1000, 110, 1000]);
  const map = build.build(nowMs, true);
  const tell = (load: number, atMs: number) => build.sharing.overloaded(new Map([[lon, load]]), map, 90_000, atMs);
  tell(200, nowMs);
  tell(200, nowMs + 60_000);
  expect(firstsAt(build.build(nowMs + 60_000), lon)).toHaveLength(100);
  // What is expected there is no surge either.
  tell(101, nowMs + 120_000);
  expect(firstsAt(build.build(nowMs + 120_000), lon)).toHaveLength(100);
  tell(200, nowMs + 180_000);
  expect(firstsAt(build.build(nowMs + 180_000), lon).length).toBeLessThan(60);
});
