/**
 * A WebSocket over HTTP/1.1: the request goes to an endpoint with its Upgrade; after 101 both sockets are joined, each
 * waiting for the other. Any other answer is handed on as an ordinary one.
 */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { limits } from '@ufes/core/limits.ts';
import { cleanResponse, type Fields } from '@ufes/core/routing/headers.ts';
import type { Reason } from '@ufes/core/routing/reasons.ts';
import type { Upgrade } from './connections.ts';
import { type ForwardRequest, isFinalStatus } from './forward.ts';
import type { Endpoint, Origins } from './origins.ts';

export interface TunnelHooks {
  readonly clock: { monotonicMs(): number; after(ms: number, fn: () => void): () => void };
  readonly origins: Origins;
  decorate(tunnel: Tunnel, fields: Fields): void;
  refuse(tunnel: Tunnel, reason: Reason): void;
}

export class Tunnel {
  readonly request: ForwardRequest;
  endpoint: Endpoint | undefined;
  sentMs = 0;
  headersMs = 0;
  status = 0;
  readonly #upgrade: Upgrade;
  readonly #hooks: TunnelHooks;
  readonly #over: () => void;
  #outgoing: ClientRequest | undefined;
  #ended = false;
  #failed = false;
  #joined = false;

  /** `over` is called when both sides have ended. */
  constructor(request: ForwardRequest, upgrade: Upgrade, hooks: TunnelHooks, over: () => void) {
    this.request = request;
    this.#upgrade = upgrade;
    this.#hooks = hooks;
    this.#over = over;
  }

  start(): void {
    const { exchange, cluster, path, headers, timeoutMs } = this.request;
    const endpoint = this.#hooks.origins.pick(cluster);
    if (typeof endpoint === 'string') {
      this.#hooks.refuse(this, endpoint);
      return;
    }
    this.endpoint = endpoint;
    endpoint.inFlight++;
    const { address: host, port } = endpoint;
    const sent = [...headers, 'connection', 'Upgrade', 'upgrade', 'websocket'];
    const outgoing = httpRequest({
      host,
      port,
      path,
      headers: sent,
      agent: false,
      setHost: false,
      maxHeaderSize: limits.edge.headerBytes,
    });
    this.#outgoing = outgoing;
    this.sentMs = this.#hooks.clock.monotonicMs();
    const cancelTimer = this.#hooks.clock.after(timeoutMs, () => this.#fail('origin-timeout'));
    outgoing.on('upgrade', (answer, socket, head) => {
      cancelTimer();
      this.#join(answer, socket, head);
    });
    outgoing.on('response', (answer) => {
      cancelTimer();
      this.#handOn(answer);
    });
    outgoing.on('error', () => {
      cancelTimer();
      this.#fail(outgoing.socket?.connecting === false ? 'origin-reset' : 'origin-connect');
    });
    exchange.onClose = () => {
      cancelTimer();
      if (this.#joined) return; // the response object ends with the upgrade
      outgoing.destroy();
      this.#end();
    };
    outgoing.end();
  }

  #join(answer: IncomingMessage, origin: Duplex, originHead: Buffer): void {
    this.#joined = true;
    this.status = 101;
    this.headersMs = this.#hooks.clock.monotonicMs();
    const fields = cleanResponse(answer.headers);
    this.#hooks.decorate(this, fields);
    const { socket: client, head } = this.#upgrade.take();
    const lines = Object.entries(fields).flatMap(([name, value]) => [value].flat().map((one) => `${name}: ${one}\r\n`));
    client.write(
      `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n${lines.join('')}\r\n`,
      'latin1',
    );
    client.write(originHead);
    origin.write(head);
    const endBoth = (): void => {
      client.destroy();
      origin.destroy();
      this.#end();
    };
    for (const side of [client, origin]) {
      side.on('error', endBoth);
      side.on('close', endBoth);
    }
    client.pipe(origin).pipe(client);
  }

  #handOn(answer: IncomingMessage): void {
    const { exchange } = this.request;
    const status = answer.statusCode ?? 0;
    const fields = cleanResponse(answer.headers);
    exchange.connection.closing = true;
    this.headersMs = this.#hooks.clock.monotonicMs();
    try {
      if (!isFinalStatus(status)) throw new RangeError(`status ${status}`);
      this.#hooks.decorate(this, fields);
      exchange.respond(status, fields, false);
    } catch {
      this.headersMs = 0;
      this.#fail('origin-invalid');
      return;
    }
    this.status = status;
    answer.on('data', (chunk: Buffer) => exchange.write(chunk) || answer.pause());
    exchange.onDrain = () => answer.resume();
    answer.on('end', () => exchange.end());
    answer.on('error', () => exchange.reset());
  }

  #fail(reason: Reason): void {
    if (this.#ended || this.#failed || this.headersMs > 0) return;
    this.#failed = true;
    this.#outgoing?.destroy();
    this.request.exchange.connection.closing = true;
    this.#hooks.refuse(this, reason);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.endpoint !== undefined) this.endpoint.inFlight--;
    this.#over();
  }
}
