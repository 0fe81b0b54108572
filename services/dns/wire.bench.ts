/**
 * What stands around an answer, by itself: rate limit and cookies. `vitest bench --run --project 'unit*' services/dns/wire`.
 * Each round is 1,000 queries, so milliseconds a round are microseconds a query.
 */
import { checkCookie, createCookie, createCookieKeys, readCookie, setCookieKeys } from '@ufes/core/dns/cookie.ts';
import { createQuery, decodeQuery } from '@ufes/core/dns/message.ts';
import { type Peer, parsePeer } from '@ufes/core/ip.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { test } from 'vitest';
import { createRateTable, RateLimiter } from './rrl.ts';
import { desiredState, harness, query, testWire } from './testing.ts';

const rng = seededRng('wire bench');
const nowMs = 1_764_000_000_000;
const nowSeconds = nowMs / 1_000;
const peers = Array.from({ length: 65_536 }, (): Peer => {
  return { family: 4, hi: Math.floor(rng.next() * 2 ** 32), lo: 0, tailHi: 0, tailLo: 0 };
});
const one = parsePeer('198.51.100.7')!;
const six = parsePeer('2001:db8::7')!;
const ample = { answersPerSecond: 1_000_000, slip: 2 };

let sink = 0;
const thousand = (work: (i: number) => number) => () => {
  for (let i = 0; i < 1_000; i++) sink += work(i);
};

test('rate limit', async ({ bench }) => {
  const limiter = new RateLimiter(createRateTable(1), ample);
  const scarce = new RateLimiter(createRateTable(1), { answersPerSecond: 1_000, slip: 2 });
  let asked = 0;
  await bench.compare(
    bench(
      'one network',
      thousand((i) => limiter.admit(one, 40, nowMs + (i >> 6))),
    ),
    bench(
      '65,536 networks',
      thousand(() => {
        asked++;
        return limiter.admit(peers[asked & 65_535]!, 40, nowMs + (asked >> 6));
      }),
    ),
    bench(
      'one network, over its limit',
      thousand(() => scarce.admit(one, 40, nowMs)),
    ),
  );
});

test('cookies', async ({ bench }) => {
  const keys = createCookieKeys();
  setCookieKeys(keys, rng.bytes(16), rng.bytes(16), rng.bytes(16));
  const out = new Uint8Array(16);
  const client = [1, 2, 3, 4, 5, 6, 7, 8];
  const cookieOf = (...server: number[]) => {
    const cookie = createCookie();
    readCookie(Uint8Array.of(...client, ...server), 0, 8 + server.length, cookie);
    return cookie;
  };
  const learned = (peer: Peer) => {
    checkCookie(keys, cookieOf(), peer, nowSeconds, out);
    return cookieOf(...out);
  };
  const [none, first, good4, good6] = [createCookie(), cookieOf(), learned(one), learned(six)];
  const check = (name: string, cookie: typeof none, peer: Peer) =>
    bench(
      name,
      thousand(() => checkCookie(keys, cookie, peer, nowSeconds, out)),
    );
  await bench.compare(
    check('none', none, one),
    check('a client cookie alone', first, one),
    check('a good one', good4, one),
    check('a good one, IPv6', good6, six),
    check('another’s', good4, six),
  );
});

test('both, after decoding', async ({ bench }) => {
  const wire = testWire({ rateLimit: ample });
  const decoded = (init: Parameters<typeof query>[0]) => {
    const out = createQuery();
    decodeQuery(query(init), out);
    return out;
  };
  const plain = decoded({});
  const subnet = decoded({ ecs: { address: '81.2.69.0', source: 24 } });
  await bench.compare(
    bench(
      'no OPT',
      thousand((i) => wire.admit(plain, one, 40, false, nowMs + (i >> 6))),
    ),
    bench(
      'client subnet',
      thousand((i) => wire.admit(subnet, one, 40, false, nowMs + (i >> 6))),
    ),
  );
});

test('whole answers', async ({ bench }) => {
  const on = harness(desiredState(), undefined, { rateLimit: ample });
  const off = harness(desiredState(), undefined, { cookies: false });
  const subnet = query({ ecs: { address: '81.2.69.0', source: 24 } });
  const cookie = query({ edns: { options: [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8] } });
  const answer = ({ answerer, clock }: typeof on, bytes: Uint8Array) => {
    const { out } = answerer;
    return thousand((i) => {
      if (i % 64 === 0) clock.advance(1);
      return answerer.answerInto(bytes, 0, bytes.length, one, out, 0);
    });
  };
  await bench.compare(
    bench('client subnet, neither rate limit nor cookies', answer(off, subnet)),
    bench('client subnet, both on', answer(on, subnet)),
    bench('client cookie, both on', answer(on, cookie)),
  );
});

if (Number.isNaN(sink)) throw new Error('unreachable: keeps the sums alive');
