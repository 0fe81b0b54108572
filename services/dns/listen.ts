/**
 * Every address of listeners.dns, UDP and TCP. All open or none: a server that is half there misleads. UDP is the
 * threads' where there are some (sockets.ts, threads.ts), else node:dgram's; TCP is always this thread's.
 */
import type { Clock, Component, Log } from '@ufes/core/ports.ts';
import { parseEndpoint } from '@ufes/io/address.ts';
import { closeSocket } from '@ufes/io/udp/mmsg.ts';
import type { Counters } from './counters.ts';
import { type ConnectionInbox, passOnTo, tellLast } from './pass-on.ts';
import { closeSockets, type OpenSockets, openSockets } from './sockets.ts';
import type { AnswerFunction, BatchSource } from './source.ts';
import { createTcpSource, type TcpInit, type TcpSource } from './tcp.ts';
import type { Threads } from './threads.ts';
import { createDgramSource } from './udp.ts';

export interface ListenInit {
  /** ADDRESS:PORT, [v6]:PORT. Port 0: any free one, the same for UDP and TCP. */
  readonly endpoints: readonly string[];
  readonly answerer: AnswerFunction;
  /** Started; it stays to the caller to stop them after the listeners. Undefined: node:dgram. */
  readonly threads?: Threads | undefined;
  /** Sockets of a process whose place is taken (replace.ts), instead of new ones where they fit. */
  readonly taken?: (() => Promise<Taken>) | undefined;
  /** TCP connections are about to end: answers say so from now on. */
  readonly ending?: (() => void) | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
}

export interface Taken {
  readonly sockets: readonly OpenSockets[];
  /** Where its TCP connections come once it leaves. */
  readonly connections: ConnectionInbox;
}

export interface Listeners extends Component {
  /** By endpoint of the configuration, once started. */
  ports(): ReadonlyMap<string, number>;
  /** While they are open here; none where UDP is node:dgram's. */
  sockets(): readonly OpenSockets[];
  /** At `stop` TCP connections go to the inbox at `path`. */
  leaveTo(path: string): void;
}

export function createListeners(init: ListenInit): Listeners {
  const { answerer, clock, log, counters, threads } = init;
  const open: BatchSource[] = [];
  const tcpSources = new Map<string, TcpSource>();
  const ports = new Map<string, number>();
  let sockets: readonly OpenSockets[] = [];
  let inbox: ConnectionInbox | undefined;
  let successor: string | undefined;

  async function openSource(source: BatchSource): Promise<number> {
    await source.open();
    open.push(source);
    return source.port;
  }

  async function openTcp(listener: string, of: TcpInit): Promise<void> {
    const source = createTcpSource(of);
    await source.open();
    tcpSources.set(listener, source);
  }

  async function startByDgram(): Promise<void> {
    for (const text of init.endpoints) {
      const endpoint = parseEndpoint(text);
      const port = await openSource(createDgramSource(endpoint, answerer, log));
      await openTcp(text, { endpoint: { ...endpoint, port }, answerer, clock, log, counters });
      ports.set(text, port);
    }
  }

  async function startByThreads(by: Threads): Promise<void> {
    const taken = await init.taken?.();
    inbox = taken?.connections;
    sockets = openOrTake(init.endpoints, by.count, taken?.sockets);
    for (const { listener, address, port, tcp } of sockets) {
      await openTcp(listener, { endpoint: { address, port }, fd: tcp, answerer, clock, log, counters });
      ports.set(listener, port);
    }
    // Taken ones may be more or fewer than threads here.
    const ofThread = (thread: number) =>
      sockets.flatMap(({ udp, address }) =>
        udp.filter((_, i) => i % by.count === thread).map((fd) => ({ fd, address })),
      );
    await by.open(Array.from({ length: by.count }, (_, thread) => ofThread(thread)));
    inbox?.follow(clock, (listener, connection) => {
      const source = tcpSources.get(listener);
      source?.adopt(connection);
      return source !== undefined;
    });
  }

  async function stop(): Promise<void> {
    await threads?.stop();
    for (const { udp } of sockets) for (const fd of udp) closeSocket(fd);
    sockets = [];
    inbox?.close();
    const to = successor;
    if (to === undefined) init.ending?.();
    const closing = [...tcpSources].map(([listener, source]) =>
      source.close(to === undefined ? undefined : passOnTo(to, listener)),
    );
    tcpSources.clear();
    await Promise.all([...closing, ...open.splice(0).map((source) => source.close())]);
    if (to !== undefined) tellLast(to);
  }

  return {
    ports: () => ports,
    sockets: () => sockets,
    leaveTo(path) {
      successor = path;
    },
    async start() {
      try {
        await (threads === undefined ? startByDgram() : startByThreads(threads));
      } catch (error) {
        await stop();
        throw error;
      }
      for (const [listener, port] of ports) {
        log.info({ listener, port, udp: threads === undefined ? 'dgram' : 'batched' }, 'dns: listening');
      }
    },
    stop,
  };
}

/** Each endpoint's sockets: those taken over, else new ones. What was taken and is no longer configured is closed. */
function openOrTake(
  endpoints: readonly string[],
  threads: number,
  taken: readonly OpenSockets[] = [],
): readonly OpenSockets[] {
  const kept = taken.filter(({ listener }) => endpoints.includes(listener));
  closeSockets(taken.filter((one) => !kept.includes(one)));
  const missing = endpoints.filter((endpoint) => !kept.some(({ listener }) => listener === endpoint));
  try {
    return [...kept, ...openSockets(missing, threads)];
  } catch (error) {
    closeSockets(kept);
    throw error;
  }
}
