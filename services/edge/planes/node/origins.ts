/**
 * The origins behind this PoP: their endpoints, whether each is up, and the keep-alive pool to it. An endpoint is one
 * ADDRESS:PORT, shared by all clusters that name it with the same health path, and survives a new route table.
 */
import { checkSettings } from '@ufes/core/health.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Component, Log, Rng } from '@ufes/core/ports.ts';
import type { Cluster, RouteTable } from '@ufes/core/routing/route-table.ts';
import { formatEndpoint } from '@ufes/io/address.ts';
import { createChecker } from '@ufes/io/health/checker.ts';
import { Pool } from 'undici';
import type { EndpointStats } from '../../data-plane.ts';

export interface Endpoint {
  /** ADDRESS:PORT. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly pool: Pool;
  inFlight: number;
  /** Unknown counts as up. */
  up: boolean;
}

export interface OriginsOptions {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly health: { intervalMs: number; timeoutMs: number; failures: number; successes: number };
}

export interface Origins extends Component {
  apply(table: RouteTable): void;
  /** One of the ready endpoints but `not`: the less busy of two taken at random. */
  pick(cluster: Cluster, not?: Endpoint): Endpoint | 'no-endpoint' | 'origin-busy';
  stats(): Record<string, EndpointStats[]>;
}

const inFlightMax = limits.edge.poolConnections + limits.edge.poolWaiting;

function openPool(name: string): Pool {
  return new Pool(`http://${name}`, {
    connections: limits.edge.poolConnections,
    pipelining: 1,
    allowH2: false,
    keepAliveTimeout: limits.edge.originIdleMs,
    connect: { timeout: limits.edge.connectMs },
    maxHeaderSize: limits.edge.headerBytes,
    headersTimeout: 0,
  });
}

/** Endpoints of one cluster, ready ones first in a list of their own. */
interface Group {
  readonly all: readonly Endpoint[];
  ready: readonly Endpoint[];
}

export function createOrigins({ clock, rng, log, health }: OriginsOptions): Origins {
  const endpoints = new Map<string, Endpoint>();
  const groups = new Map<string, Group>();
  let clusters: ReadonlyMap<string, Cluster> = new Map();
  const checker = createChecker({
    settings: checkSettings(health),
    timeoutMs: health.timeoutMs,
    clock,
    log,
    onResult: (result, changed) => {
      if (!changed) return;
      const endpoint = endpoints.get(result.target);
      if (endpoint === undefined) return;
      endpoint.up = result.state !== 'down';
      for (const group of groups.values()) group.ready = group.all.filter((one) => one.up);
    },
  });

  function endpointOf(id: string, address: string, port: number): Endpoint {
    const known = endpoints.get(id);
    if (known !== undefined) return known;
    const name = formatEndpoint({ address, port });
    const made: Endpoint = { name, address, port, pool: openPool(name), inFlight: 0, up: true };
    endpoints.set(id, made);
    return made;
  }

  function setTargets(): void {
    const targets = [];
    for (const { healthPath, endpoints: members } of clusters.values()) {
      if (healthPath === undefined) continue;
      for (const { address, port } of members) {
        const id = endpointId(healthPath, address, port);
        targets.push({ id, kind: 'http' as const, address, port, path: healthPath });
      }
    }
    checker.setTargets(targets);
  }

  return {
    async start() {
      await checker.start();
    },
    async stop() {
      await checker.stop();
      await Promise.all([...endpoints.values()].map(({ pool }) => pool.destroy()));
    },
    apply(table) {
      clusters = table.clusters;
      const wanted = new Set<string>();
      groups.clear();
      for (const [id, { healthPath, endpoints: members }] of clusters) {
        const all = members.map(({ address, port }) => {
          const key = endpointId(healthPath, address, port);
          wanted.add(key);
          return endpointOf(key, address, port);
        });
        groups.set(id, { all, ready: all.filter((one) => one.up) });
      }
      for (const [id, endpoint] of endpoints) {
        if (wanted.has(id)) continue;
        endpoints.delete(id);
        void endpoint.pool.close(); // after the requests under way
      }
      setTargets();
    },
    pick(cluster, not) {
      const ready = groups.get(cluster.id)?.ready ?? [];
      const from = not === undefined ? ready : ready.filter((one) => one !== not);
      if (from.length === 0) return 'no-endpoint';
      const a = from[Math.floor(rng.next() * from.length)]!;
      const b = from[Math.floor(rng.next() * from.length)]!;
      const chosen = b.inFlight < a.inFlight ? b : a;
      if (chosen.inFlight < inFlightMax) return chosen;
      return from.find((one) => one.inFlight < inFlightMax) ?? 'origin-busy';
    },
    stats() {
      const results = checker.results();
      const statsOf = (healthPath: string | undefined, address: string, port: number): EndpointStats => {
        const id = endpointId(healthPath, address, port);
        const result = results.get(id);
        const error = result?.error === undefined ? {} : { error: result.error };
        return {
          endpoint: formatEndpoint({ address, port }),
          health: result?.state ?? 'unknown',
          ...error,
          inFlight: endpoints.get(id)?.inFlight ?? 0,
        };
      };
      const stats: Record<string, EndpointStats[]> = {};
      for (const [id, { healthPath, endpoints: members }] of clusters) {
        stats[id] = members.map(({ address, port }) => statsOf(healthPath, address, port));
      }
      return stats;
    },
  };
}

function endpointId(healthPath: string | undefined, address: string, port: number): string {
  return `${formatEndpoint({ address, port })}${healthPath ?? ' unchecked'}`;
}
