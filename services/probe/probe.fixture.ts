/**
 * A whole probe on a temporary or given state folder, and a client of it. Run as a program with a state folder as its
 * argument it serves until killed, and prints its address.
 */
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import type { Config } from '@ufes/core/config/schema.ts';
import { type DesiredState, desiredFormat } from '@ufes/core/desired.ts';
import { parseEndpoint } from '@ufes/io/address.ts';
import { publishArtefact } from '@ufes/io/artefact.ts';
import { encodeProxyV2 } from '@ufes/io/proxy-protocol.ts';
import { type TestContext, type TestContextInit, testContext } from '@ufes/io/testing.ts';
import { main } from './main.ts';

/** Three PoPs that nothing listens at. */
export const desired: DesiredState = {
  format: desiredFormat,
  version: { ms: 1, writer: 'test' },
  createdAtMs: 1,
  pops: ['lon', 'iad', 'sin'].map((id, i) => ({
    id,
    title: id,
    latitude: i,
    longitude: i,
    vips: { v4: `127.0.${10 * i + 10}.1` },
    httpsPort: 9,
    httpPort: 80,
    requestsPerSecond: 1,
    backboneRttMs: {},
  })),
  origins: [],
  zones: [],
  services: [],
  hosts: [],
  vips: [],
  probe: { zone: 'probe.example.', sources: ['rum'] },
};

export interface Probe {
  readonly context: TestContext;
  /** ADDRESS:PORT of each listener. */
  readonly addresses: readonly string[];
  stop(): Promise<void>;
}

export type Listeners = Config['listeners']['probe'];
export const plain: Listeners[number] = { address: '127.0.0.1:0', source: 'rum', tls: false };

export async function startProbe(
  listeners: Listeners = [plain],
  init: TestContextInit & {
    readonly desired?: DesiredState | null;
    readonly collectors?: string[];
    readonly trustedProxies?: string[];
    readonly caps?: Partial<Config['probes']['caps']>;
  } = {},
): Promise<Probe> {
  const base = await testContext({ node: 'probe', ...init });
  const config: Config = {
    ...base.config,
    listeners: { ...base.config.listeners, probe: listeners },
    // Plans for three PoPs need no distances; who asks for AS numbers gets none.
    geoip: { city: 'none.mmdb', asn: 'none' },
    trustedProxies: init.trustedProxies ?? ['127.0.0.1'],
    probes: {
      ...base.config.probes,
      collectors: init.collectors ?? [],
      caps: { ...base.config.probes.caps, ...init.caps },
    },
  };
  const context = { ...base, config };
  if (init.desired !== null) {
    await publishArtefact(context, 'desired', Buffer.from(JSON.stringify(init.desired ?? desired)));
  }
  const probe = main(context);
  const stop = async (): Promise<void> => {
    await probe.stop();
    await context.dispose();
  };
  await probe.start().catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  const state = await context.admin.inject('/state');
  return {
    context,
    addresses: state.json<{ listeners: string[] }>().listeners,
    stop,
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

export interface Call {
  readonly method?: string;
  readonly body?: string;
  readonly headers?: Record<string, string>;
  /** Client that a PROXY v2 header names. */
  readonly client?: string;
  /** PEM of the CA to trust; speaks TLS then. */
  readonly ca?: string;
}

export function call(
  address: string,
  path: string,
  { method = 'GET', body, headers, client, ca }: Call = {},
): Promise<Answer> {
  const { address: host, port } = parseEndpoint(address);
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    socket.on('error', reject);
    if (client !== undefined) {
      const to = client.includes(':') ? '::1' : '127.0.0.1';
      socket.write(encodeProxyV2({ address: client, port: 4711 }, { address: to, port }));
    }
    const stream = ca === undefined ? socket : tlsConnect({ socket, ca, servername: 'localhost' });
    stream.on('error', reject);
    const request = httpRequest({
      method,
      path,
      headers: { host: address, ...headers },
      createConnection: () => stream,
    });
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    });
    request.end(body);
  });
}

if (import.meta.main) {
  const { addresses } = await startProbe([plain], { state: process.argv[2]! });
  console.log(addresses[0]);
}
