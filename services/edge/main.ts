/**
 * The edge of one PoP: follows the desired state, hands it to the data plane with its certificates, tells its load, and
 * checks other PoPs, as one of the vantages that vote on them.
 *
 *     desired state ──▶ program ──▶ certificates ──▶ data plane ──▶ load/POP, demand/POP
 *                                        ▲                  └─────▶ handshakes: samples, seen/edge/POP
 *                          secret store ─┘ polled
 */

import { decodeDesired } from '@ufes/core/desired.ts';
import { describeError } from '@ufes/core/errors.ts';
import { healthHost } from '@ufes/core/health.ts';
import { limits } from '@ufes/core/limits.ts';
import { TrustedProxies } from '@ufes/core/proxies.ts';
import { emptyRouteTable } from '@ufes/core/routing/route-table.ts';
import { followArtefact } from '@ufes/io/artefact.ts';
import { createPopVantage } from '@ufes/io/health/pop-checker.ts';
import { ensureInternalCa } from '@ufes/io/internal-ca.ts';
import { Gauge } from '@ufes/io/metrics.ts';
import type { ServiceMain } from '@ufes/io/service.ts';
import { addAdminRoutes } from './admin.ts';
import { checked, createCertificateKeeper, type Wanted } from './certificates.ts';
import type { DataPlane } from './data-plane.ts';
import { demandByCell } from './demand.ts';
import { ProbeEvidence } from './evidence.ts';
import { createNodePlane } from './planes/node/plane.ts';
import { type Program, programOf } from './program.ts';

export const main: ServiceMain = (context) => {
  const { clock, rng, log, bus, store, node, registry, state, config } = context;
  const pop = node.replace(/^edge-/, '');
  const keeper = createCertificateKeeper(context);
  const vantage = createPopVantage(context, { edgeOf: pop });
  const evidence = new ProbeEvidence(context, pop, () => plane?.takeProbes() ?? []);
  let plane: DataPlane | undefined;
  let program: Program | undefined;
  /** Of the newest desired state, perhaps not yet in force: a poll must not let go of what that one has just found. */
  let wanted: Wanted = new Map();
  let draining = false;
  let stops: (() => void)[] = [];

  const follower = followArtefact(context, 'desired', async (payload) => {
    const desired = decodeDesired(payload);
    const next = programOf(desired, pop);
    if (next !== undefined) {
      wanted = next.certificates;
      await keeper.refresh(wanted, 'new');
    }
    program = next;
    vantage.follow(desired);
    apply();
  });

  function apply(): void {
    if (program !== undefined) plane?.apply({ ...program, keyPairs: keeper.pairs() });
    else plane?.apply({ table: emptyRouteTable, listen: [], httpsPort: 443, keyPairs: new Map() });
    tellReady();
  }

  function tellReady(): void {
    const failed = plane?.stats().listeners.find(({ problem }) => problem !== undefined);
    if (program === undefined) {
      const known = follower.version() !== undefined;
      context.ready(false, known ? `PoP ${pop} is not in the desired state` : 'waiting for a desired state');
    } else if (draining) context.ready(false, 'draining');
    else if (failed !== undefined) context.ready(false, failed.problem);
    else context.ready(true);
  }

  /** `new`: certificates that were missing; `all`: also those replaced under their name. */
  async function refresh(which: 'new' | 'all'): Promise<void> {
    if (program === undefined || !(await keeper.refresh(wanted, which))) return;
    // Else the next program is about to be applied, with these.
    if (program.certificates === wanted) apply();
  }

  let countedBefore = 0;
  function tellLoad(): void {
    const { requests = 0, listeners = [] } = plane?.stats() ?? {};
    const connections = listeners.reduce((sum, one) => sum + one.connections, 0);
    const value = { requestsPerSecond: requests - countedBefore, connections };
    const entry = { key: `load/${pop}`, value, ttlMs: 5_000 };
    countedBefore = requests;
    // A load that is not told expires; the store's absence is logged by the follower.
    store.live.put([entry]).then(
      () => bus.wake('live'),
      () => {},
    );
  }

  let demandAtMs = clock.nowMs();
  /** What mappers give PoPs room by. Addresses are cut to their cells here. */
  async function tellDemand(): Promise<void> {
    const atMs = clock.nowMs();
    const seconds = (atMs - demandAtMs) / 1000;
    demandAtMs = atMs;
    const cells = demandByCell(plane?.takeClients() ?? new Map(), limits.edge.cellsTold);
    if (seconds <= 0) return;
    await store.live.put([{ key: `demand/${pop}`, value: { atMs, seconds, cells }, ttlMs: 3 * limits.dns.feedbackMs }]);
  }

  function every(ms: number, work: () => Promise<void>): () => void {
    let running = false;
    return clock.every(ms, () => {
      if (running) return;
      running = true;
      work()
        .catch((error: unknown) => log.error({}, describeError(error)))
        .finally(() => {
          running = false;
        });
    });
  }

  new Gauge({
    name: 'ufes_edge_certificate_expiry_seconds',
    help: 'When the served certificate that expires first expires, seconds since the epoch',
    registers: [registry],
    collect() {
      const expiries = [...keeper.pairs().values()].map(({ expiresAtMs }) => expiresAtMs);
      this.set(expiries.length === 0 ? 0 : Math.min(...expiries) / 1000);
    },
  });
  addAdminRoutes(context, {
    pop,
    seen: () => evidence.seen(),
    plane: () => plane,
    keeper,
    program: () => program,
    draining: () => draining,
    setDraining(value) {
      draining = value;
      plane?.setDraining(value);
      tellReady();
    },
  });

  return {
    async start() {
      const ca = await ensureInternalCa(state);
      // Made anew at each start, and good for as long as the CA: a node must not fail its health checks by running long.
      const defaultPair = checked(await ca.issue([healthHost], 3_650), healthHost);
      const trust = { by: config.pops[pop]?.proxy, proxies: new TrustedProxies(config.trustedProxies) };
      plane = createNodePlane({ pop, trust, clock, rng, log, registry, health: config.probes.health, defaultPair });
      plane.onListening(tellReady);
      await plane.start();
      await keeper.load();
      await follower.start();
      await vantage.start();
      await evidence.start();
      tellReady();
      stops = [
        clock.every(1_000, tellLoad),
        every(limits.dns.feedbackMs, tellDemand),
        every(limits.store.pollMs, () => refresh('new')),
        every(limits.edge.certificateMs, () => refresh('all')),
      ];
    },
    async stop() {
      draining = true;
      tellReady();
      for (const stop of stops.splice(0)) stop();
      await vantage.stop();
      await follower.stop();
      await plane?.stop();
      await evidence.stop();
      await store.live.remove([`load/${pop}`, `demand/${pop}`]).catch(() => {});
    },
  };
};
