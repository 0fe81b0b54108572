/** A server under test: one process on the server core, asleep while another one is measured. */
import type { ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { pause } from './machine.ts';

export interface Server {
  readonly name: string;
  readonly port: number;
  readonly child: ChildProcess;
  readonly pid: number;
}

/** Stopped and continued together with the server: what it needs beside it. */
export type Companions = readonly ChildProcess[];

export function sleep(server: Server, companions: Companions = []): void {
  for (const child of [server.child, ...companions]) child.kill('SIGSTOP');
}

export function wake(server: Server, companions: Companions = []): void {
  for (const child of [server.child, ...companions]) child.kill('SIGCONT');
}

/** First query of a stream file. */
export function firstQuery(stream: string): Uint8Array {
  const bytes = readFileSync(stream);
  return bytes.subarray(2, 2 + ((bytes[0]! << 8) | bytes[1]!));
}

/** NOERROR to one query, its length; 0: nothing or something else within `ms`. */
export function ask(port: number, query: Uint8Array, ms: number): Promise<number> {
  const socket = createSocket('udp4');
  return new Promise<number>((resolve) => {
    const timer = setTimeout(() => resolve(0), ms);
    socket.once('message', (answer) => {
      clearTimeout(timer);
      resolve((answer[3]! & 15) === 0 ? answer.length : 0);
    });
    socket.once('error', () => resolve(0));
    socket.send(query, port, '127.0.0.1');
  }).finally(() => socket.close());
}

/** Resolves to the length of the first answer; rejects when the server ends or says nothing for a minute. */
export async function untilAnswers(server: Server, query: Uint8Array, everyMs = 50): Promise<number> {
  let errors = '';
  server.child.stderr?.on('data', (chunk: Buffer) => {
    errors = `${errors}${chunk.toString()}`.slice(-4_000);
  });
  server.child.stdout?.resume();
  const endMs = performance.now() + 60_000;
  while (performance.now() < endMs) {
    if (server.child.exitCode !== null)
      throw new Error(`${server.name} ended with ${server.child.exitCode}: ${errors}`);
    const length = await ask(server.port, query, everyMs);
    if (length > 0) return length;
    await pause(1);
  }
  throw new Error(`${server.name} does not answer: ${errors}`);
}
