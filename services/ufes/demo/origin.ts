/**
 * A demo origin cluster: a small site behind the edges (`demo-origin-eu` serves origin `eu`), and the https address
 * that beacons time for the direct path.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Config } from '@ufes/core/config/schema.ts';
import { parseEndpoint } from '@ufes/io/address.ts';
import { listenTcp } from '@ufes/io/http.ts';
import { ensureInternalCa } from '@ufes/io/internal-ca.ts';
import type { ServiceMain } from '@ufes/io/service.ts';

export const main: ServiceMain = (context) => {
  const id = context.node.replace('demo-origin-', '');
  const origin = context.config.origins[id]!;
  const collector = context.config.probes.collectors[0];
  const handle = (request: IncomingMessage, response: ServerResponse) => answer(id, collector, request, response);
  const servers: Server[] = [];
  return {
    async start() {
      for (const endpoint of origin.endpoints) {
        const server = createServer(handle);
        servers.push(server);
        await listenTcp(server, endpoint.replace('http://', ''));
      }
      const direct = directEndpoint(context.config, id);
      if (direct !== undefined) {
        const ca = await ensureInternalCa(context.state);
        const { certificate, key } = await ca.issue([direct.host]);
        const server = createTlsServer({ cert: certificate, key }, handle);
        servers.push(server);
        await listenTcp(server, `${direct.address}:${direct.port}`);
      }
      context.ready(true);
    },
    async stop() {
      for (const server of servers) {
        server.close();
        server.closeAllConnections();
      }
    },
  };
};

/** Where probeUrl leads: its name, at the address of the cluster's first endpoint. */
function directEndpoint(config: Config, id: string): { host: string; address: string; port: number } | undefined {
  const { probeUrl, endpoints } = config.origins[id]!;
  if (probeUrl === undefined) return undefined;
  const url = new URL(probeUrl);
  return {
    host: url.hostname,
    address: parseEndpoint(endpoints[0]!.replace('http://', '')).address,
    port: Number(url.port || 443),
  };
}

function answer(id: string, collector: string | undefined, request: IncomingMessage, response: ServerResponse): void {
  const path = (request.url ?? '/').split('?')[0]!;
  request.resume();
  if (path === '/healthz') {
    response.end('ok\n');
    return;
  }
  if (path === '/p') {
    response.writeHead(200, {
      'timing-allow-origin': '*',
      'access-control-allow-origin': '*',
      'cache-control': 'no-store',
    });
    response.end('p');
    return;
  }
  if (path.startsWith('/api')) {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(
      `${JSON.stringify({ origin: id, method: request.method, path, host: request.headers.host, via: request.headers.via ?? null })}\n`,
    );
    return;
  }
  const script = collector === undefined ? '' : `<script async src="${collector}/rum.js" data-ufes-share="1"></script>`;
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
  response.end(
    `<!doctype html><html lang="en"><title>Shop</title><h1>The shop</h1><p>Served by origin ${id}. <a href="/api/orders">/api</a> is served by another cluster.</p>${script}\n`,
  );
}
