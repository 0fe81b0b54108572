import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import type { Config } from '@ufes/core/config/schema.ts';
import { limits } from '@ufes/core/limits.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import { silentLog } from '@ufes/io/log.ts';
import { expect, test } from 'vitest';
import { Supervisor } from './supervisor.ts';

/** A process that does what it is told, or nothing. */
class FakeChild extends EventEmitter {
  static last = 0;
  readonly pid = ++FakeChild.last;
  readonly connected = true;
  exitCode: number | null = null;
  signalCode: string | null = null;
  answers = true;
  stops = true;

  send(message: { ufes: string }): boolean {
    if (message.ufes === 'ping' && this.answers) this.emit('message', { ufes: 'pong', rssBytes: 1 });
    if (message.ufes === 'stop') {
      // As a draining edge does on its way out.
      this.emit('message', { ufes: 'ready', ok: false, why: 'draining' });
      if (this.stops) this.end(0, null);
    }
    return true;
  }

  kill(signal: string): boolean {
    this.end(null, signal);
    return true;
  }

  end(code: number | null, signal: string | null): void {
    if (this.exitCode !== null || this.signalCode !== null) return;
    this.exitCode = code;
    this.signalCode = signal;
    this.emit('exit', code, signal);
  }
}

async function setUp(nodes = ['dns', 'edge-lon']) {
  const clock = new ManualClock();
  const children: { node: string; child: FakeChild }[] = [];
  const supervisor = new Supervisor({
    nodes,
    config: {} as Config,
    configFolder: '/',
    configPath: '/ufes.yaml',
    state: '/state',
    logLevel: 'silent',
    clock,
    log: silentLog,
    fork: (node) => {
      const child = new FakeChild();
      children.push({ node, child });
      return child as unknown as ChildProcess;
    },
    onFatal: () => {},
  });
  await supervisor.start();
  const of = (node: string) => children.filter((one) => one.node === node).map((one) => one.child);
  return {
    clock,
    supervisor,
    of,
    state: (node: string) => supervisor.status().find((one) => one.node === node)?.state,
  };
}

test('what exited is started again, at once and then with back-off', async () => {
  const { clock, of } = await setUp();
  of('dns')[0]!.end(1, null);
  clock.advance(0);
  expect(of('dns')).toHaveLength(2);
  of('dns')[1]!.end(1, null);
  clock.advance(200);
  expect(of('dns')).toHaveLength(2);
  clock.advance(100);
  expect(of('dns')).toHaveLength(3);
});

test('what does not answer for long is killed; a supervisor that stood still kills nobody', async () => {
  const { clock, of } = await setUp();
  of('dns')[0]!.answers = false;
  clock.advance(limits.supervisor.hungMs - 1_000);
  expect(of('dns')).toHaveLength(1);
  clock.advance(3_000);
  expect(of('dns')).toHaveLength(2);
  expect(of('edge-lon')).toHaveLength(1);
});

test('what left the configuration is gone for good, whatever it says on its way out', async () => {
  const { clock, supervisor, of } = await setUp();
  supervisor.update({} as Config, ['dns']);
  clock.advance(60_000);
  expect(of('edge-lon')).toHaveLength(1);
  expect(supervisor.nodes()).toEqual(['dns']);
});

test('a node that comes back waits for the one that leaves, and `stop` waits for both', async () => {
  const { clock, supervisor, of } = await setUp();
  of('edge-lon')[0]!.stops = false;
  supervisor.update({} as Config, ['dns']);
  supervisor.update({} as Config, ['dns', 'edge-lon']);
  await Promise.resolve();
  expect(of('edge-lon')).toHaveLength(1);
  clock.advance(limits.supervisor.killMs);
  await new Promise((resolve) => setImmediate(resolve));
  expect(of('edge-lon')).toHaveLength(2);
  await supervisor.stop();
  expect(of('edge-lon').every((child) => child.exitCode !== null || child.signalCode !== null)).toBe(true);
});

test('what is held down stays down, and comes back when it is let', async () => {
  const { clock, supervisor, of, state } = await setUp();
  expect(supervisor.hold('edge-lon', true)).toBe(true);
  clock.advance(60_000);
  expect([of('edge-lon').length, state('edge-lon')]).toEqual([1, 'failed on purpose']);
  supervisor.hold('edge-lon', false);
  expect(of('edge-lon')).toHaveLength(2);
  expect(supervisor.hold('edge-xxx', true)).toBe(false);
});
