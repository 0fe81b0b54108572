/** Every address of listeners.dns, UDP and TCP. All open or none: a server that is half there misleads. */
import type { Clock, Component, Log } from '@ufes/core/ports.ts';
import { parseEndpoint } from '@ufes/io/address.ts';
import type { Counters } from './counters.ts';
import type { AnswerFunction, BatchSource } from './source.ts';
import { createTcpSource } from './tcp.ts';
import { createDgramSource } from './udp.ts';

export interface ListenInit {
  /** ADDRESS:PORT, [v6]:PORT. Port 0: any free one, the same for UDP and TCP. */
  readonly endpoints: readonly string[];
  readonly answerer: AnswerFunction;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
}

export interface Listeners extends Component {
  /** By endpoint of the configuration, once started. */
  ports(): ReadonlyMap<string, number>;
}

export function createListeners(init: ListenInit): Listeners {
  const { answerer, clock, log, counters } = init;
  const open: BatchSource[] = [];
  const ports = new Map<string, number>();

  async function openSource(source: BatchSource): Promise<number> {
    await source.open();
    open.push(source);
    return source.port;
  }

  async function stop(): Promise<void> {
    await Promise.all(open.splice(0).map((source) => source.close()));
  }

  return {
    ports: () => ports,
    async start() {
      try {
        for (const text of init.endpoints) {
          const endpoint = parseEndpoint(text);
          const port = await openSource(createDgramSource(endpoint, answerer, log));
          await openSource(createTcpSource({ endpoint: { ...endpoint, port }, answerer, clock, log, counters }));
          ports.set(text, port);
          log.info({ address: endpoint.address, port }, 'dns: listening');
        }
      } catch (error) {
        await stop();
        throw error;
      }
    },
    stop,
  };
}
