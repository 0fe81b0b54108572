/**
 * `ufes dns replace`: a new process takes the place of a running one, and no query goes without an answer.
 *
 *     new: starts, learns what is in service, checks health ─▶ asks for the sockets over the old one's admin socket
 *     old: passes them (SCM_RIGHTS) and answers on          ─▶ both read the same sockets; each query has one reader
 *     new: has answered for a while, its code is warm       ─▶ takes over the admin socket, tells the old one to leave
 *     old: ends its threads after the batch in hand, answers what came over TCP, goes. A socket is closed only when its
 *          last owner does, so what waits in it is the new one's.
 *
 * What fails before the last step leaves the old one in service.
 */
import { dirname } from 'node:path';
import { OperatingError } from '@ufes/core/errors.ts';
import { socketPath } from '@ufes/io/admin.ts';
import { adminPost } from '@ufes/io/admin-client.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { passSockets, SocketInbox } from '@ufes/io/udp/pass.ts';
import type { Listeners } from './listen.ts';
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
 * POST /replace/sockets {to}: passes all sockets to the inbox at that path beside our own socket.
 * POST /replace/leave: another process answers now.
 */
export function addReplaceRoutes({ state, node, admin, leave, log }: Parts, listeners: Listeners): void {
  const body = { type: 'object', required: ['to'], properties: { to: { type: 'string' } } };
  admin.post<{ Body: { to: string } }>('/replace/sockets', { schema: { body } }, (request) => {
    const { to } = request.body;
    if (dirname(to) !== dirname(socketPath(state, node))) {
      throw new OperatingError('REQUEST_INVALID', `${to} is not beside the socket of this node`);
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
    log.info({ sockets: fds.length }, 'dns: sockets passed to another process');
    return { passed: fds.length };
  });
  admin.post('/replace/leave', (_request, reply) => {
    if (leave === undefined) throw new OperatingError('REQUEST_INVALID', 'this dns cannot be replaced');
    // After the answer.
    reply.raw.once('finish', leave);
    return { leaving: true };
  });
}

/** The sockets of the process in service. Rejects with NOT_RUNNING, or with why it cannot pass them. */
export async function takeSockets({ state, node }: Pick<ServiceContext, 'state' | 'node'>): Promise<OpenSockets[]> {
  const path = socketPath(state, `${node}-take`);
  const inbox = new SocketInbox(path);
  try {
    await adminPost(state, node, '/replace/sockets', { to: path });
    const taken = inbox.take();
    if (taken === undefined) throw new OperatingError('NOT_RUNNING', 'no sockets came from the dns in service');
    const fds = taken.fds.values();
    const next = (): number => {
      const fd = fds.next().value;
      if (fd === undefined) throw new OperatingError('NOT_RUNNING', 'not all sockets came from the dns in service');
      return fd;
    };
    return (JSON.parse(taken.text) as Told[]).map(({ udp, ...rest }) => {
      const open = Array.from({ length: udp }, next);
      return { ...rest, udp: open, tcp: next() };
    });
  } finally {
    inbox.close();
  }
}
