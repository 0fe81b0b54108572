/** Reading mmdb files: every record size and value type, IPv4 inside IPv6, and damage of every kind. */
import { OperatingError } from '@ufes/core/errors.ts';
import { type Address, formatAddress, parseAddress } from '@ufes/core/ip.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import fc from 'fast-check';
import { Reader } from 'maxmind';
import { describe, expect, test } from 'vitest';
import { Mmdb, type MmdbValue, noData } from './mmdb.ts';
import { type MmdbFixture, writeMmdb } from './testing-mmdb.ts';

const quiet = () => {};

/** [first address, record] of every leaf. */
function leaves4(bytes: Buffer): [string, MmdbValue][] {
  const mmdb = new Mmdb(bytes, 'test.mmdb');
  const leaves: [string, MmdbValue][] = [];
  mmdb.walk4((hi, pointer) => {
    leaves.push([formatAddress({ family: 4, hi, lo: 0 }), pointer === noData ? undefined : mmdb.record(pointer)]);
  }, quiet);
  return leaves;
}

function leaves6(bytes: Buffer): [string, MmdbValue][] {
  const mmdb = new Mmdb(bytes, 'test.mmdb');
  const leaves: [string, MmdbValue][] = [];
  mmdb.walk6((hi, lo, pointer) => {
    leaves.push([formatAddress({ family: 6, hi, lo }), pointer === noData ? undefined : mmdb.record(pointer)]);
  }, quiet);
  return leaves;
}

const filled = (leaves: [string, MmdbValue][]) => leaves.filter(([, record]) => record !== undefined);

describe.each([24, 28, 32] as const)('records of %i bits', (recordSize) => {
  test('leaves come in order with their records', () => {
    const bytes = writeMmdb({
      ipVersion: 4,
      recordSize,
      records: [
        ['192.0.2.0/24', { name: 'two' }],
        ['198.51.100.128/25', { name: 'upper half' }],
        ['203.0.113.7/32', { name: 'one address' }],
      ],
    });
    expect(filled(leaves4(bytes))).toEqual([
      ['192.0.2.0', { name: 'two' }],
      ['198.51.100.128', { name: 'upper half' }],
      ['203.0.113.7', { name: 'one address' }],
    ]);
    expect(leaves4(bytes)[0]).toEqual(['0.0.0.0', undefined]);
    expect(leaves6(bytes)).toEqual([['::', undefined]]);
  });

  test('IPv4 is found under ::/96 and is nothing in IPv6, nor are its aliases', () => {
    const bytes = writeMmdb({
      recordSize,
      records: [
        ['192.0.2.0/24', { v: 4 }],
        ['2001:db8::/32', { v: 6 }],
      ],
      aliases: ['2002::/16', '::ffff:0:0/96'.replace('::ffff:0:0', '0:0:0:0:0:ffff:0:0')],
    });
    expect(filled(leaves4(bytes))).toEqual([['192.0.2.0', { v: 4 }]]);
    expect(filled(leaves6(bytes))).toEqual([['2001:db8::', { v: 6 }]]);
  });
});

test('a /64 that is divided takes the record of its largest part', () => {
  const bytes = writeMmdb({
    records: [
      ['2001:db8:0:1::1/128', { part: 'host' }],
      ['2001:db8:0:1:8000::/65', { part: 'half' }],
    ],
  });
  expect(filled(leaves6(bytes))).toEqual([['2001:db8:0:1::', { part: 'half' }]]);
});

test('one record for all of IPv4 is one leaf', () => {
  expect(leaves4(writeMmdb({ records: [['::/8', { all: true }]] }))).toEqual([['0.0.0.0', { all: true }]]);
});

test('values of every type in use, long texts, and texts shared by pointers', () => {
  const record = {
    text: 'Zürich',
    long: 'x'.repeat(40),
    longer: 'y'.repeat(400),
    whole: 65_550,
    real: -0.09122440218925476,
    yes: true,
    no: false,
    list: ['a', 'Zürich', { nested: 'Zürich' }],
  };
  const bytes = writeMmdb({
    ipVersion: 4,
    records: [
      ['192.0.2.0/25', record],
      ['192.0.2.128/25', { ...record, whole: 0 }],
    ],
  });
  expect(filled(leaves4(bytes)).map(([, found]) => found)).toEqual([record, { ...record, whole: 0 }]);
});

const prefixes: fc.Arbitrary<[string, { n: number; name: string }]> = fc
  .record({ bytes: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 16, maxLength: 16 }), v4: fc.boolean() })
  .map(({ bytes, v4 }): [string, { n: number; name: string }] => {
    const n = bytes[0]! * 4 + bytes[1]!;
    const text = v4
      ? `${bytes.slice(0, 4).join('.')}/32`
      : `2001:${Array.from({ length: 7 }, (_, i) => ((bytes[2 * i + 2]! << 8) | bytes[2 * i + 1]!).toString(16)).join(':')}/62`;
    return [text, { n, name: `city ${n}` }];
  });

/** Of each prefix the first: fixtures must not overlap. */
function apart(records: [string, { n: number; name: string }][]): MmdbFixture['records'] {
  const seen = new Set<string>();
  return records.filter(([text]) => {
    const [address, length] = text.split('/') as [string, string];
    const at = parseAddress(address)!;
    const key = length === '32' ? `${at.hi}` : `${at.hi}/${(at.lo & ~3) >>> 0}`;
    return !seen.has(key) && seen.add(key);
  });
}

test('agrees with the maxmind package on any tree', () => {
  fc.assert(
    fc.property(
      fc.array(prefixes, { minLength: 1, maxLength: 40 }),
      fc.constantFrom(24, 28, 32),
      (records, recordSize) => {
        const fixture = { records: apart(records), recordSize: recordSize as 24 };
        const bytes = writeMmdb(fixture);
        const oracle = new Reader<never>(bytes);
        for (const [address, record] of leaves4(bytes)) expect(record ?? null).toEqual(oracle.get(address));
        for (const [address, record] of leaves6(bytes)) {
          if (address !== '::') expect(record ?? null).toEqual(oracle.get(address));
        }
        const found = filled(leaves4(bytes)).length + filled(leaves6(bytes)).length;
        expect(found).toBe(fixture.records.length);
      },
    ),
    { numRuns: 60 },
  );
});

// --- Damage ----------------------------------------------------------------------------------------------------------

const good = writeMmdb({
  records: Array.from({ length: 50 }, (_, i): [string, MmdbValue] => [
    `192.0.${i}.0/24`,
    { city: { names: { en: `City ${i}` } }, location: { latitude: i + 0.5, longitude: -i - 0.5 }, list: [i, true] },
  ]),
});

function problem(bytes: Buffer): OperatingError {
  try {
    leaves4(bytes);
    leaves6(bytes);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(OperatingError);
    return thrown as OperatingError;
  }
  throw new Error('taken for good');
}

describe('damage is GEOIP_CORRUPT and names the file', () => {
  test.each<[string, Buffer, RegExp]>([
    ['empty', Buffer.alloc(0), /test\.mmdb: it has no metadata at its end: truncated, or no mmdb file/],
    ['no mmdb', Buffer.from('place,latitude\n'.repeat(100)), /no metadata/],
    ['gzip', Buffer.from([0x1f, 0x8b, 8, 0]), /compressed with gzip; unpack it/],
    ['end missing', good.subarray(0, good.length - 300), /truncated/],
    ['start missing', good.subarray(good.length - 400), /do not fit into 400 bytes: truncated|cannot be read/],
    ['metadata cut', good.subarray(0, good.lastIndexOf('MaxMind.com') + 12), /metadata/],
  ])('%s', (_, bytes, message) => {
    const error = problem(bytes);
    expect(error.code).toBe('GEOIP_CORRUPT');
    expect(error.message).toMatch(message);
  });

  test('a tree that leads back into itself', () => {
    const bytes = Buffer.from(writeMmdb({ ipVersion: 4, recordSize: 24, records: [['192.0.2.0/24', { a: 1 }]] }));
    bytes.fill(0, 0, 12);
    expect(problem(bytes).message).toMatch(/leads back into itself|deeper than/);
  });

  test('a record that contains itself', () => {
    const bytes = Buffer.from(writeMmdb({ ipVersion: 4, records: [['0.0.0.0/1', { a: 'b' }]] }));
    // The value of key `a` becomes a pointer to the record.
    const at = bytes.indexOf(Buffer.from([0x41, 0x62]));
    bytes.set([0x20, 0x00], at);
    expect(problem(bytes).message).toContain('has no end');
  });

  test('any bytes changed: read, or refused, but nothing else', () => {
    const { next } = seededRng('damage');
    let refused = 0;
    for (let run = 0; run < 2_000; run++) {
      const bytes = Buffer.from(good);
      for (let i = 0; i <= run % 8; i++) bytes[Math.floor(next() * bytes.length)] = Math.floor(next() * 256);
      try {
        leaves4(bytes);
        leaves6(bytes);
      } catch (thrown) {
        if (!(thrown instanceof OperatingError) || thrown.code !== 'GEOIP_CORRUPT') throw thrown;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(100);
  });
});

test('progress is told for a tree of some size', () => {
  const told: number[] = [];
  const records = Array.from({ length: 20_000 }, (_, i): [string, MmdbValue] => [
    formatAddress({ family: 4, hi: (i * 211_000) >>> 0, lo: 0 } satisfies Address).concat('/32'),
    { n: i & 1 },
  ]);
  new Mmdb(writeMmdb({ ipVersion: 4, recordSize: 32, records }), 'test.mmdb').walk4(quiet, (fraction) =>
    told.push(fraction),
  );
  expect(told.length).toBeGreaterThan(0);
  expect(told.every((fraction) => fraction > 0 && fraction <= 1)).toBe(true);
});
