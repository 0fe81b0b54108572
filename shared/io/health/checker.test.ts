/** Checks over real sockets, and the schedule under a manual clock. */
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { CheckSettings } from '@ufes/core/health.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { ManualClock, systemClock } from '../clock.ts';
import { silentLog } from '../log.ts';
import { attempt, type Outcome, release } from './attempt.ts';
import { testCertificate } from './certificate.fixture.ts';
import type { CheckTarget } from './check-target.ts';
import { createChecker } from './checker.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => server.close());
  return (server.address() as AddressInfo).port;
}
const http = (listener: RequestListener) => listen(createHttpServer(listener));
const check = (target: Omit<CheckTarget, 'id' | 'address'>, timeoutMs = 2_000) =>
  attempt({ id: 'x', address: '127.0.0.1', ...target }, timeoutMs, systemClock).done;
/** A busy machine that holds this process up makes a check say nothing: then it is asked again. */
const checkTillSaid = async (target: Omit<CheckTarget, 'id' | 'address'>, timeoutMs: number) => {
  for (;;) {
    const outcome = await check(target, timeoutMs);
    if (outcome !== 'void') return outcome;
  }
};

describe('one check', () => {
  it('tcp: accepted is up, refused is down', async () => {
    const server = createServer((socket) => socket.destroy());
    const port = await listen(server);
    expect(await check({ kind: 'tcp', port })).toMatchObject({ ok: true });
    server.close();
    expect(await check({ kind: 'tcp', port })).toMatchObject({
      ok: false,
      error: expect.stringContaining('ECONNREFUSED'),
    });
  });

  it('http: 2xx is up, sends path and host; ten checks share a connection, and a failed one ends it', async () => {
    const seen: string[] = [];
    const ports: (number | undefined)[] = [];
    let status = 200;
    const port = await http((request, response) => {
      seen.push(`${request.url} ${request.headers.host}`);
      ports.push(request.socket.remotePort);
      response.statusCode = status;
      response.end('ok');
    });
    const target: CheckTarget = {
      id: 'x',
      kind: 'http',
      address: '127.0.0.1',
      port,
      path: '/ready',
      host: 'a.example',
    };
    const look = () => attempt(target, 2_000, systemClock).done;
    for (let i = 0; i < 11; i++) expect(await look()).toMatchObject({ ok: true });
    status = 503;
    expect(await look()).toMatchObject({ ok: false, error: 'status 503' });
    status = 200;
    expect(await look()).toMatchObject({ ok: true });
    expect(new Set(seen)).toEqual(new Set(['/ready a.example']));
    expect(ports.map((one) => ports.indexOf(one))).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 10, 12]);
    release(target);
  });

  it('http: what is not answered plainly is read by node, on a connection of its own', async () => {
    const ports = new Set<number | undefined>();
    const port = await http((request, response) => {
      ports.add(request.socket.remotePort);
      response.writeHead(200, { 'transfer-encoding': 'chunked' });
      response.write('all is ');
      response.end('well');
    });
    const target: CheckTarget = { id: 'x', kind: 'http', address: '127.0.0.1', port, body: 'is well' };
    for (let i = 0; i < 3; i++) expect(await attempt(target, 2_000, systemClock).done).toMatchObject({ ok: true });
    // One look at it by hand, then three by node.
    expect(ports.size).toBe(4);
  });

  it('http: a kept connection that the server ended meanwhile is no failure; a server that is gone is', async () => {
    const server = createHttpServer((_, response) => void response.end('ok'));
    const ended: Promise<void>[] = [];
    server.on('connection', (socket) => ended.push(new Promise((resolve) => void socket.on('close', () => resolve()))));
    const port = await listen(server);
    const target: CheckTarget = { id: 'x', kind: 'http', address: '127.0.0.1', port };
    const look = () => attempt(target, 2_000, systemClock).done;
    expect(await look()).toMatchObject({ ok: true });
    server.closeAllConnections();
    expect(await look()).toMatchObject({ ok: true });
    server.closeAllConnections();
    server.close();
    await Promise.all(ended);
    expect(await look()).toMatchObject({ ok: false, error: expect.stringContaining('ECONNREFUSED') });
  });

  it.each([301, 404, 503])('http: %d is down', async (status) => {
    const port = await http((_, response) => response.writeHead(status).end('no'));
    expect(await check({ kind: 'http', port })).toMatchObject({ ok: false, error: `status ${status}` });
  });

  it('http: an expected status and body; load: what the edge said', async () => {
    const port = await http((_, response) => response.writeHead(404).end('gone fishing'));
    expect(await check({ kind: 'http', port, status: [404, 410] })).toMatchObject({ ok: true });
    expect(await check({ kind: 'http', port, status: [200] })).toMatchObject({ ok: false, error: 'status 404' });
    expect(await check({ kind: 'http', port, status: [404], body: 'fishing' })).toMatchObject({ ok: true });
    expect(await check({ kind: 'http', port, status: [404], body: 'hunting' })).toMatchObject({
      ok: false,
      error: 'no "hunting" in body',
    });
    const load = (percent: number | undefined) =>
      check({ kind: 'load', port: 0, percentMax: 90, percent: () => percent });
    expect(await load(90)).toMatchObject({ ok: true });
    expect(await load(97)).toMatchObject({ ok: false, error: 'load 97%, over 90%' });
    expect(await load(undefined)).toBe('void');
  });

  it('times out on a server that accepts and says nothing', async () => {
    const port = await listen(createServer(() => {}));
    expect(await checkTillSaid({ kind: 'http', port }, 60)).toMatchObject({ ok: false, error: 'no answer in 60 ms' });
  });

  it('times out on a body that never ends, and reads no more than the bound of one that is large', async () => {
    const slow = await http((_, response) => response.writeHead(200).write('x'));
    expect(await checkTillSaid({ kind: 'http', port: slow }, 60)).toMatchObject({ ok: false });
    let written = 0;
    const large = await http((_, response) => {
      const more = (): void => {
        while (!response.destroyed && written < 1 << 28) {
          written += 1 << 16;
          if (!response.write(Buffer.alloc(1 << 16))) return void response.once('drain', more);
        }
      };
      more();
    });
    expect(await check({ kind: 'http', port: large })).toMatchObject({ ok: true });
    expect(written).toBeLessThan(1 << 26);
  });

  it('https: by CA and SNI, whatever the name in the certificate; another CA is down; no CA yet says nothing', async () => {
    let sni: string | false | null = '';
    const server = createHttpsServer(
      { key: testCertificate.key, cert: testCertificate.certificate },
      (request, response) => {
        sni = 'servername' in request.socket ? (request.socket.servername as string) : false;
        response.end('ready');
      },
    );
    const port = await listen(server);
    const trusted = createSecureContext({ ca: testCertificate.certificate });
    const target = { kind: 'https', port, path: '/readyz', host: 'health.ufes.internal' } as const;
    expect(await check({ ...target, trust: () => trusted })).toMatchObject({ ok: true });
    expect(sni).toBe('health.ufes.internal');
    expect(await check(target)).toMatchObject({ ok: false, error: expect.stringContaining('self') });
    expect(await check({ ...target, trust: () => undefined })).toBe('void');
  });

  it('https: resumes the session of the connection before, and verifies anew each third connection', async () => {
    const resumed: boolean[] = [];
    const server = createHttpsServer(
      { key: testCertificate.key, cert: testCertificate.certificate },
      (_, response) => void response.end('ready'),
    );
    server.on('secureConnection', (socket) => resumed.push(socket.isSessionReused()));
    const port = await listen(server);
    const trusted = createSecureContext({ ca: testCertificate.certificate });
    const target: CheckTarget = { id: 'x', kind: 'https', address: '127.0.0.1', port, trust: () => trusted };
    for (let i = 0; i < 60; i++) expect(await attempt(target, 2_000, systemClock).done).toMatchObject({ ok: true });
    expect(resumed.map((one, i) => (one ? -1 : i)).filter((i) => i >= 0)).toEqual([0, 3]);
    expect(resumed).toHaveLength(6);
    const others = createSecureContext({ ca: [] });
    const doubted: CheckTarget = { ...target, trust: () => others };
    expect(await attempt(doubted, 2_000, systemClock).done).toMatchObject({ ok: false });
  });

  it('is void when this process stood still past the time-out, because the answer may be waiting', async () => {
    const clock = new ManualClock();
    const port = await listen(createServer(() => {}));
    const { done } = attempt({ id: 'x', kind: 'http', address: '127.0.0.1', port }, 500, {
      ...clock,
      nowMs: () => clock.nowMs(),
      monotonicMs: () => clock.monotonicMs() + (clock.nowMs() > 1_764_000_000_000 ? 5_000 : 0),
      after: (ms, fn) => clock.after(ms, fn),
      every: (ms, fn) => clock.every(ms, fn),
    });
    clock.advance(500);
    expect(await done).toBe('void');
  });

  it('is void when this process had less than half of the time itself', async () => {
    const port = await listen(createServer(() => {}));
    const outcome = (ticksMs: number[]) => {
      const clock = new ManualClock();
      const { done } = attempt({ id: 'x', kind: 'http', address: '127.0.0.1', port }, 500, {
        nowMs: () => clock.nowMs(),
        monotonicMs: () => clock.monotonicMs(),
        after: (ms, fn) => clock.after(ms, fn),
        // The event loop comes round at these times only.
        every: (_, fn) => {
          for (const ms of ticksMs) clock.after(ms, fn);
          return () => {};
        },
      });
      clock.advance(500);
      return done;
    };
    expect(await outcome([250, 499])).toBe('void');
    expect(await outcome([80, 160, 240, 320, 400, 480])).toMatchObject({ ok: false, error: 'no answer in 500 ms' });
  });
});

describe('schedule', () => {
  const settings: CheckSettings = { intervalMs: 500, failures: 3, successes: 5, forgive: 3 };
  const target = (id: string, port = 1): CheckTarget => ({ id, kind: 'tcp', address: '127.0.0.1', port });

  /** A checker whose attempts end when told. */
  function rig() {
    const clock = new ManualClock(10_000);
    const started: { id: string; atMs: number; end: (outcome: Outcome) => Promise<void> }[] = [];
    const changes: string[] = [];
    const checker = createChecker({
      settings,
      timeoutMs: 500,
      clock,
      log: silentLog,
      onResult: (result, changed) => {
        if (changed) changes.push(`${result.target} ${result.state}`);
      },
      attempt: (one) => {
        let settle: (outcome: Outcome) => void = () => {};
        const done = new Promise<Outcome>((resolve) => {
          settle = resolve;
        });
        started.push({
          id: one.id,
          atMs: clock.monotonicMs(),
          end: async (outcome) => {
            settle(outcome);
            await done;
            await Promise.resolve();
          },
        });
        return { done, cancel: () => settle('void') };
      },
    });
    return { clock, started, changes, checker };
  }
  const up: Outcome = { ok: true, ms: 1 };
  const down: Outcome = { ok: false, ms: 1, error: 'no' };

  it('starts checks one interval after the start of the last, one at a time', async () => {
    const { clock, started, checker } = rig();
    checker.setTargets([target('a')]);
    await checker.start();
    clock.advance(120);
    await started[0]!.end(up);
    clock.advance(379);
    expect(started).toHaveLength(1);
    clock.advance(1);
    expect(started.map((one) => one.atMs)).toEqual([10_000, 10_500]);
    clock.advance(2_000);
    expect(started).toHaveLength(2);
    await started[1]!.end(up);
    clock.advance(0);
    expect(started[2]!.atMs).toBe(12_500);
    await checker.stop();
  });

  it('reports flips by hysteresis; what is void changes nothing', async () => {
    const { clock, started, changes, checker } = rig();
    checker.setTargets([target('a')]);
    await checker.start();
    for (const outcome of [up, up, up, down, 'void', down, 'void', down, up, up, up, up, up] as Outcome[]) {
      await started.at(-1)!.end(outcome);
      clock.advance(500);
    }
    expect(changes).toEqual(['a up', 'a down', 'a up']);
    expect(checker.results().get('a')).toMatchObject({ state: 'up', holdMs: 1500, tookMs: 1 });
    await checker.stop();
  });

  it('starts with all targets soon, then spreads them over the interval', async () => {
    const { clock, started, checker } = rig();
    const count = 100;
    checker.setTargets(Array.from({ length: count }, (_, i) => target(`t${i}`)));
    await checker.start();
    const round = async (ms: number) => {
      const from = started.length;
      for (let spent = 0; spent < ms; spent += 5) {
        clock.advance(5);
        for (const one of started.slice(from)) await one.end(up);
      }
      return started.slice(from);
    };
    await round(495);
    expect(new Set(started.map((one) => one.id)).size).toBe(count);
    await round(1_000);
    const later = await round(500);
    expect(Math.abs(later.length - count)).toBeLessThanOrEqual(1);
    const perSlot = new Map<number, number>();
    for (const { atMs } of later) {
      const slot = Math.floor((atMs - later[0]!.atMs) / 50);
      perSlot.set(slot, (perSlot.get(slot) ?? 0) + 1);
    }
    expect(Math.max(...perSlot.values())).toBeLessThanOrEqual(2 * (count / 10));
    await checker.stop();
  });

  it('keeps the state of targets that stay, forgets those that go, starts anew what changed', async () => {
    const { clock, started, changes, checker } = rig();
    checker.setTargets([target('a'), target('b'), target('c')]);
    await checker.start();
    clock.advance(10);
    for (const one of [...started]) await one.end(up);
    checker.setTargets([target('a'), target('b', 2)]);
    expect([...checker.results()].map(([id, { state }]) => `${id} ${state}`).sort()).toEqual(['a up', 'b unknown']);
    await checker.stop();
    expect(checker.results().size).toBe(0);
    expect(changes).toEqual(['a up', 'b up', 'c up']);
  });
});
