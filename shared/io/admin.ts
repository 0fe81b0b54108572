/**
 * The local socket of a node, STATE/run/NODE.sock: HTTP for this machine's operator and for the other processes of the
 * tree. /healthz says that the process runs its event loop, /readyz that it serves, /metrics what Prometheus scrapes.
 * The folder is 0700, the socket 0600.
 *
 * A Unix socket's path has room for 107 bytes; where STATE is too deep the socket moves to a folder under the system's
 * temporary one, named after a hash of STATE, that must belong to the owner of STATE.
 */
import { createHash } from 'node:crypto';
import { chmodSync, linkSync, lstatSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Log } from '@ufes/core/ports.ts';
import type { FastifyInstance } from 'fastify';
import type { Registry } from 'prom-client';
import { createHttp } from './http.ts';

/** Where NODE of this (absolute) state folder listens. Throws ADDRESS_UNAVAILABLE when no short enough path exists. */
export function socketPath(state: string, node: string): string {
  const usual = join(state, 'run', `${node}.sock`);
  if (Buffer.byteLength(usual) <= limits.admin.socketPathBytes) return usual;
  const hash = createHash('sha256').update(state).digest('hex').slice(0, 16);
  const short = join(tmpdir(), `ufes-${hash}`, `${node}.sock`);
  if (Buffer.byteLength(short) <= limits.admin.socketPathBytes) return short;
  throw new OperatingError(
    'ADDRESS_UNAVAILABLE',
    `neither ${usual} nor ${short} can be a socket: at most ${limits.admin.socketPathBytes} bytes fit; choose a shorter state folder (\`state:\`)`,
  );
}

export interface Admin {
  readonly app: FastifyInstance;
  readonly ready: (ok: boolean, why?: string) => void;
}

export function createAdmin(log: Log, registry: Registry): Admin {
  const app = createHttp(log, { bodyBytes: limits.admin.bodyBytes });
  let why: string | undefined = 'starting';
  app.get('/healthz', () => ({ status: 'ok' }));
  app.get('/readyz', (_request, reply) =>
    why === undefined ? { status: 'ready' } : reply.code(503).send({ code: 'NOT_READY', message: why }),
  );
  app.get('/metrics', async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics()));
  return {
    app,
    ready: (ok, reason) => {
      why = ok ? undefined : (reason ?? 'not ready');
    },
  };
}

interface AdminParts {
  readonly state: string;
  readonly node: string;
  readonly admin: FastifyInstance;
  /** The socket is another process's still: listens beside it, until `takeOverAdmin`. */
  readonly replaces?: boolean;
}

/**
 * Starts the socket; closing `admin` removes it. One left behind by a killed process is replaced; one that answers
 * rejects with ADDRESS_IN_USE.
 */
export async function listenAdmin(context: AdminParts): Promise<void> {
  const { state, node, admin, replaces = false } = context;
  const listened = replaces ? `${node}-next` : node;
  const path = socketPath(state, listened);
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  assertOwned(folder, state);
  await removeStale(path, state, node);
  // What was renamed is not removed by closing it.
  if (replaces) admin.addHook('onClose', () => removeOwn(socketPath(state, node), inode));
  let inode: number | undefined;
  try {
    await admin.listen({ path });
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE')) throw cause;
    throw inUse(state, node, cause);
  }
  chmodSync(path, 0o600);
  inode = lstatSync(path).ino;
}

/**
 * Puts this process's socket, listening beside the one of the process whose place it takes, in that one's place, without
 * a moment in which there is none. Returns the node name under which the other can still be asked, until `forget`.
 */
export function takeOverAdmin({ state, node }: AdminParts): { readonly before: string; readonly forget: () => void } {
  const before = `${node}-before`;
  rmSync(socketPath(state, before), { force: true });
  linkSync(socketPath(state, node), socketPath(state, before));
  renameSync(socketPath(state, `${node}-next`), socketPath(state, node));
  return { before, forget: () => rmSync(socketPath(state, before), { force: true }) };
}

function removeOwn(path: string, inode: number | undefined): void {
  if (inode !== undefined && lstatSync(path, { throwIfNoEntry: false })?.ino === inode) rmSync(path, { force: true });
}

/** A socket folder in a shared temporary folder may be somebody else's trap. */
export function assertOwned(folder: string, state: string): void {
  if (folder.startsWith(join(state, '/'))) return;
  const found = lstatSync(folder);
  if (found.isDirectory() && found.uid === statSync(state).uid && (found.mode & 0o077) === 0) return;
  throw new OperatingError(
    'ADDRESS_UNAVAILABLE',
    `${folder} is not a private folder of the owner of ${state}; remove it or choose a shorter state folder (\`state:\`)`,
  );
}

async function removeStale(path: string, state: string, node: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new OperatingError(
      'ADDRESS_UNAVAILABLE',
      `${path} is not a socket; move it away so that ufes ${node} can start`,
    );
  }
  if (await answers(path)) throw inUse(state, node);
  if (lstatSync(path, { throwIfNoEntry: false })?.ino === found.ino) rmSync(path, { force: true });
}

function inUse(state: string, node: string, cause?: unknown): OperatingError {
  return new OperatingError(
    'ADDRESS_IN_USE',
    `another ufes ${node} runs with the state folder ${state}; stop it or choose another one (\`state:\`)`,
    { cause },
  );
}

/** Whether a process listens there; a stopped one does too. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // EAGAIN: its backlog is full, so it is there.
    socket.once('error', (error) => resolve('code' in error && error.code === 'EAGAIN'));
  });
}
