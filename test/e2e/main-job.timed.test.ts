/** The main job on the real processes: look-ups, requests, evidence that moves an answer. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { estimation } from '@ufes/core/steering/estimation.ts';
import { onPath } from '@ufes/io/testing.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endTree, pause, run, startTree, type Tree, until } from './tree.ts';

const name = 'www.shop.example';
let tree: Tree;
beforeAll(async () => {
  tree = await startTree();
});
afterAll(() => endTree(tree));

const london = () => tree.address('10.1');
const virginia = () => tree.address('20.1');
const singapore = () => tree.address('30.1');

describe('look-ups', () => {
  test('each part of the world gets its PoP, and the scope holds', async () => {
    const cases: [string, string][] = [
      ['81.2.69.0/24', london()],
      ['128.2.0.0/24', virginia()],
      ['165.21.100.0/24', singapore()],
    ];
    for (const [subnet, vip] of cases) {
      const first = await tree.dig(name, { subnet });
      expect(first.answers.map((one) => one.address)).toEqual([vip]);
      const { scope, source } = first.ecs!;
      expect(source).toBe(24);
      expect(scope).toBeGreaterThan(0);
      expect(scope).toBeLessThanOrEqual(24);
      // Another client inside the scope must get the same answer and scope (RFC 7871 §7.3.1).
      const other = `${subnet.split('/')[0]!.replace(/\.0$/, '.200')}/32`;
      const second = await tree.dig(name, { subnet: other });
      expect(second.answers.map((one) => one.address)).toEqual([vip]);
      expect(second.ecs!.scope).toBe(scope);
    }
  });

  test.runIf(onPath('dig'))('dig agrees, over UDP and TCP, with the question’s case echoed', async () => {
    for (const transport of ['+notcp', '+tcp']) {
      const args = [
        `@${tree.address('0.1')}`,
        '-p',
        '5300',
        'wWw.ShOp.eXample',
        '+subnet=81.2.69.0/24',
        '+norec',
        transport,
      ];
      const { stdout } = await run('dig', args, tree.folder);
      expect(stdout).toContain('status: NOERROR');
      expect(stdout).toMatch(/CLIENT-SUBNET: 81\.2\.69\.0\/24\/(1?\d|2[0-4])\n/);
      expect(stdout).toContain('wWw.ShOp.eXample.');
      expect(stdout).toContain(london());
    }
  });

  test('zone data, wildcards and what is not there', async () => {
    expect((await tree.dig('shop.example', { type: 'SOA' })).answers[0]?.primary).toBe('ns1.shop.example');
    expect((await tree.dig('shop.example', { type: 'MX' })).answers[0]?.exchange).toBe('mail.shop.example');
    expect((await tree.dig('nothing.shop.example')).rcode).toBe('NXDOMAIN');
    expect((await tree.dig('mail.shop.example', { type: 'AAAA' })).rcode).toBe('NOERROR');
    expect((await tree.dig('www.elsewhere.example')).rcode).toBe('REFUSED');
    expect((await tree.dig('x.preview.shop.example', { type: 'CNAME' })).answers[0]?.domain).toBe('www.shop.example');
  });
});

describe('requests', () => {
  const curl = async (...args: string[]) => {
    const ca = join(tree.state, 'tls/ca.crt');
    const to = `${name}:443:${london()}:8443`;
    return run('curl', ['-sS', '--cacert', ca, '--connect-to', to, '-D', '-', ...args], tree.folder);
  };

  test.runIf(onPath('curl'))('reach the origin of their path over HTTP/1.1 and HTTP/2', async () => {
    for (const [flag, version] of [
      ['--http1.1', 'HTTP/1.1 200'],
      ['--http2', 'HTTP/2 200'],
    ] as const) {
      const page = await curl(flag, `https://${name}/`);
      expect(page.stdout).toContain(version);
      expect(page.stdout).toContain('origin eu');
      expect(page.stdout.toLowerCase()).toContain('server-timing:');
      const api = await curl(flag, `https://${name}/api/orders?x=1`);
      expect(api.stdout).toContain('"origin":"us"');
    }
    expect((await curl(`https://${name}/api%2Fx`)).stdout).toContain(' 400');
  });
});

describe('evidence', () => {
  const beacons = async (client: string, count: number, times: Record<string, number>) => {
    for (let i = 0; i < count; i++) {
      const plan = await tree.plan(client);
      const results = plan.targets.map(({ id }) => {
        const ms = times[id] ?? 120;
        return { target: id, ok: true, rttMs: [ms, ms, ms] };
      });
      expect(await tree.beacon(client, { token: plan.token, results })).toBe(204);
    }
  };

  /** Beacons from which a prefix is ranked on what it measured itself. */
  const enough = estimation.ownN;

  test('enough beacons change the answer of their own prefix within 2 s, and no other’s', async () => {
    const neighbours = ['81.2.68.0/24', '81.2.70.0/24', '81.2.71.0/24', '128.2.0.0/24', '165.21.100.0/24'];
    const before = await Promise.all(neighbours.map((one) => tree.answer(name, one)));
    const times = { 'pop:lon': 180, 'pop:iad': 75, 'pop:sin': 250 };
    await beacons('81.2.69.160', enough - 1, times);
    await pause(1500);
    expect(await tree.answer(name, '81.2.69.0/24')).toBe(london());
    await beacons('81.2.69.161', 1, times);
    const ms = await until(
      'the answer moves',
      async () => (await tree.answer(name, '81.2.69.0/24')) === virginia(),
      10_000,
    );
    expect(ms).toBeLessThan(2_000);
    expect(await Promise.all(neighbours.map((one) => tree.answer(name, one)))).toEqual(before);

    const { cell, pops } = await tree.explain(name, '81.2.69.160');
    expect(cell).toBe('81.2.69.0/24');
    const chosen = pops.find((pop) => pop.chosen)!;
    expect(chosen.pop).toBe('iad');
    expect(chosen.estimate).toMatchObject({ n: enough, tier: 'prefix' });
    const { stdout, code } = await tree.ufes('explain', name, '81.2.69.160');
    expect(code).toBe(0);
    for (const word of ['81.2.69.0/24', '→', 'iad', 'London', 'prefix', String(enough)]) expect(stdout).toContain(word);
  });

  test('kill -9 of probe right after the acknowledgement loses nothing', async () => {
    const client = '198.51.100.7';
    await beacons(client, enough - 1, { 'pop:lon': 300, 'pop:iad': 300, 'pop:sin': 20 });
    const plan = await tree.plan(client);
    const pid = await tree.pid('probe');
    const results = plan.targets.map(({ id }) => ({ target: id, ok: true, rttMs: [id === 'pop:sin' ? 20 : 300] }));
    expect(await tree.beacon(client, { token: plan.token, results })).toBe(204);
    process.kill(pid, 'SIGKILL');
    await until(
      'all of them count',
      async () => {
        const { pops, cell } = await tree.explain(name, client);
        return cell === '198.51.100.0/24' && pops.every((pop) => pop.estimate?.n === enough);
      },
      15_000,
    );
    // explain speaks from the main thread, which has a new map a moment before the threads that answer.
    await until(
      'Singapore is answered',
      async () => (await tree.answer(name, '198.51.100.0/24')) === singapore(),
      1_000,
    );
  });

  test('a forged token, another network’s token and an oversized body are refused', async () => {
    const plan = await tree.plan('203.0.113.9');
    const results = [{ target: 'pop:lon', ok: true, rttMs: [1] }];
    expect(await tree.beacon('203.0.113.9', { token: `${plan.token.slice(0, -2)}zz`, results })).toBe(403);
    expect(await tree.beacon('192.0.2.9', { token: plan.token, results })).toBe(403);
    expect(await tree.beacon('203.0.113.9', '{"token":')).toBe(400);
    expect(await tree.beacon('203.0.113.9', JSON.stringify({ token: 'x'.repeat(20_000), results }))).toBe(413);
  });
});

describe('objects', () => {
  const ingress = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: orders, namespace: team-a }
spec:
  ingressClassName: ufes
  rules:
    - host: orders.shop.example
      http:
        paths:
          - { path: /, pathType: Prefix, backend: { service: { name: orders, port: { number: 80 } } } }
---
apiVersion: v1
kind: Service
metadata: { name: orders, namespace: team-a }
spec: { ports: [{ port: 80, targetPort: 9000 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: orders-1, namespace: team-a, labels: { kubernetes.io/service-name: orders } }
addressType: IPv4
ports: [{ name: '', port: 9000 }]
endpoints: [{ addresses: [ADDRESS], conditions: { ready: true } }]
`;
  const host = 'orders.shop.example';
  const served = async (vip: string) => {
    const ca = join(tree.state, 'tls/ca.crt');
    const { stdout } = await run(
      'curl',
      ['-sS', '-m', '2', '--cacert', ca, '--connect-to', `${host}:443:${vip}:8443`, `https://${host}/api`],
      tree.folder,
    );
    return stdout;
  };

  test.runIf(onPath('curl'))('an Ingress is resolvable and served within 2 s, then gone in order', async () => {
    const file = join(tree.folder, 'objects/orders.yaml');
    const status = () => JSON.parse(readFileSync(join(tree.folder, 'status/team-a-orders.json'), 'utf8'));
    writeFileSync(file, ingress.replace('ADDRESS', tree.address('50.1')));
    const ms = await until(
      'resolvable',
      async () => (await tree.answer(host, '81.2.69.0/24')).startsWith('127.'),
      10_000,
      tree.output,
    );
    expect(ms).toBeLessThan(2_000);
    const vip = await tree.answer(host, '81.2.69.0/24');
    expect(await served(vip)).toContain('"origin":"us"');
    await until('status', async () => JSON.stringify(status()).includes(vip), 2_000);

    rmSync(file);
    await until('record gone', async () => (await tree.answer(host, '81.2.69.0/24')) === 'NXDOMAIN', 5_000);
    // Resolvers may hold the record for its TTL: the route outlives it.
    expect(await served(vip)).toContain('"origin":"us"');
  });

  test('an unknown class and a missing Service are said on the object, and harm nobody', async () => {
    const bad = (metadata: string, change: (text: string) => string) =>
      change(
        ingress
          .split('---')[0]!
          .replace('name: orders,', `name: ${metadata},`)
          .replace('orders.shop.example', `${metadata}.shop.example`),
      );
    writeFileSync(
      join(tree.folder, 'objects/class.yaml'),
      bad('odd-class', (text) => text.replace('ingressClassName: ufes', 'ingressClassName: ufoes')),
    );
    writeFileSync(
      join(tree.folder, 'objects/missing.yaml'),
      bad('no-service', (text) => text),
    );
    writeFileSync(join(tree.folder, 'objects/broken.yaml'), 'kind: Ingress\nmetadata: [\n');
    const said = (name: string) => readFileSync(join(tree.folder, `status/team-a-${name}.json`), 'utf8');
    await until('odd class said', async () => said('odd-class').includes('ufoes'), 5_000);
    await until('missing service said', async () => said('no-service').includes('orders'), 5_000);
    expect(await tree.answer(name, '81.2.69.0/24')).toMatch(/^127\./);
  });
});

describe('the end', () => {
  test('Ctrl-C drains and exits 0 within 5 s', async () => {
    const [code, ms] = await tree.stop();
    expect(code).toBe(0);
    expect(ms).toBeLessThan(5_000);
  });
});
