/**
 * What liars can do to a whole ufes, and what they cannot: tokens that do not hold, round trips faster than light, and a
 * prefix that GeoIP has in the wrong place. All by real sockets: clients come by a load balancer that speaks PROXY v2.
 */
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { ApartState } from '@ufes/core/dashboard.ts';
import { cellOf, formatPrefix, parseAddress } from '@ufes/core/ip.ts';
import type { Beacon, Plan } from '@ufes/core/samples.ts';
import type { Evidence } from '@ufes/core/steering/explanation.ts';
import { adminGet } from '@ufes/io/admin-client.ts';
import { encodeProxyV2 } from '@ufes/io/proxy-protocol.ts';
import { signToken } from '@ufes/probe/token.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { endTree, startTree, type Tree, until } from './tree.ts';

let tree: Tree;
/** GeoIP has all of 81.2.69.0/24 in the United Kingdom. */
const network = '81.2.69';
const name = 'www.shop.example';
const balancer = () => tree.address('99.1');

beforeAll(async () => {
  tree = await startTree({
    bare: true,
    edit: (yaml) =>
      yaml
        // Health checks come from this machine's first address, and are no load balancer.
        .replace(/^trustedProxies: .*$/m, `trustedProxies: [${/127\.\d+\./.exec(yaml)![0]}99.1]`)
        .replace(/( {4}ports: \{ https: 8443, http: 8080 \})/g, '$1\n    proxy: v2')
        .replace('sources: [rum, agent, demo]', 'sources: [rum, agent, demo, edge]'),
  });
});
afterAll(() => endTree(tree));

/** A connection of the balancer for a client, to `address`:`port`. */
function carried(client: string, address: string, port: number): Socket {
  const socket = connect({ host: address, port, localAddress: balancer() });
  socket.write(encodeProxyV2({ address: client, port: 40_000 }, { address, port }));
  return socket;
}

async function http(
  client: string,
  method: string,
  path: string,
  body = '',
): Promise<{ status: number; body: string }> {
  const socket = carried(client, tree.address('0.1'), 8092);
  socket.write(
    `${method} ${path} HTTP/1.1\r\nhost: rum\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  let text = '';
  for await (const chunk of socket) text += chunk;
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]), body: text.slice(text.indexOf('\r\n\r\n') + 4) };
}

const planOf = async (client: string): Promise<Plan> =>
  JSON.parse((await http(client, 'GET', '/rum/plan')).body) as Plan;
const send = async (client: string, beacon: Beacon): Promise<number> =>
  (await http(client, 'POST', '/rum/beacon', JSON.stringify(beacon))).status;
const saying = (plan: Plan, rtts: Record<string, number>): Beacon => ({
  token: plan.token,
  results: Object.entries(rtts)
    .filter(([pop]) => plan.targets.some(({ id }) => id === `pop:${pop}`))
    .map(([pop, ms]) => ({ target: `pop:${pop}`, ok: true, rttMs: [ms, ms, ms] })),
});

async function apart(): Promise<ApartState> {
  const answer = await fetch(`http://${tree.address('0.1')}:8090/api/quarantine`);
  expect(answer.status).toBe(200);
  return (await answer.json()) as ApartState;
}

async function folded(what: string, done: (state: ApartState) => boolean): Promise<ApartState> {
  let state = await apart();
  await until(
    what,
    async () => {
      state = await apart();
      return done(state);
    },
    20_000,
    () => `${JSON.stringify(state)}\n${tree.output()}`,
  );
  return state;
}

test('tokens that are forged, expired, of another network or used before are refused, and counted by reason', async () => {
  const [client, stranger] = ['81.2.68.9', '203.0.113.9'];
  const plan = await planOf(client);
  const good = saying(plan, { lon: 30, iad: 90, sin: 200 });
  expect(await send(client, { ...good, token: `${plan.token.slice(0, -3)}xyz` })).toBe(403);
  const key = readFileSync(join(tree.state, 'keys/token.key'));
  const prefix = formatPrefix(cellOf(parseAddress(client)!));
  const claims = { id: 'AAAAAAAAAAAAAAAA', prefix, targets: new Map([['pop:lon', 1]]) };
  const old = signToken(key, { ...claims, expiresAtMs: Date.now() - 1 });
  expect(await send(client, { ...good, token: old })).toBe(403);
  expect(await send(stranger, good)).toBe(403);
  expect(await send(client, good)).toBe(204);
  expect(await send(client, good)).toBe(204);
  const { refused, apart: held } = await folded(
    'the second use is set aside',
    (state) => state.apart?.aside.reasons.some(({ reason }) => reason === 'token-repeated') === true,
  );
  const total = (reason: string) => refused?.reasons.find((one) => one.reason === reason)?.total;
  expect(['forged', 'expired', 'foreign-prefix'].map(total)).toEqual([1, 1, 1]);
  expect(held?.aside.reasons).toEqual([{ reason: 'token-repeated', total: 1 }]);
  const ns = async () => {
    const { estimates } = await adminGet<Evidence>(tree.state, 'mapper', `/evidence?client=${client}`, {});
    return ['lon', 'iad', 'sin'].map((pop) => Math.round(estimates[pop]!.n));
  };
  await until(
    'it counts',
    async () => (await ns()).some((n) => n > 0),
    15_000,
    () => tree.output(),
  );
  expect(await ns()).toEqual([1, 1, 1]);
});

test('a prefix that claims to be nearer than light allows is kept apart, and goes where it went', async () => {
  const before = await tree.answer(name, `${network}.0/24`);
  for (let host = 1; host <= 30; host++) {
    const client = `${network}.${host}`;
    expect(await send(client, saying(await planOf(client), { lon: 90, sin: 20 }))).toBe(204);
  }
  const { apart: held } = await folded('it is in quarantine', (state) => state.apart?.quarantined.samples === 30);
  expect(held?.quarantined.rows).toMatchObject([
    { prefix: `${network}.0/24`, place: expect.stringContaining('GB'), claims: [{ target: 'pop:sin', samples: 30 }] },
  ]);
  expect(await tree.answer(name, `${network}.0/24`)).toBe(before);
  expect(before).toBe(tree.address('10.1'));
});

/** A TLS connection for a probe name of `pop`, the client `delayMs` away in each direction. */
function handshake(client: string, pop: string, address: string, delayMs: number): Promise<void> {
  const id = `e2e${Math.random().toString(16).slice(2, 12)}`;
  const raw = carried(client, address, 8443);
  const far = () =>
    new Transform({
      transform(chunk, _encoding, done) {
        setTimeout(() => done(null, chunk), delayMs);
      },
    });
  const [out, back] = [far(), far()];
  out.pipe(raw).pipe(back);
  const wire = Transform.from({ writable: out, readable: back } as never);
  const servername = `${id}-${pop}.probe.example`;
  return new Promise((resolve, reject) => {
    const secure = connectTls({ socket: wire, servername, rejectUnauthorized: false });
    secure.once('error', reject);
    secure.once('data', () => {
      raw.destroy();
      resolve();
    });
    secure.write(`GET /p HTTP/1.1\r\nhost: ${servername}\r\nconnection: close\r\n\r\n`);
  });
}

test('a prefix that GeoIP has in the wrong place is steered by what edges time', async () => {
  // Another prefix of the United Kingdom, by GeoIP; its users are next to Singapore.
  const moved = '81.2.70';
  expect(await tree.answer(name, `${moved}.0/24`)).toBe(tree.address('10.1'));
  for (let host = 1; host <= 30; host++) {
    await Promise.all([
      handshake(`${moved}.${host}`, 'sin', tree.address('30.1'), 0),
      handshake(`${moved}.${host}`, 'lon', tree.address('10.1'), 80),
    ]);
  }
  const { apart: held } = await folded('its place is disputed', (state) => state.apart?.disputed.prefixes === 1);
  expect(held?.disputed.rows).toMatchObject([{ prefix: `${moved}.0/24`, target: 'pop:sin' }]);
  await until(
    'it is sent to Singapore',
    async () => (await tree.answer(name, `${moved}.0/24`)) === tree.address('30.1'),
    20_000,
    () => tree.output(),
  );
  // Browsers there may say so now.
  const client = `${moved}.200`;
  expect(await send(client, saying(await planOf(client), { lon: 170, sin: 5 }))).toBe(204);
  const told = await tree.ufes('quarantine');
  expect([told.code, told.stderr]).toEqual([0, '']);
  expect(told.stdout).toMatch(
    new RegExp(`DISPUTED places of 1 prefix\\n.*\\n +${moved.replaceAll('.', '\\.')}\\.0/24`),
  );
  expect(told.stdout).toMatch(/QUARANTINED 30 samples of 1 prefix/);
  expect(told.stdout).toMatch(/token of another network +1 in 24 h +1 in all/);
  expect((await apart()).apart?.quarantined.samples).toBe(30);
});
