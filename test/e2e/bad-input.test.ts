/** Bad input: each with a clear message, and the rest unharmed. */
import { createSocket } from 'node:dgram';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRng } from '@ufes/core/seeded.ts';
import { afterAll, describe, expect, test } from 'vitest';
import { command, endTree, node, root, run, startTree, type Tree, until } from './tree.ts';

const name = 'www.shop.example';
const subnet = '81.2.69.0/24';

describe('ufes check', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ufes-check-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const shipped = readFileSync(join(root, 'services/ufes/demo/ufes.yaml'), 'utf8');
  const check = (yaml: string) => {
    const file = join(folder, 'ufes.yaml');
    writeFileSync(file, yaml);
    return run(node, [command, 'check', file], folder);
  };

  test('passes the demo', async () => {
    expect(await check(shipped)).toMatchObject({ code: 0, stderr: '' });
  });

  test('says every problem at its place, with what would be right', async () => {
    const yaml = shipped
      .replace('    origin: eu\n', '    orgin: eu\n')
      .replace('ttl: { min: 5, max: 30 }', 'ttl: { min: 5s, max: 30 }')
      .replace('vips: { v4: 127.0.20.1 }', 'vips: { v4: 127.0.10.1 }')
      .replace('type: MX, data: 10 mail', 'type: MX, data: ten mail')
      .replace('pops: [lon, iad, sin]', 'pops: [lon, iad, sen]');
    const { code, stderr } = await check(yaml);
    expect(code).toBe(1);
    const line = (text: string) => yaml.split('\n').findIndex((one) => one.includes(text)) + 1;
    expect(stderr).toMatch(new RegExp(`ufes\\.yaml:${line('orgin: eu')}:\\d+: .*orgin.*did you mean "origin"`));
    expect(stderr).toMatch(new RegExp(`ufes\\.yaml:${line('min: 5s')}:\\d+: .*ttl\\.min`));
    expect(stderr).toMatch(new RegExp(`ufes\\.yaml:${line('ten mail')}:\\d+: `));
    expect(stderr).toMatch(/127\.0\.10\.1.*twice|127\.0\.10\.1.*already|127\.0\.10\.1.*used/);
    expect(stderr).toMatch(/sen.*did you mean "sin"/);
  });

  test('says a zone file’s problem at its line', async () => {
    writeFileSync(
      join(folder, 'shop.zone'),
      '$TTL 300\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.53\nbad A 192.0.2.999\n',
    );
    const yaml = shipped.replace(
      / {2}shop\.example:\n[\s\S]*? {2}probe\.example:/,
      '  shop.example:\n    file: shop.zone\n  probe.example:',
    );
    const { code, stderr } = await check(yaml);
    expect(code).toBe(1);
    expect(stderr).toMatch(/shop\.zone:5.*192\.0\.2\.999/);
  });
});

describe('up', () => {
  let tree: Tree | undefined;
  const blocker = createServer();
  afterAll(async () => {
    await endTree(tree);
    blocker.close();
  });

  test('an unreadable mmdb stops the start with the file and what is wanted', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ufes-mmdb-'));
    const file = join(folder, 'bad.mmdb');
    writeFileSync(file, 'not a database');
    for (const path of [file, join(folder, 'absent.mmdb')]) {
      const { code, stderr } = await run(node, [command, 'geoip', 'lookup', '192.0.2.1', '--city', path], folder, {
        UFES_STATE: folder,
      });
      expect(code).toBe(1);
      expect(stderr).toContain(path);
    }
    rmSync(folder, { recursive: true });
  });

  test('a port in use is named, and everything else runs', async () => {
    let port = 0;
    tree = await startTree({
      bare: true,
      edit: (yaml) => {
        const dashboard = /dashboard: (\S+):8090/.exec(yaml)![1]!;
        port = 8090;
        blocker.listen(port, dashboard);
        return yaml;
      },
    });
    await until('said', async () => tree!.output().includes(`:${port}`), 10_000, tree.output);
    expect(tree.output()).toMatch(/8090.*in use/);
    await until('answers', async () => (await tree!.answer(name, subnet)) !== 'SERVFAIL', 5_000);
    blocker.close();
    await until(
      'dashboard runs after all',
      async () => (await tree!.status()).find((one) => one.node === 'dashboard')?.state === 'ready',
      20_000,
    );
  });

  test('malformed packets are never answered wrongly and harm nobody', async () => {
    const rng = seededRng('malformed packets');
    const socket = createSocket('udp4');
    let received = 0;
    let queries = 0;
    socket.on('message', (message) => {
      received++;
      // Whatever comes back is a response, never a query or a bare echo.
      if ((message[2]! & 0x80) === 0) queries++;
    });
    const query = Buffer.from(
      '123401000001000000000001037777770473686f70076578616d706c65000001000100002904d0000000000000',
      'hex',
    );
    for (let i = 0; i < 20_000; i++) {
      const packet = Buffer.from(rng.next() < 0.5 ? query : rng.bytes(Math.floor(rng.next() * 100)));
      for (let flips = Math.floor(rng.next() * 6); flips > 0 && packet.length > 0; flips--)
        packet[Math.floor(rng.next() * packet.length)] = Math.floor(rng.next() * 256);
      socket.send(packet.subarray(0, Math.floor(rng.next() * (packet.length + 1))), 5300, tree!.address('0.1'));
      if (i % 200 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await until('answers still', async () => (await tree!.answer(name, subnet)).startsWith('127.'), 5_000);
    socket.close();
    expect(received).toBeGreaterThan(100);
    expect(queries).toBe(0);
    expect((await tree!.status()).find((one) => one.node === 'dns')).toMatchObject({ restarts: 0 });
  });

  test('a certificate without its key is refused at its place, at start and when it comes later', async () => {
    const broken = (yaml: string) =>
      yaml.replace(
        '\nprobes:\n',
        '\n  broken:\n    name: broken.shop.example\n    pops: [lon, iad, sin]\n    origin: eu\n    tls: { certificate: cert.pem, key: absent.pem }\n\nprobes:\n',
      );
    await expect(startTree({ bare: true, edit: broken })).rejects.toThrow(
      /ended with 1[\s\S]*ufes\.yaml:\d+:\d+: services\.broken\.tls.*cert\.pem/,
    );
    const running = tree!;
    writeFileSync(running.config, broken(readFileSync(running.config, 'utf8')));
    await until('said', async () => running.output().includes('absent.pem'), 10_000, running.output);
    expect(await running.answer(name, subnet)).toMatch(/^127\./);
    expect(await running.answer('broken.shop.example', subnet)).toBe('NXDOMAIN');
  });
});
