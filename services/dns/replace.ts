/**
 * `ufes dns replace`: a new process takes the place of a running one, and no query goes without an answer.
 *
 *     new: starts, learns what is in service, checks health ─▶ asks for the sockets over the old one's admin socket
 *     old: passes them (SCM_RIGHTS) and answers on          ─▶ both read the same sockets; each query has one reader
 *     new: has answered for a while, its code is warm       ─▶ takes over the admin socket, tells the old one to leave
 *     old: ends its threads after the batch in hand, passes its TCP connections (pass-on.ts), goes. A socket is closed only
 *          when its last owner does, so what waits in it is the new one's.
 *
 * What fails before the last step leaves the old one in service.
 */
import { dirname } from 'node:path';
import { OperatingError } from '@ufes/core/errors.ts';
import { socketPath } from '@ufes/io/admin.ts';
import { adminPost } from '@ufes/io/admin-client.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { type Passed, passSockets, SocketInbox } from '@ufes/io/udp/pass.ts';
import type { Listeners, Taken } from './listen.ts';
import { ConnectionInbox } from './pass-on.ts';
import type { OpenSockets } from './sockets.ts';

/** Sockets as told beside the descriptors, which follow in this order: UDP, then TCP, listener by listener. */
interface Told {
  readonly listener: string;
  readonly address: string;
  readonly port: number;
  readonly udp: number;
}

type Parts = Pick<ServiceContext, 'state' | 'node' | 'admin' | 'leave' | 'log'>;

/**
 * POST /replace/sockets {to, connections}: passes all sockets to the inbox `to`, a path beside our own socket; TCP
 * connections follow to the other one after
 * POST /replace/leave: another process answers now.
 */
export function addReplaceRoutes({ state, node, admin, leave, log }: Parts, listeners: Listeners): void {
  const path = { type: 'string' };
  const body = { type: 'object', required: ['to'], properties: { to: path, connections: path } };
  let successor: string | undefined;
  admin.post<{ Body: { to: string; connections?: string } }>('/replace/sockets', { schema: { body } }, (request) => {
    const { to, connections } = request.body;
    for (const path of [to, connections ?? to]) {
      if (dirname(path) === dirname(socketPath(state, node))) continue;
      throw new OperatingError('REQUEST_INVALID', `${path} is not beside the socket of this node`);
    }
    const sockets = listeners.sockets();
    if (sockets.length === 0) {
      throw new OperatingError(
        'REQUEST_INVALID',
        'this dns has no sockets to pass on: it is starting or stopping, or its UDP is node:dgram’s (dns.udp); stop it and start the new one',
      );
    }
    const told = sockets.map(({ udp, tcp: _, ...rest }): Told => ({ ...rest, udp: udp.length }));
    const fds = sockets.flatMap(({ udp, tcp }) => [...udp, tcp]);
    passSockets(to, fds, JSON.stringify(told));
    successor = connections;
    log.info({ sockets: fds.length }, 'dns: sockets passed to another process');
    return { passed: fds.length };
  });
  admin.post('/replace/leave', (_request, reply) => {
    if (leave === undefined) throw new OperatingError('REQUEST_INVALID', 'this dns cannot be replaced');
    if (successor !== undefined) listeners.leaveTo(successor);
    // After the answer.
    reply.raw.once('finish', leave);
    return { leaving: true };
  });
}

/** The sockets of the process in service. Rejects with NOT_RUNNING, or with why it cannot pass them. */
export async function takeSockets({ state, node }: Pick<ServiceContext, 'state' | 'node'>): Promise<Taken> {
  const path = socketPath(state, `${node}-take`);
  const connectionsPath = socketPath(state, `${node}-connections-${process.pid}`);
  const inbox = new SocketInbox(path);
  const connections = new ConnectionInbox(connectionsPath);
  try {
    await adminPost(state, node, '/replace/sockets', { to: path, connections: connectionsPath });
    const taken = inbox.take();
    if (taken === undefined) throw new OperatingError('NOT_RUNNING', 'no sockets came from the dns in service');
    return { sockets: readTold(taken), connections };
  } catch (thrown) {
    connections.close();
    throw thrown;
  } finally {
    inbox.close();
  }
}

function readTold({ text, fds }: Passed): OpenSockets[] {
  const rest = fds.values();
  const next = (): number => {
    const fd = rest.next().value;
    if (fd === undefined) throw new OperatingError('NOT_RUNNING', 'not all sockets came from the dns in service');
    return fd;
  };
  return (JSON.parse(text) as Told[]).map(({ udp, ...of }) => {
    const open = Array.from({ length: udp }, next);
    return { ...of, udp: open, tcp: next() };
  });
}
