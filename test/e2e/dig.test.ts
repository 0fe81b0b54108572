/** BIND's dig as a client that knows every option: what it makes of ours. Skipped where there is no dig. */
import { systemClock } from '@ufes/io/clock.ts';
import { createLog } from '@ufes/io/log.ts';
import { onPath } from '@ufes/io/testing.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTcpSource } from '../../services/dns/tcp.ts';
import { desiredState, type Harness, harness } from '../../services/dns/testing.ts';
import { createDgramSource } from '../../services/dns/udp.ts';
import { run } from './tree.ts';

const there = onPath('dig');
const log = createLog({ service: 'dns' }, 'silent');
const closers: (() => Promise<void>)[] = [];
let server: Harness;
let port: number;

beforeAll(async () => {
  server = harness(desiredState(), undefined, {
    nsid: new TextEncoder().encode('ns1-lon'),
    // Less than any answer with addresses in it: who shows no cookie gets none.
    udpBytesWithoutCookie: 60,
    chaos: new Map([['version.bind.', Uint8Array.of(4, ...Buffer.from('ufes'))]]),
  });
  const udp = createDgramSource({ address: '127.0.0.1', port: 0 }, server.answerer, log);
  await udp.open();
  port = udp.port;
  const { answerer, counters } = server;
  const tcp = createTcpSource({
    endpoint: { address: '127.0.0.1', port },
    answerer,
    counters,
    clock: systemClock,
    log,
  });
  await tcp.open();
  closers.push(
    () => udp.close(),
    () => tcp.close(),
  );
});
afterAll(async () => {
  await Promise.all(closers.map((close) => close()));
});

async function dig(...args: string[]): Promise<string> {
  const { stdout, stderr } = await run('dig', ['-p', String(port), '@127.0.0.1', '+norec', '+tries=1', ...args], '.');
  return stdout + stderr;
}

describe.skipIf(!there)(`dig${there ? '' : ': not installed (Debian package bind9-dnsutils)'}`, () => {
  it('learns a cookie from BADCOOKIE, comes back with it, and finds ours good', async () => {
    const said = await dig('www.shop.example', '+cookie', '+nsid', '+subnet=81.2.69.0/24');
    expect(said).toContain('BADCOOKIE, retrying');
    expect(said).toMatch(/COOKIE: [0-9a-f]{48} \(good\)/);
    expect(said).toContain('("ns1-lon")');
    expect(said).toContain('CLIENT-SUBNET: 81.2.69.0/24/0');
    expect(said).toMatch(/www\.shop\.example\.\s+60\s+IN\s+A\s+127\.0\.10\.1/);
    expect(said).toContain('(UDP)');
  });
  it('without cookies it is told to use TCP, where it learns how long it may stay', async () => {
    const said = await dig('www.shop.example', '+nocookie', '+keepalive');
    expect(said).toContain('Truncated, retrying in TCP mode');
    expect(said).toContain('127.0.10.1');
    expect(await dig('www.shop.example', '+tcp', '+keepalive')).toContain('TCP KEEPALIVE: 10.0 secs');
  });
  it('reads extended errors, CHAOS names and versions of EDNS', async () => {
    expect(await dig('other.test', '+tcp')).toContain('EDE: 20 (Not Authoritative)');
    expect(await dig('version.bind', 'TXT', 'CH', '+short', '+tcp')).toBe('"ufes"\n');
    expect(await dig('id.server', 'TXT', 'CH', '+tcp')).toContain('EDE: 18 (Prohibited)');
    expect(await dig('www.shop.example', '+edns=1', '+noednsnegotiation', '+tcp')).toContain('status: BADVERS');
  });
});
