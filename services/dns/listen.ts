/**
 * Every address of listeners.dns, UDP and TCP. All open or none: a server that is half there misleads. UDP is the
 * threads' where there are some (sockets.ts, threads.ts), else node:dgram's; TCP is always this thread's.
 */
import type { Clock, Component, Log } from '@ufes/core/ports.ts';
import { parseEndpoint } from '@ufes/io/address.ts';
import { closeSocket } from '@ufes/io/udp/mmsg.ts';
import type { Counters } from './counters.ts';
import { closeSockets, type OpenSockets, openSockets } from './sockets.ts';
import type { AnswerFunction, BatchSource } from './source.ts';
import { createTcpSource } from './tcp.ts';
import type { Threads } from './threads.ts';
import { createDgramSource } from './udp.ts';

export interface ListenInit {
  /** ADDRESS:PORT, [v6]:PORT. Port 0: any free one, the same for UDP and TCP. */
  readonly endpoints: readonly string[];
  readonly answerer: AnswerFunction;
  /** Started; it stays to the caller to stop them after the listeners. Undefined: node:dgram. */
  readonly threads?: Threads | undefined;
  /** Sockets of a process whose place is taken (replace.ts), instead of new ones where they fit. */
  readonly taken?: (() => Promise<readonly OpenSockets[]>) | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
}

export interface Listeners extends Component {
  /** By endpoint of the configuration, once started. */
  ports(): ReadonlyMap<string, number>;
  /** While they are open here; none where UDP is node:dgram's. */
  sockets(): readonly OpenSockets[];
}

export function createListeners(init: ListenInit): Listeners {
  const { answerer, clock, log, counters, threads } = init;
  const open: BatchSource[] = [];
  const ports = new Map<string, number>();
  let sockets: readonly OpenSockets[] = [];

  async function openSource(source: BatchSource): Promise<number> {
    await source.open();
    open.push(source);
    return source.port;
  }

  async function startByDgram(): Promise<void> {
    for (const text of init.endpoints) {
      const endpoint = parseEndpoint(text);
      const port = await openSource(createDgramSource(endpoint, answerer, log));
      await openSource(createTcpSource({ endpoint: { ...endpoint, port }, answerer, clock, log, counters }));
      ports.set(text, port);
    }
  }

  async function startByThreads(by: Threads): Promise<void> {
    sockets = await openOrTake(init, by.count);
    for (const { listener, address, port, tcp } of sockets) {
      await openSource(createTcpSource({ endpoint: { address, port }, fd: tcp, answerer, clock, log, counters }));
      ports.set(listener, port);
    }
    // Taken ones may be more or fewer than threads here.
    const ofThread = (thread: number) =>
      sockets.flatMap(({ udp, address }) =>
        udp.filter((_, i) => i % by.count === thread).map((fd) => ({ fd, address })),
      );
    await by.open(Array.from({ length: by.count }, (_, thread) => ofThread(thread)));
  }

  async function stop(): Promise<void> {
    await threads?.stop();
    for (const { udp } of sockets) for (const fd of udp) closeSocket(fd);
    sockets = [];
    await Promise.all(open.splice(0).map((source) => source.close()));
  }

  return {
    ports: () => ports,
    sockets: () => sockets,
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
async function openOrTake({ endpoints, taken }: ListenInit, threads: number): Promise<OpenSockets[]> {
  if (taken === undefined) return openSockets(endpoints, threads);
  const all = await taken();
  const kept = all.filter(({ listener }) => endpoints.includes(listener));
  closeSockets(all.filter((one) => !kept.includes(one)));
  const missing = endpoints.filter((endpoint) => !kept.some(({ listener }) => listener === endpoint));
  try {
    return [...kept, ...openSockets(missing, threads)];
  } catch (error) {
    closeSockets(kept);
    throw error;
  }
}
