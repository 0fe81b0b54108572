import { expect, it } from 'vitest';
import { fuzz } from './dns.ts';
import { parseAnswer } from './parse-answer.ts';

it('hostile packets: no throw, no hang, no answer to an answer, every answer parses', () => {
  const { finds, answered, silent, rcodes, cookies } = fuzz(40_000, 'short');
  expect(finds).toEqual([]);
  // Both ends are reached, and every way out: NOERROR, FORMERR, NXDOMAIN, NOTIMP, REFUSED, and BADVERS or BADCOOKIE by their low bits.
  expect(answered).toBeGreaterThan(20_000);
  for (const count of Object.values(cookies)) expect(count).toBeGreaterThan(50);
  expect(silent).toBeGreaterThan(1_000);
  for (const rcode of ['0', '1', '3', '4', '5', '7']) expect(rcodes[rcode], rcode).toBeGreaterThan(20);
});

it('the reader of answers refuses what is wrong with them', () => {
  const query = Uint8Array.from([1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 97, 0, 0, 1, 0, 1]);
  const record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1];
  const answer = Uint8Array.from([1, 2, 0x85, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 97, 0, 0, 1, 0, 1, ...record]);
  expect(parseAnswer(query, answer)).toBeUndefined();
  const broken: [number, number][] = [
    [0, 9],
    [2, 5],
    [3, 0x80],
    [2, 0x87],
    [5, 2],
    [7, 2],
    [7, 0],
    [13, 98],
    [20, 19],
    [20, 40],
    [30, 5],
    [22, 41],
  ];
  for (const [at, byte] of broken) expect(parseAnswer(query, answer.with(at, byte)), `${at}`).toBeTypeOf('string');
  expect(parseAnswer(query, answer.slice(0, -1))).toBeTypeOf('string');
});
