/**
 * TCP connections from a process that leaves to the one in its place (replace.ts), while they are in use: a query on its
 * way is answered by whoever reads it, and no client has to come back.
 *
 *     old: connection without answers under way ─▶ message: descriptors, and of each the bytes that came unanswered
 *     new: goes on where the old one was;  a message without descriptors is the last one
 */
import { limits } from '@ufes/core/limits.ts';
import type { Clock } from '@ufes/core/ports.ts';
import { closeSocket } from '@ufes/io/udp/mmsg.ts';
import { offerSockets, SocketInbox } from '@ufes/io/udp/pass.ts';
import type { OpenConnection, PassOn } from './tcp.ts';

/** Text beside the descriptors; `unread` of each in base64. */
interface Told {
  readonly listener: string;
  readonly unread: readonly string[];
}

/** To the inbox at `path`, for the source of that listener. */
export function passOnTo(path: string, listener: string): PassOn {
  return (connections) => {
    const unread = connections.map((one) => Buffer.from(one.unread).toString('base64'));
    const told: Told = { listener, unread };
    return offerSockets(
      path,
      connections.map(({ fd }) => fd),
      JSON.stringify(told),
    );
  };
}

/** No more will come. */
export function tellLast(path: string): void {
  try {
    offerSockets(path, [], '');
  } catch {
    // Gone, or behind: it stops looking by itself.
  }
}

export class ConnectionInbox {
  readonly #inbox: SocketInbox;
  #cancel = () => {};
  #isOpen = true;

  constructor(path: string) {
    this.#inbox = new SocketInbox(path);
  }

  /** Until the last one has come, or `close`. `adopt` false: no such listener here; the connection is closed. */
  follow(clock: Clock, adopt: (listener: string, connection: OpenConnection) => boolean): void {
    const cancelLook = clock.every(limits.dns.passMs, () => this.#look(adopt));
    const cancelEnd = clock.after(limits.dns.passEndMs, () => this.close());
    this.#cancel = () => {
      cancelLook();
      cancelEnd();
    };
  }

  #look(adopt: (listener: string, connection: OpenConnection) => boolean): void {
    for (;;) {
      const message = this.#isOpen ? this.#inbox.takeOne() : undefined;
      if (message === undefined) return;
      if (message.fds.length === 0) {
        this.close();
        return;
      }
      const { listener, unread } = JSON.parse(message.text) as Told;
      for (const [i, fd] of message.fds.entries()) {
        const connection = { fd, unread: Buffer.from(unread[i] ?? '', 'base64') };
        if (!adopt(listener, connection)) closeSocket(fd);
      }
    }
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#cancel();
    this.#inbox.close();
  }
}
