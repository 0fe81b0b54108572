/** The bound on how long a request may take to arrive, made short here. */
import { connect } from 'node:net';
import { parseEndpoint } from '@ufes/io/address.ts';
import { afterEach, expect, it, vi } from 'vitest';
import { type Listeners, type Probe, plain, startProbe } from './probe.fixture.ts';

vi.mock('@ufes/core/limits.ts', async (original) => {
  const { limits } = await original<typeof import('@ufes/core/limits.ts')>();
  return { limits: { ...limits, probe: { ...limits.probe, requestMs: 200, requestCheckMs: 50 } } };
});

let probe: Probe | undefined;
afterEach(() => probe?.stop());

/** What comes back for `bytes`, to the end of the connection. */
function answerTo(address: string, bytes: string): Promise<string> {
  const { address: host, port } = parseEndpoint(address);
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect({ host, port }, () => socket.write(bytes));
    socket.on('data', (chunk) => {
      text += chunk.toString();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
  });
}

it('ends requests that do not arrive in time, head or body', async () => {
  const listeners: Listeners = [plain];
  probe = await startProbe(listeners);
  const head = 'POST /v1/beacon HTTP/1.1\r\nHost: probe.example\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n';
  const answers = await Promise.all([head, `${head}\r\nhalf`].map((bytes) => answerTo(probe!.addresses[0]!, bytes)));
  for (const answer of answers) expect(answer).toMatch(/^HTTP\/1\.1 408 /);
});
