import { expect, test } from 'vitest';
import { demandByCell } from './demand.ts';

const clients = new Map([
  ['192.0.2.1', 3],
  ['192.0.2.77', 4],
  ['198.51.100.1', 2],
  ['2001:db8:1:2::3', 5],
  ['2001:db8:1:ffff::4', 1],
  ['nonsense', 9],
]);

test('requests are told by cell, never by client', () => {
  expect(demandByCell(clients, 10)).toEqual({ '192.0.2.0/24': 7, '198.51.100.0/24': 2, '2001:db8:1::/48': 6 });
});

test('of more cells than are told, those that ask for most', () => {
  expect(demandByCell(clients, 2)).toEqual({ '192.0.2.0/24': 7, '2001:db8:1::/48': 6 });
});
