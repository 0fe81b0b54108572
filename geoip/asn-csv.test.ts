/** AS ranges from CSV: gaps, quotes, IPv6 finer than /64, and lines that are wrong. */
import { parseAddress } from '@ufes/core/ip.ts';
import { expect, test } from 'vitest';
import { readAsnCsv } from './asn-csv.ts';
import { findInterval, IntervalBuilder, indexIntervals } from './intervals.ts';

function read(family: 4 | 6, csv: string) {
  const builder = new IntervalBuilder(family);
  const names = new Map<number, string>();
  readAsnCsv(Buffer.from(csv), 'asn.csv', builder, names, () => {});
  const intervals = indexIntervals(builder.finish())!;
  const asn = (text: string) => {
    const { hi, lo } = parseAddress(text)!;
    return intervals.value[findInterval(intervals, hi, lo)];
  };
  return { asn, names, intervals };
}

/** 2001:db8:: as a number, with the next 32 bits and the last 64. */
const v6 = (lo: bigint, host = 0n) => (((0x20010db8n << 32n) | lo) << 64n) | host;
const lastHost = (1n << 64n) - 1n;

test('ranges, the gaps between them, and names', () => {
  const { asn, names } = read(
    4,
    '3221225984,3221226239,64496,"Example, Inc."\n' +
      '3325256704,3325256959,64497,"LLC ""QUOTED"""\r\n' +
      '3325256960,3325257000,64498,Plain Zürich\n',
  );
  expect(['192.0.1.255', '192.0.2.0', '192.0.2.255', '192.0.3.0'].map(asn)).toEqual([0, 64496, 64496, 0]);
  expect(['198.51.100.0', '198.51.100.255', '198.51.101.0', '198.51.101.41'].map(asn)).toEqual([
    64497, 64497, 64498, 0,
  ]);
  expect([...names]).toEqual([
    [64496, 'Example, Inc.'],
    [64497, 'LLC "QUOTED"'],
    [64498, 'Plain Zürich'],
  ]);
});

test('the whole space, and nothing at all', () => {
  expect([...read(4, '0,4294967295,64496,All').intervals.value]).toEqual([64496]);
  expect([...read(4, '').intervals.value]).toEqual([0]);
  expect(read(4, '0,9,64496').names.get(64496)).toBe('');
  expect([...read(6, `0,${(1n << 128n) - 1n},64496,All\n`).intervals.value]).toEqual([64496]);
});

test('a /64 that ranges share is the first one’s', () => {
  const { asn } = read(
    6,
    `${v6(1n)},${v6(1n, 99n)},64496,First\n` +
      `${v6(1n, 100n)},${v6(1n, lastHost)},64497,Inside\n` +
      `${v6(2n)},${v6(5n, lastHost)},64498,Next\n`,
  );
  expect(['2001:db8::', '2001:db8:0:1::1', '2001:db8:0:2::', '2001:db8:0:5::', '2001:db8:0:6::'].map(asn)).toEqual([
    0, 64496, 64498, 64498, 0,
  ]);
});

test.each([
  ['too few fields', '1,2\n'],
  ['letters', '1.0.0.0,1.0.0.255,64496,X\n'],
  ['last before first', '10,9,64496,X\n'],
  ['beyond IPv4', '10,4294967296,64496,X\n'],
  ['an AS number of 33 bits', '10,11,4294967296,X\n'],
])('%s: GEOIP_CORRUPT with file and line', (_, line) => {
  expect(() => read(4, `0,5,64496,Good\n\n${line}`)).toThrow(
    expect.objectContaining({
      code: 'GEOIP_CORRUPT',
      message: expect.stringMatching(/^AS ranges asn\.csv:3: expected/),
    }),
  );
});
