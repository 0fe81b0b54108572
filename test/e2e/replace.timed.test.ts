/** `ufes dns replace`: the process changes, the answers go on, over UDP and TCP, alone and in a tree. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { command, endTree, node, startTree, type Tree, until } from './tree.ts';

const question = Buffer.from('000001000001000000000000037777770473686f70076578616d706c650000010001', 'hex');

/** Asks `perSecond` times a second over UDP until `stop`, which waits for what is owed. */
function askOverUdp(address: string, perSecond: number) {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
  const owed = new Set<number>();
  let sent = 0;
  const ask = () => {
    const id = sent++ & 0xffff;
    const query = Buffer.from(question);
    query.writeUInt16BE(id, 0);
    owed.add(id);
    socket.send(query, 5300, address);
  };
  socket.on('message', (answer) => {
    if ((answer[3]! & 15) === 0) owed.delete(answer.readUInt16BE(0));
  });
  const timer = setInterval(() => {
    for (let i = 0; i < perSecond / 100; i++) ask();
  }, 10);
  return {
    async stop() {
      clearInterval(timer);
      for (let tries = 0; tries < 100 && owed.size > 0; tries++) await new Promise((done) => setTimeout(done, 20));
      socket.close();
      return { sent, owed: owed.size };
    },
  };
}

/** A client that pipelines queries over one connection without a pause, and comes back should it be hung up on. */
function askOverTcp(address: string) {
  const counts = { asked: 0, answered: 0, connections: 0 };
  let socket: Socket | undefined;
  const start = () => {
    counts.connections++;
    const opened = connect({ host: address, port: 5300 });
    socket = opened;
    let received = Buffer.alloc(0);
    opened.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        received = received.subarray(2 + received.readUInt16BE(0));
        counts.answered++;
      }
    });
    opened.on('error', () => {});
    opened.on('close', () => socket === opened && start());
  };
  start();
  const timer = setInterval(() => {
    if (socket === undefined || socket.connecting || !socket.writable) return;
    counts.asked++;
    socket.write(Buffer.concat([Buffer.from([0, question.length]), question]));
  }, 3);
  return {
    counts,
    /** Waits for what is owed. */
    async stop() {
      clearInterval(timer);
      await until('TCP answers owed', async () => counts.answered >= counts.asked, 2_000).catch(() => {});
      const last = socket;
      socket = undefined;
      last?.destroy();
      return { owed: counts.asked - counts.answered, connections: counts.connections };
    },
  };
}

/** Datagrams that the kernel threw away at sockets of `address`, by /proc/net/udp. */
function drops(address: string): number {
  const hex = address
    .split('.')
    .reverse()
    .map((byte) => Number(byte).toString(16).toUpperCase().padStart(2, '0'))
    .join('');
  return readFileSync('/proc/net/udp', 'utf8')
    .split('\n')
    .filter((line) => line.includes(` ${hex}:14B4 `))
    .reduce((sum, line) => sum + Number(line.trim().split(/\s+/).at(-1)), 0);
}

let tree: Tree;
beforeAll(async () => {
  tree = await startTree({
    bare: true,
    edit: (yaml) => `${yaml}\ndns:\n  rateLimit: { answersPerSecond: 1000000 }\n`,
  });
});
afterAll(() => endTree(tree));

describe('ufes dns replace', () => {
  test('in a tree: every query is answered, and the supervisor has the new process', async () => {
    const address = tree.address('0.1');
    const udp = askOverUdp(address, 2_000);
    const tcp = askOverTcp(address);
    await until('TCP answers', async () => tcp.counts.answered > 3, 5_000);
    for (let round = 0; round < 2; round++) {
      const before = await tree.pid('dns');
      const done = await tree.ufes('dns', 'replace', '--config', tree.config);
      expect(done).toMatchObject({ code: 0, stdout: expect.stringContaining('replaced') });
      expect(await tree.pid('dns')).not.toBe(before);
      await until('the old process has gone', async () => !isThere(before), 10_000);
      // Its admin socket is the new one's: a path, and answers.
      expect((await tree.explain('www.shop.example', '192.0.2.1')).service).toBeDefined();
    }
    const { sent, owed } = await udp.stop();
    expect(sent).toBeGreaterThan(2_000);
    expect(owed).toBe(0);
    expect(drops(address)).toBe(0);
    // The new process went on with the connection.
    expect(await tcp.stop()).toEqual({ owed: 0, connections: 1 });
    expect((await tree.status()).find((one) => one.node === 'dns')).toMatchObject({ state: 'ready', restarts: 0 });
  });

  test('a new process that cannot start leaves the old one in service', async () => {
    const before = await tree.pid('dns');
    const alone = await run(['dns', 'replace', '--config', tree.config, '--state', `${tree.folder}/nowhere`]);
    expect(alone).toMatchObject({ code: expect.any(Number), stderr: expect.stringContaining('no ufes dns runs') });
    expect(alone.code).not.toBe(0);
    expect(await tree.pid('dns')).toBe(before);
    expect(await tree.answer('www.shop.example')).toMatch(/^127\./);
  });

  async function run(args: string[]) {
    const env = { ...process.env, UFES_STORE: tree.store.store };
    const child = spawn(node, [command, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env });
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.stdout.resume();
    const [code] = await once(child, 'exit');
    return { code: code as number, stderr };
  }
});

describe('ufes dns replace, alone', () => {
  let child: ChildProcess | undefined;
  beforeAll(async () => {
    // What it needs is on its own disk; the tree's part is over.
    await tree.stop();
  });
  afterAll(async () => {
    child?.kill('SIGTERM');
    if (child !== undefined && child.exitCode === null) await once(child, 'exit');
  });

  function start(...args: string[]): ChildProcess {
    const started = spawn(node, [command, 'dns', ...args, '--config', tree.config, '--log', 'warn'], {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, UFES_STORE: tree.store.store },
    });
    return started;
  }

  test('the command is the new process, and the old one ends by itself', async () => {
    const address = tree.address('0.1');
    child = start();
    await until(
      'dns answers',
      async () => (await tree.answer('www.shop.example').catch(() => '')).startsWith('127.'),
      20_000,
    );
    const udp = askOverUdp(address, 2_000);
    const tcp = askOverTcp(address);
    await until('TCP answers', async () => tcp.counts.answered > 3, 5_000);
    const old = child;
    const gone = once(old, 'exit');
    child = start('replace');
    expect(await gone).toEqual([0, null]);
    expect((await tree.explain('www.shop.example', '192.0.2.1')).service).toBeDefined();
    expect(await udp.stop()).toMatchObject({ owed: 0 });
    expect(await tcp.stop()).toEqual({ owed: 0, connections: 1 });
    expect(drops(address)).toBe(0);
    // What was renamed is removed when the new one stops, so that another can start.
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
    child = start();
    await until(
      'dns answers',
      async () => (await tree.answer('www.shop.example').catch(() => '')).startsWith('127.'),
      20_000,
    );
  });
});

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
