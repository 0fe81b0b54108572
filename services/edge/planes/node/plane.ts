/** The `node` plane: assembles listeners, connections, origins and the handler, and runs its drain. */

import { limits } from '@ufes/core/limits.ts';
import type { Clock, Log, Rng } from '@ufes/core/ports.ts';
import type { Reason } from '@ufes/core/routing/reasons.ts';
import { emptyRouteTable } from '@ufes/core/routing/route-table.ts';
import type { Registry } from '@ufes/io/metrics.ts';
import type { DataPlane, KeyPair, SeenProbe } from '../../data-plane.ts';
import type { ProxyTrust } from './clients.ts';
import { createConnections } from './connections.ts';
import { createHandler, type InForce } from './handle.ts';
import { createListeners } from './listeners.ts';
import { createOrigins } from './origins.ts';
import { createRecorder } from './record.ts';
import { CertificateBook } from './tls.ts';

export interface NodePlaneOptions {
  readonly pop: string;
  readonly trust: ProxyTrust;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly registry: Registry;
  readonly health: { intervalMs: number; timeoutMs: number; failures: number; successes: number };
  /** For clients that name no host of ours, health checks among them. */
  readonly defaultPair: KeyPair;
}

export function createNodePlane(options: NodePlaneOptions): DataPlane {
  const { clock, rng, log, defaultPair } = options;
  let inForce: InForce = {
    table: emptyRouteTable,
    book: new CertificateBook(emptyRouteTable, new Map(), defaultPair),
    httpsPort: 443,
  };
  let applied = false;
  let draining = false;
  let stopping = false;
  let inFlight = 0;
  let onIdle = (): void => {};
  let onListening = (): void => {};
  let probes: SeenProbe[] = [];
  let nextId = 0;
  const idPrefix = Buffer.from(rng.bytes(6)).toString('hex');

  const recorder = createRecorder(options.registry, log, () => inFlight);
  const origins = createOrigins(options);
  const handle = createHandler({
    pop: options.pop,
    trust: options.trust,
    clock,
    origins,
    recorder,
    inForce: () => inForce,
    unready: (): Reason | undefined => (draining || stopping ? 'draining' : applied ? undefined : 'not-ready'),
    newRequestId: () => `${idPrefix}-${(nextId++).toString(36)}`,
    onProbe(seen) {
      if (probes.length < limits.edge.probesTaken) probes.push(seen);
    },
    count(change) {
      inFlight += change;
      if (inFlight === 0) onIdle();
    },
  });
  const connections = createConnections({
    clock,
    rng,
    log,
    defaultPair,
    book: () => inForce.book,
    closing: () => stopping,
    onExchange: (exchange) => handle(exchange),
    onUpgrade: (exchange, upgrade) => handle(exchange, upgrade),
    onHandshake: (handshake) => recorder.handshake(handshake),
    onRefused: (reason) => recorder.refusedByParser(reason),
  });
  const listeners = createListeners({
    clock,
    log,
    trust: options.trust,
    accept: connections.accept,
    changed: () => onListening(),
  });

  async function drain(): Promise<void> {
    stopping = true;
    for (const { sockets } of listeners.all()) for (const connection of sockets.values()) connection?.announceClose();
    const busy = listeners.all().some(({ sockets }) => sockets.size > 0);
    if (busy) await new Promise<void>((resolve) => clock.after(limits.edge.drainAcceptMs, resolve));
    await listeners.drain();
    if (inFlight > 0) await new Promise<void>((resolve) => (onIdle = resolve));
  }

  return {
    name: 'node',
    start: () => origins.start(),
    async stop() {
      await drain();
      connections.close();
      await origins.stop();
    },
    apply({ table, keyPairs, listen, httpsPort }) {
      inForce = { table, book: new CertificateBook(table, keyPairs, defaultPair, inForce.book), httpsPort };
      applied = true;
      origins.apply(table);
      if (!stopping) listeners.set(listen);
    },
    setDraining(value) {
      draining = value;
    },
    stats: () => ({ listeners: listeners.stats(), origins: origins.stats(), inFlight, requests: recorder.requests }),
    takeClients: () => recorder.takeClients(),
    takeProbes() {
      const taken = probes;
      probes = [];
      return taken;
    },
    onListening(fn) {
      onListening = fn;
    },
  };
}
