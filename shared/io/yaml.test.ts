import { limits } from '@ufes/core/limits.ts';
import { describe, expect, test } from 'vitest';
import { LineCounter } from 'yaml';
import { readYaml } from './yaml.ts';

const read = (text: string, piecesMax: number = limits.controller.objectPieces) =>
  readYaml(text, { lines: new LineCounter(), piecesMax });
const full = (piece: string) => piece.repeat(Math.floor(limits.controller.objectBytes / piece.length));

describe('YAML', () => {
  test('is read as documents, and keys that stand twice are told with their place', () => {
    const { documents, refused } = read('a: { b: 1, c: 2, b: 3 }\n---\n1: x\n"1": y\na: z\na: z\n');
    expect(refused).toBeUndefined();
    expect(documents.map((document) => document.errors.map(({ code, pos }) => [code, pos[0]]))).toEqual([
      [['DUPLICATE_KEY', 17]],
      [['DUPLICATE_KEY', 45]],
    ]);
    expect(read('# nothing\n').documents.map((document) => document.toJS())).toEqual([null]);
  });

  test('of many keys costs no more for each of them', () => {
    const keys = Array.from({ length: 60_000 }, (_, i) => `k${i}: v`).join('\n');
    const startMs = performance.now();
    const { documents } = read(keys);
    // Comparing each pair of keys takes half a minute.
    expect(performance.now() - startMs).toBeLessThan(8_000);
    expect(documents[0]!.errors).toEqual([]);
    expect(Object.keys(documents[0]!.toJS())).toHaveLength(60_000);
  });

  test.each([
    ['}\n', 'Unexpected flow-map-end'],
    ['[', 'nested more than'],
    ['{', 'nested more than'],
    ['- ', 'nested more than'],
    ['? ', 'nested more than'],
    ['[]{}', 'Unexpected flow-'],
    ['- a\n', 'pieces of YAML'],
    ['%a\n', 'more than .* directives'],
  ])('of %j up to the bound of bytes is refused after little work', (piece, why) => {
    const startMs = performance.now();
    expect(read(full(piece)).refused?.message).toMatch(new RegExp(why));
    expect(performance.now() - startMs).toBeLessThan(8_000);
  });

  test('of many errors that show late, and of many aliases, is refused too', () => {
    const small = (piece: string) => read(piece.repeat(20_000));
    expect(read(`[${','.repeat(20_000)}`).refused?.message).toMatch(/,/);
    expect(small('&a ').refused?.message).toMatch(/anchor/);
    expect(small('""').refused?.message).toMatch(/scalar/);
    const aliases = Array.from({ length: limits.config.yamlAliases + 1 }, () => '- *a\n').join('');
    expect(read(`- &a 1\n${aliases}`).refused?.message).toMatch(/aliases/);
    expect(read(`- |\n${' * x\n'.repeat(3_000)}${'- "*"\n'.repeat(3_000)}`).refused).toBeUndefined();
  });
});
