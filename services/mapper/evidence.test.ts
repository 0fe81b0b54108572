import type { EvidenceRow } from '@ufes/core/ports.ts';
import { shardOf } from '@ufes/core/samples.ts';
import { Sketch } from '@ufes/core/sketch/sketch.ts';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Arena } from './arena.ts';
import { EvidenceTable } from './evidence.ts';

const startMs = 1_764_000_000_000;

describe('arena', () => {
  test('blocks never overlap, hold what they were taken for, and are used again', () => {
    const steps = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 3_000 }), fc.nat(200)), { maxLength: 200 });
    fc.assert(
      fc.property(steps, (orders) => {
        const arena = new Arena();
        const held: { address: number; length: number; mark: number }[] = [];
        let mark = 0;
        for (const [takes, length, which] of orders) {
          if (takes || held.length === 0) {
            const block = { address: arena.take(length), length, mark: ++mark & 255 };
            expect(arena.room(length)).toBeGreaterThanOrEqual(length);
            const at = arena.at(block.address);
            arena.chunk(block.address).fill(block.mark, at, at + arena.room(length));
            held.push(block);
          } else {
            const [gone] = held.splice(which % held.length, 1);
            arena.give(gone!.address, gone!.length);
          }
        }
        for (const block of held) {
          const at = arena.at(block.address);
          const bytes = arena.chunk(block.address).subarray(at, at + arena.room(block.length));
          expect(bytes.every((byte) => byte === block.mark)).toBe(true);
        }
        const live = held.reduce((sum, { length }) => sum + arena.room(length), 0);
        expect(live + arena.freeBytes).toBeLessThanOrEqual(arena.bytes);
      }),
    );
  });

  test('memory of what came and went is used again, whatever its size', () => {
    const arena = new Arena();
    const churn = (length: number) => {
      const blocks = Array.from({ length: 8_000 }, () => arena.take(length));
      for (const address of blocks) arena.give(address, length);
    };
    for (let round = 0; round < 20; round++) churn(1_000);
    const { bytes } = arena;
    for (let round = 0; round < 20; round++) churn(1_000 - 40 * round);
    expect(arena.bytes).toBe(bytes);
  });
});

const prefixes = ['192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24', '2001:db8::/48', '2001:db8:1::/48'];
const rests = ['pop:lon|browser|rum', 'pop:iad|browser|rum', 'pop:lon|edge|rum', 'origin:eu|browser|rum'];
const row = fc
  .tuple(
    fc.constantFrom(...prefixes),
    fc.constantFrom(...rests),
    fc.array(fc.double({ min: 1, max: 400, noNaN: true }), { maxLength: 40 }),
  )
  .map(([prefix, rest, values]): EvidenceRow => {
    const sketch = new Sketch();
    sketch.fail();
    for (const [i, ms] of values.entries()) sketch.add(ms, startMs + i * 60_000);
    return { key: `${prefix}|${rest}`, bytes: sketch.encode() };
  });
const rows = fc.array(row, { maxLength: 30 });

function contents(table: EvidenceTable): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  for (let number = 0; number < table.numbers; number++) {
    table.forEach(number, ({ rest, bytes, from, end }) => {
      const { target, kind, source } = table.rests[rest]!;
      found.set(`${table.prefixText(number)}|${target}|${kind}|${source}`, bytes.slice(from, end));
    });
  }
  return found;
}

function expectSame(table: EvidenceTable, model: ReadonlyMap<string, Uint8Array>): void {
  expect([...contents(table)].sort()).toEqual([...model].sort());
  expect(table.keys).toBe(model.size);
  expect(table.bytes).toBe([...model.values()].reduce((sum, bytes) => sum + bytes.length, 0));
  const prefixesOf = new Set([...model.keys()].map((key) => key.slice(0, key.indexOf('|'))));
  expect(table.prefixes).toBe(prefixesOf.size);
  expect(new Set(table.prefixTexts())).toEqual(prefixesOf);
  for (const prefix of prefixes) expect(table.has(prefix)).toBe(prefixesOf.has(prefix));
  for (const [key, bytes] of model) expect(table.get(key)).toEqual(bytes);
}

describe('evidence in memory', () => {
  test('holds what a Map would, whatever comes and grows', () => {
    fc.assert(
      fc.property(fc.array(rows, { maxLength: 6 }), (batches) => {
        const table = new EvidenceTable();
        const model = new Map<string, Uint8Array>();
        for (const batch of batches) {
          const changed = table.apply(batch);
          expect(changed).toEqual(new Set(batch.map(({ key }) => key.slice(0, key.indexOf('|')))));
          for (const { key, bytes } of batch) model.set(key, bytes);
          expectSame(table, model);
        }
      }),
    );
  });

  test('a shard is replaced whole, and only prefixes that differ are told', () => {
    fc.assert(
      fc.property(rows, rows, fc.constantFrom(...prefixes), (before, after, prefix) => {
        const shard = shardOf(prefix);
        const ofShard = ({ key }: EvidenceRow) => shardOf(key.slice(0, key.indexOf('|'))) === shard;
        const table = new EvidenceTable();
        table.apply(before);
        const model = new Map(before.map(({ key, bytes }) => [key, bytes]));
        const given = new Map(after.filter(ofShard).map(({ key, bytes }) => [key, bytes]));
        const expected = new Set<string>();
        for (const key of new Set([...model.keys(), ...given.keys()])) {
          if (!ofShard({ key, bytes: new Uint8Array() })) continue;
          const [old, now] = [model.get(key), given.get(key)];
          if (old === undefined || now === undefined || Buffer.compare(old, now) !== 0) {
            expected.add(key.slice(0, key.indexOf('|')));
          }
          if (now === undefined) model.delete(key);
          else model.set(key, now);
        }
        const news = [...given].map(([key, bytes]) => ({ key, bytes }));
        expect(table.replace(shard, news)).toEqual(expected);
        expectSame(table, model);
      }),
    );
  });

  test('keys of no prefix are left out', () => {
    const table = new EvidenceTable();
    expect(table.apply([{ key: 'nowhere|pop:lon|browser|rum', bytes: new Sketch().encode() }])).toEqual(new Set());
    expect(table.keys).toBe(0);
  });
});
