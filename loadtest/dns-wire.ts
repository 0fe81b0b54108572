/**
 * What rate limit and cookies cost a query, in user CPU nanoseconds, best of seven rounds: outside any test runner, whose
 * module loader would cost as much again (services/dns/wire.bench.ts has the same under one).
 *
 *     node loadtest/dns-wire.ts [--out loadtest/results/dns-wire.json]
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { checkCookie, createCookie, createCookieKeys, readCookie, setCookieKeys } from '@ufes/core/dns/cookie.ts';
import { createQuery, decodeQuery } from '@ufes/core/dns/message.ts';
import { type Peer, parsePeer } from '@ufes/core/ip.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { createRateTable, RateLimiter } from '../services/dns/rrl.ts';
import { Wire } from '../services/dns/wire.ts';

const rounds = 7;
const queries = 2_000_000;
const nowMs = 1_764_000_000_000;
const rng = seededRng('dns wire');
const one = parsePeer('198.51.100.7')!;
const six = parsePeer('2001:db8::7')!;
const peers = Array.from({ length: 65_536 }, (): Peer => {
  return { family: 4, hi: Math.floor(rng.next() * 2 ** 32), lo: 0, tailHi: 0, tailLo: 0 };
});
const ample = { answersPerSecond: 1_000_000, slip: 2 };

const cookieKeys = createCookieKeys();
setCookieKeys(cookieKeys, rng.bytes(16), rng.bytes(16), rng.bytes(16));
const out = new Uint8Array(16);
const cookieOf = (...server: number[]) => {
  const cookie = createCookie();
  readCookie(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, ...server), 0, 8 + server.length, cookie);
  return cookie;
};
const first = cookieOf();
const check = (cookie: typeof first, peer: Peer) => () => checkCookie(cookieKeys, cookie, peer, nowMs / 1_000, out);
const learned = (peer: Peer) => {
  check(first, peer)();
  return cookieOf(...out);
};
const [good4, good6] = [learned(one), learned(six)];

/** `. A` with an empty OPT. */
const query = createQuery();
decodeQuery(
  Uint8Array.of(0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0),
  query,
);
const wire = new Wire(
  { nsid: new Uint8Array(0), cookies: true, rateLimit: ample, udpBytesWithoutCookie: 1_232, chaos: new Map() },
  { cookieKeys, rates: createRateTable(3) },
);
const limiter = new RateLimiter(createRateTable(1), ample);

let sink = 0;
function cost(work: (i: number) => number): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage().user;
    for (let i = 0; i < queries; i++) sink += work(i);
    best = Math.min(best, ((process.cpuUsage().user - before) * 1_000) / queries);
  }
  return Math.round(best * 10) / 10;
}

const nanoseconds = {
  'rate limit, one network': cost((i) => limiter.admit(one, 40, nowMs + (i >> 6))),
  'rate limit, 65,536 networks': cost((i) => limiter.admit(peers[i & 65_535]!, 40, nowMs + (i >> 6))),
  'both, query without a cookie': cost((i) => wire.admit(query, one, 40, false, nowMs + (i >> 6))),
  'cookie made': cost(check(first, one)),
  'cookie checked': cost(check(good4, one)),
  'cookie checked, IPv6': cost(check(good6, six)),
  'wrong cookie, and a good one made': cost(check(good4, six)),
};
const { values } = parseArgs({ options: { out: { type: 'string' } } });
const machine = `${cpus()[0]?.model.trim()} × ${cpus().length}, Node ${process.version}`;
const result = {
  command: 'node loadtest/dns-wire.ts',
  date: new Date().toISOString().slice(0, 10),
  machine,
  nanoseconds,
};
const text = `${JSON.stringify(result, null, 2)}\n`;
process.stdout.write(text);
if (values.out !== undefined) writeFileSync(values.out, text);
if (Number.isNaN(sink)) throw new Error('unreachable: keeps the sums alive');
