/**
 * Our HTTP APIs: Fastify with one error format, `{code, message}`, and a body limit.
 * Bodies are taken as they are: no coercion, unknown keys refused where the schema says so. Query values are strings.
 */
import { Server } from 'node:net';
import { describeError, type ErrorCode, OperatingError } from '@ufes/core/errors.ts';
import type { Log } from '@ufes/core/ports.ts';
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { type Endpoint, formatEndpoint, parseEndpoint } from './address.ts';

export type HttpApp = FastifyInstance;
export type HttpReply = FastifyReply;

/** Status of an error that reaches a client; all others are 500. */
const statusByCode: Partial<Record<ErrorCode, number>> = {
  REQUEST_INVALID: 400,
  CONFIG_INVALID: 400,
  OBJECT_INVALID: 400,
  TOKEN_INVALID: 403,
  NOT_FOUND: 404,
  ARTEFACT_STALE: 409,
  BODY_TOO_LARGE: 413,
  TOO_MANY: 429,
  STORE_UNAVAILABLE: 503,
  QUEUE_FULL: 503,
  JOURNAL_FAILED: 503,
  NOT_RUNNING: 503,
};

export function statusOf(code: ErrorCode): number {
  return statusByCode[code] ?? 500;
}

export interface HttpOptions {
  bodyBytes?: number;
}

export function createHttp(log: Log, { bodyBytes = 1 << 20 }: HttpOptions = {}): HttpApp {
  function answerError(thrown: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const error = operatingErrorOf(thrown, bodyBytes);
    if (error === undefined) {
      log.error({ method: request.method, url: request.url, stack: thrown.stack }, describeError(thrown));
      return reply.code(500).send({ code: 'INTERNAL', message: 'internal error; the log says more' });
    }
    return reply.code(statusOf(error.code)).send({ code: error.code, message: error.message });
  }
  const app = Fastify({
    logger: false,
    bodyLimit: bodyBytes,
    // What Fastify refuses before any route, a path like `/%`.
    frameworkErrors: answerError,
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
  });
  app.setErrorHandler(answerError);
  app.setNotFoundHandler((request, reply) =>
    reply.code(404).send({ code: 'NOT_FOUND', message: `there is no ${request.method} ${request.url} here` }),
  );
  return app;
}

function operatingErrorOf(thrown: FastifyError, bodyBytes: number): OperatingError | undefined {
  if (thrown instanceof OperatingError) return thrown;
  if (thrown.code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return new OperatingError('BODY_TOO_LARGE', `the body is larger than ${bodyBytes} bytes`);
  }
  const isClients = thrown.statusCode !== undefined && thrown.statusCode >= 400 && thrown.statusCode < 500;
  return isClients ? new OperatingError('REQUEST_INVALID', thrown.message) : undefined;
}

/** A Fastify instance. */
type Listener = Pick<HttpApp, 'listen' | 'addresses'>;

/**
 * Listens on `ADDRESS:PORT` and gives what it got (port 0 lets the system choose).
 * Rejects with ADDRESS_IN_USE or ADDRESS_UNAVAILABLE, saying what to do.
 */
export async function listenTcp(listener: Listener | Server, endpoint: string | Endpoint): Promise<Endpoint> {
  const { address, port } = typeof endpoint === 'string' ? parseEndpoint(endpoint) : endpoint;
  try {
    if (!(listener instanceof Server)) {
      await listener.listen({ host: address, port });
      const [bound] = listener.addresses();
      return { address, port: typeof bound === 'object' ? bound.port : port };
    }
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject);
      listener.listen({ host: address, port }, () => {
        listener.off('error', reject);
        resolve();
      });
    });
    const bound = listener.address();
    return { address, port: typeof bound === 'object' && bound !== null ? bound.port : port };
  } catch (cause) {
    throw listenError(cause, { address, port }, 'TCP');
  }
}

/** The operating error for a failed bind: what, where, and what to do. Others are given back as they are. */
export function listenError(cause: unknown, endpoint: Endpoint, protocol: 'TCP' | 'UDP'): unknown {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  const at = `${protocol} ${formatEndpoint(endpoint)}`;
  if (code === 'EADDRINUSE') {
    const message = `${at} is in use by another process: stop it (\`ss -lnp 'sport = :${endpoint.port}'\` names it) or choose another port`;
    return new OperatingError('ADDRESS_IN_USE', message, { cause });
  }
  if (code === 'EADDRNOTAVAIL') {
    const message = `${at}: this machine does not have the address ${endpoint.address}; add it to an interface or choose one of its own`;
    return new OperatingError('ADDRESS_UNAVAILABLE', message, { cause });
  }
  if (code === 'EACCES') {
    const message = `${at}: ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); choose a higher one or grant it`;
    return new OperatingError('ADDRESS_UNAVAILABLE', message, { cause });
  }
  return cause;
}
