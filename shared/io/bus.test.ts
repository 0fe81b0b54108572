import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { afterEach, expect, test } from 'vitest';
import { ipcBus, localBus, wakeRelay } from './bus.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

test('a local bus calls the listeners of a topic until they stop', () => {
  const bus = localBus();
  const heard: string[] = [];
  const stop = bus.on('live', () => heard.push('a'));
  bus.on('live', () => heard.push('b'));
  bus.on('jobs', () => heard.push('jobs'));
  bus.wake('live');
  stop();
  bus.wake('live');
  bus.wake('nobody');
  expect(heard).toEqual(['a', 'b', 'b']);
});

test('a listener that is there twice is called twice and stopped once', () => {
  const bus = localBus();
  let calls = 0;
  const fn = () => {
    calls++;
  };
  const stop = bus.on('x', fn);
  bus.on('x', fn);
  bus.wake('x');
  stop();
  bus.wake('x');
  expect(calls).toBe(3);
});

class FakePeer extends EventEmitter {
  connected = true;
  sent: object[] = [];
  pending: ((error: Error | null) => void)[] = [];
  send(message: object, _handle: undefined, _options: undefined, done: (error: Error | null) => void): boolean {
    this.sent.push(message);
    this.pending.push(done);
    return true;
  }
}

test('what is woken while a message is on its way is sent once, after it', () => {
  const peer = new FakePeer();
  const bus = ipcBus(peer);
  for (let i = 0; i < 5; i++) bus.wake('samples');
  bus.wake('live');
  expect(peer.sent).toEqual([
    { ufes: 'wake', topic: 'samples' },
    { ufes: 'wake', topic: 'live' },
  ]);
  peer.pending.shift()!(null);
  expect(peer.sent).toHaveLength(3);
  peer.pending.splice(1).shift()!(null);
  expect(peer.sent).toHaveLength(3);
});

test('a closed, failing or absent channel leaves local wake-ups', () => {
  const peer = new FakePeer();
  const bus = ipcBus(peer);
  let heard = 0;
  bus.on('x', () => heard++);
  bus.wake('x');
  peer.pending.shift()!(new Error('channel closed'));
  peer.send = () => {
    throw new Error('ERR_IPC_CHANNEL_CLOSED');
  };
  bus.wake('x');
  peer.connected = false;
  bus.wake('x');
  const alone = ipcBus(new EventEmitter());
  alone.on('x', () => heard++);
  alone.wake('x');
  expect(heard).toBe(4);
});

test('other messages on the channel are not ours', () => {
  const peer = new FakePeer();
  const bus = ipcBus(peer);
  let heard = 0;
  bus.on('x', () => heard++);
  for (const message of [null, 'wake', 1, {}, { ufes: 'other', topic: 'x' }, { ufes: 'wake', topic: 7 }]) {
    peer.emit('message', message);
  }
  expect(heard).toBe(0);
  peer.emit('message', { ufes: 'wake', topic: 'x' });
  expect(heard).toBe(1);
});

test('between real processes: a wake-up reaches the parent and the others, not its sender', async () => {
  const program = `
    const { ipcBus } = await import( ${JSON.stringify(new URL('./bus.ts', import.meta.url).href)});
    const bus = ipcBus(process);
    process.channel.ref();
    bus.on('hello', () => process.send({ heard: 'hello' }));
    process.on('message', (message) => { if (message.say) bus.wake(message.say); });
    process.send({ ready: true });
  `;
  const relay = wakeRelay();
  const start = async () => {
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: [...stdio] });
    cleanups.push(() => child.kill('SIGKILL'));
    const heard: unknown[] = [];
    child.on('message', (message: object) => 'heard' in message && heard.push(message.heard));
    relay.attach(child);
    await once(child, 'message');
    return { child, heard };
  };
  const [a, b] = await Promise.all([start(), start()]);
  const inParent = new Promise<void>((resolve) => relay.on('hello', resolve));
  const inB = once(b.child, 'message');
  a.child.send({ say: 'hello' });
  await Promise.all([inParent, inB]);
  // A heard its own at once, locally, and gets it once only; B's answer came after the relay had passed everything on.
  expect(b.heard).toEqual(['hello']);
  const gone = once(b.child, 'exit');
  b.child.kill('SIGKILL');
  await gone;
  const again = once(a.child, 'message');
  relay.wake('hello');
  await again;
  expect(a.heard.length).toBeLessThanOrEqual(2);
});
