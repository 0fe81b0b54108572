/**
 * Cost of look-ups in the built-in data: `vitest bench --run --project unit geoip`. Each round looks up 1,000 addresses, so
 * milliseconds a round are microseconds a look-up. Addresses are drawn evenly over the ranges, which is harder than
 * traffic: next to nothing stays in the processor's cache.
 */
import type { Address } from '@ufes/core/ip.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { test } from 'vitest';
import { priorRow, unitVectors } from './prior.ts';
import { openBuiltin } from './testing-builtin.ts';

const geoip = await openBuiltin();
const { next } = seededRng('lookups');
const rounds = 200;
const pick = (length: number) => Math.floor(next() * length);
const v4: Address[] = Array.from({ length: rounds * 1_000 }, () => {
  return { family: 4, hi: geoip.v4.starts[pick(geoip.v4.starts.length)]!, lo: 0 };
});
const v6: Address[] = Array.from({ length: rounds * 1_000 }, () => {
  const at = pick(geoip.v6.hi.length);
  return { family: 6, hi: geoip.v6.hi[at]!, lo: geoip.v6.lo[at]! };
});

let sink = 0;
function thousand(addresses: readonly Address[], lookUp: (address: Address) => number): () => void {
  let round = 0;
  return () => {
    const from = (round++ % rounds) * 1_000;
    for (let i = from; i < from + 1_000; i++) sink += lookUp(addresses[i]!);
  };
}

test('1,000 look-ups', async ({ bench }) => {
  await bench.compare(
    bench('location, v4', thousand(v4, geoip.locationId)),
    bench('location, v6', thousand(v6, geoip.locationId)),
    bench('AS, v4', thousand(v4, geoip.asn)),
    bench('AS, v6', thousand(v6, geoip.asn)),
    bench(
      'whole record, v4',
      thousand(v4, (address) => geoip.lookup(address)?.asn ?? 0),
    ),
  );
});

test('distance prior of 1,000 locations to 30 places', async ({ bench }) => {
  const places = unitVectors(Array.from({ length: 30 }, () => [next() * 180 - 90, next() * 360 - 180] as const));
  const row = new Float32Array(30);
  const { latitude, longitude } = geoip.locations;
  let id = 0;
  await bench('30,000 priors', () => {
    for (let i = 0; i < 1_000; i++) {
      id = (id + 1) % latitude.length;
      priorRow(latitude[id]!, longitude[id]!, places, row);
      sink += row[0]!;
    }
  }).run();
});

if (Number.isNaN(sink)) throw new Error('unreachable: keeps the sums alive');
