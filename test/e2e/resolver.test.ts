/**
 * A real resolver between clients and us: Unbound with its subnet cache, which sends /24s and /56s and keeps what the
 * scopes let it keep. Every client must see what it would see without a cache, and the cache must be of use.
 * Clients tell their subnet to Unbound themselves, since all of them sit on this machine.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatPrefix, type Prefix, parsePrefix, prefixOf } from '@ufes/core/ip.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { systemClock } from '@ufes/io/clock.ts';
import { createLog } from '@ufes/io/log.ts';
import { onPath } from '@ufes/io/testing.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTcpSource } from '../../services/dns/tcp.ts';
import {
  buildMap,
  desiredState,
  type Harness,
  harness,
  query,
  readAnswer,
  service,
} from '../../services/dns/testing.ts';
import { createDgramSource } from '../../services/dns/udp.ts';
import { until } from './tree.ts';

const unbound = ['unbound', '/usr/sbin/unbound'].find((path) => onPath(path) || existsSync(path));
const rng = seededRng('resolver');
const log = createLog({ service: 'dns' }, 'silent');
const rankings = [
  ['lon', 'iad', 'sin-2'],
  ['iad', 'lon', 'sin-2'],
  ['sin-2', 'iad', 'lon'],
];

let folder: string;
let child: ChildProcess | undefined;
let server: Harness;
const closers: (() => Promise<void>)[] = [];
let resolverPort: number;
let said = '';

/** A map of leaves of all sizes: neighbouring intervals under 81.0.0.0/8 and 2001:db8::/32 begin at random blocks. */
function useRandomMap(): void {
  const desired = desiredState({
    services: [
      service({
        candidates: [0, 1, 2].map((pop) => ({ pop, v4: `127.0.${pop + 1}0.1`, v6: `2001:db8:${pop}::1` })),
        ttlSecondsMax: 3_600,
      }),
    ],
  });
  const cut = (base: string, count: number) => {
    const places = new Set(Array.from({ length: count }, () => Math.floor(rng.next() * 2 ** 16)));
    const { family, hi } = parsePrefix(base)!;
    return [...places]
      .sort((a, b) => a - b)
      .map(
        (place): Prefix =>
          family === 4
            ? { family, hi: hi + place * 256, lo: 0, length: 24 }
            : { family, hi, lo: (place << 16) >>> 0, length: 48 },
      )
      .map((prefix, i) => ({ from: formatPrefix(prefix).split('/')[0]!, ranking: rankings[(i + 1) % 3]! }));
  };
  const first = (from: string) => ({ from, ranking: rankings[0]! });
  const map = buildMap(desired, [first('0.0.0.0'), ...cut('81.0.0.0', 20)], [first('::'), ...cut('2001:db8::', 20)]);
  server.use(desired, map);
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1', () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });
}

beforeAll(async () => {
  if (unbound === undefined) return;
  server = harness();
  useRandomMap();
  const udp = createDgramSource({ address: '127.0.0.1', port: 0 }, server.answerer, log);
  await udp.open();
  const { answerer, counters } = server;
  const endpoint = { address: '127.0.0.1', port: udp.port };
  const tcp = createTcpSource({ endpoint, answerer, counters, clock: systemClock, log });
  await tcp.open();
  closers.push(
    () => udp.close(),
    () => tcp.close(),
  );

  resolverPort = await freePort();
  folder = mkdtempSync(join(tmpdir(), 'ufes-resolver-'));
  const config = join(folder, 'unbound.conf');
  writeFileSync(
    config,
    `server:
  directory: "${folder}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  verbosity: 1
  do-daemonize: no
  num-threads: 1
  interface: 127.0.0.1@${resolverPort}
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  module-config: "subnetcache iterator"
  send-client-subnet: 127.0.0.1
  client-subnet-always-forward: yes
  max-client-subnet-ipv4: 24
  max-client-subnet-ipv6: 56
  cache-min-ttl: 0
  prefetch: no
  qname-minimisation: no
stub-zone:
  name: "shop.example"
  stub-addr: 127.0.0.1@${udp.port}
  stub-prime: no
remote-control:
  control-enable: no
`,
  );
  child = spawn(unbound, ['-d', '-c', config], { stdio: ['ignore', 'pipe', 'pipe'] });
  const keep = (chunk: Buffer) => {
    said += chunk;
  };
  child.stdout!.on('data', keep);
  child.stderr!.on('data', keep);
  await until(
    'Unbound answers',
    async () => (await ask('81.0.0.0/24')).startsWith('127.'),
    10_000,
    () => said,
  );
});

afterAll(async () => {
  if (child !== undefined) {
    const ended = new Promise((resolve) => child!.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  }
  await Promise.all(closers.map((close) => close()));
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

/** What a client of this subnet gets through Unbound. */
function ask(subnet: string, type = 1): Promise<string> {
  const [address, length] = subnet.split('/');
  const socket = createSocket('udp4');
  return new Promise((resolve, reject) => {
    const giveUp = setTimeout(() => socket.close(() => reject(new Error(`no answer for ${subnet}\n${said}`))), 3_000);
    socket.once('message', (bytes) => {
      clearTimeout(giveUp);
      const { answers, rcode } = readAnswer(bytes);
      socket.close(() => resolve(answers.map((answer) => answer.split(' ').at(-1)).join() || rcode));
    });
    const id = Math.floor(rng.next() * 65_536);
    socket.send(query({ id, type, ecs: { address: address!, source: Number(length) } }), resolverPort, '127.0.0.1');
  });
}

/** What it would get from us. */
function uncached(prefix: Prefix, type: number): { address: string; scope: number } {
  const [address, length] = formatPrefix(prefix).split('/');
  const told = server.ask({ type, ecs: { address: address!, source: Number(length) } });
  return { address: told.answers[0]!.split(' ').at(-1)!, scope: told.scope! };
}

describe.skipIf(unbound === undefined)(
  `Unbound${unbound === undefined ? ': not installed (Debian package unbound)' : ''}`,
  () => {
    it.each([
      ['A', 1, '81.0.0.0', 24],
      ['AAAA', 28, '81.0.0.0', 24],
      ['A', 1, '2001:db8::', 56],
      ['AAAA', 28, '2001:db8::', 56],
    ] as const)(
      '%s (%i) for clients in %s, by /%i: each sees what it would see uncached',
      async (_, number, base, length) => {
        const { family, hi } = parsePrefix(base)!;
        const before = server.recent.since(0).last;
        const wrong: string[] = [];
        const asked = 600;
        for (let i = 0; i < asked; i++) {
          const noise = Math.floor(rng.next() * 2 ** 24);
          const client = prefixOf(
            family === 4 ? { family, hi: hi + noise, lo: 0 } : { family, hi, lo: (noise << 8) >>> 0 },
            length,
          );
          const told = await ask(formatPrefix(client), number);
          const own = uncached(client, number);
          if (told !== own.address) wrong.push(`${formatPrefix(client)}: ${told}, uncached ${own.address}`);
        }
        expect(wrong).toEqual([]);
        // `uncached` itself counts once a client; what is beyond came from Unbound, less than half of them.
        const fromUnbound = server.recent.since(0).last - before - asked;
        expect(fromUnbound).toBeGreaterThan(0);
        expect(fromUnbound).toBeLessThan(asked / 2);
      },
    );

    it('special blocks and folded addresses too', async () => {
      const subnets = [
        '10.1.2.0/24',
        '127.0.0.0/24',
        '192.168.7.0/24',
        '100.64.1.0/24',
        '11.0.0.0/24',
        '9.255.255.0/24',
      ];
      subnets.push(
        '2002:5100::/48',
        '2002:5180:100::/48',
        '2002:a01:200::/48',
        'fd00::/56',
        '2001:db8::/56',
        '2003::/56',
      );
      for (let round = 0; round < 2; round++) {
        for (const subnet of subnets) {
          expect([subnet, await ask(subnet)]).toEqual([subnet, uncached(parsePrefix(subnet)!, 1).address]);
        }
      }
    });

    it('a client that tells more than Unbound passes on is answered by its /24', async () => {
      for (let i = 0; i < 50; i++) {
        const client = { family: 4, hi: 0x51000000 + Math.floor(rng.next() * 2 ** 24), lo: 0 } as const;
        expect(await ask(formatPrefix(prefixOf(client, 32)))).toBe(uncached(prefixOf(client, 24), 1).address);
      }
    });
  },
);
