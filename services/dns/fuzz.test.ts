import { limits } from '@ufes/core/limits.ts';
import packet from 'dns-packet';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { buildMap, desiredState, harness, query } from './testing.ts';

const one = harness(
  desiredState(),
  buildMap(desiredState(), [
    { from: '0.0.0.0', ranking: ['lon', 'iad', 'sin-2'] },
    { from: '81.2.69.0', ranking: ['iad', 'lon', 'sin-2'] },
  ]),
);
const names = [
  'www.shop.example.',
  'api.shop.example.',
  'deep.shop.example.',
  'tosteer.shop.example.',
  'q.wild.shop.example.',
  'hid.sub.shop.example.',
  'big.shop.example.',
  'ab-lon.probe.example.',
  'other.test.',
  '.',
];
const real = fc
  .record({
    name: fc.constantFrom(...names),
    type: fc.oneof(fc.constantFrom(1, 2, 5, 6, 15, 16, 28, 43, 255), fc.nat(65_535)),
    opcode: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(15) }),
    class: fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.nat(65_535) }),
    size: fc.nat(65_535),
    ecs: fc.oneof(
      fc.constant(undefined),
      fc.record({ address: fc.constantFrom('81.2.69.7', '10.1.2.3'), source: fc.nat(32) }),
      fc.record({ address: fc.constantFrom('2001:db8::1', '::ffff:81.2.69.7', '::1'), source: fc.nat(128) }),
    ),
    options: fc.oneof(fc.constant([]), fc.array(fc.nat(255), { maxLength: 20 })),
  })
  .map(({ size, options, ecs, ...rest }) =>
    query({ ...rest, edns: { size, options }, ...(ecs === undefined ? {} : { ecs }) }),
  );
const mutation = fc.oneof(
  fc.record({ kind: fc.constant('set' as const), at: fc.nat(400), value: fc.nat(255) }),
  fc.record({ kind: fc.constant('cut' as const), at: fc.nat(400), value: fc.nat(20) }),
  fc.record({ kind: fc.constant('insert' as const), at: fc.nat(400), value: fc.nat(255) }),
  fc.record({ kind: fc.constant('end' as const), at: fc.nat(400), value: fc.constant(0) }),
);
const mutated = fc.tuple(real, fc.array(mutation, { maxLength: 4 })).map(([bytes, mutations]) => {
  const out = [...bytes];
  for (const { kind, at, value } of mutations) {
    const place = at % (out.length + 1);
    if (kind === 'set' && place < out.length) out[place] = value;
    if (kind === 'cut') out.splice(place, value);
    if (kind === 'insert') out.splice(place, 0, value);
    if (kind === 'end') out.length = place;
  }
  return Uint8Array.from(out);
});

it('any bytes: no throw, silence to answers and scraps, else one answer that parses and fits', () => {
  const seen = new Set<number>();
  fc.assert(
    fc.property(
      fc.oneof({ weight: 9, arbitrary: mutated }, { weight: 1, arbitrary: fc.uint8Array({ maxLength: 80 }) }),
      fc.boolean(),
      (bytes, overTcp) => {
        const answer = one.raw(bytes, '198.51.100.7', overTcp);
        const silent = bytes.length < 12 || (bytes[2]! & 0x80) !== 0;
        expect(answer === undefined).toBe(silent);
        if (answer === undefined) return;
        expect(answer.length).toBeLessThanOrEqual(overTcp ? 65_535 : limits.dns.udpBytes);
        const read = packet.decode(Buffer.from(answer));
        expect(read.type).toBe('response');
        expect(read.id).toBe((bytes[0]! << 8) | bytes[1]!);
        expect((answer[2]! >> 3) & 15).toBe((bytes[2]! >> 3) & 15);
        expect(read.questions.length).toBeLessThanOrEqual(1);
        seen.add(answer[3]! & 15);
      },
    ),
    { numRuns: 20_000 },
  );
  // NOERROR, FORMERR, NXDOMAIN, NOTIMP, REFUSED: the generator reaches every way out.
  for (const rcode of [0, 1, 3, 4, 5]) expect(seen).toContain(rcode);
});
