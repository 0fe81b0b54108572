import { limits } from '@ufes/core/limits.ts';
import type { Cluster, RouteTable } from '@ufes/core/routing/route-table.ts';
import { emptyRouteTable } from '@ufes/core/routing/route-table.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import { silentLog } from '@ufes/io/log.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { createOrigins, type Endpoint, type Origins } from './origins.ts';

const cluster = (id: string, ...ports: number[]): Cluster => ({
  id,
  endpoints: ports.map((port) => ({ address: '192.0.2.1', port })),
});
const tableOf = (...clusters: Cluster[]): RouteTable => ({
  ...emptyRouteTable,
  clusters: new Map(clusters.map((one) => [one.id, one])),
});

let origins: Origins;
function create(...clusters: Cluster[]): void {
  const health = { intervalMs: 500, timeoutMs: 500, failures: 3, successes: 5 };
  origins = createOrigins({ clock: new ManualClock(), rng: seededRng('origins'), log: silentLog, health });
  origins.apply(tableOf(...clusters));
}
afterEach(() => origins.stop());

function picked(from: Cluster, not?: Endpoint): Endpoint {
  const endpoint = origins.pick(from, not);
  if (typeof endpoint === 'string') throw new Error(endpoint);
  return endpoint;
}

describe('choice of an endpoint', () => {
  it('keeps load even: the less busy of two taken at random', () => {
    const eu = cluster('eu', 1, 2, 3, 4);
    create(eu);
    const all = new Map<number, Endpoint>();
    for (let i = 0; i < 400; i++) {
      const endpoint = picked(eu);
      endpoint.inFlight++;
      all.set(endpoint.port, endpoint);
    }
    for (const { inFlight } of all.values()) expect(Math.abs(inFlight - 100)).toBeLessThan(6);
  });

  it('leaves out the one that failed', () => {
    const eu = cluster('eu', 1, 2);
    create(eu);
    const failed = picked(eu);
    for (let i = 0; i < 20; i++) expect(picked(eu, failed)).not.toBe(failed);
    expect(origins.pick(cluster('none'))).toBe('no-endpoint');
  });

  it('refuses what would wait behind a full queue, as long as no endpoint has room', () => {
    const eu = cluster('eu', 1, 2);
    create(eu);
    const full = picked(eu);
    full.inFlight = limits.edge.poolConnections + limits.edge.poolWaiting;
    const other = picked(eu);
    expect(other).not.toBe(full);
    other.inFlight = full.inFlight;
    expect(origins.pick(eu)).toBe('origin-busy');
  });

  it('an endpoint outlives the table that named it first, and is shared between clusters', () => {
    const [eu, us] = [cluster('eu', 1), cluster('us', 1)];
    create(eu);
    const before = picked(eu);
    origins.apply(tableOf(eu, us));
    expect(picked(eu)).toBe(before);
    expect(picked(us)).toBe(before);
  });
});
