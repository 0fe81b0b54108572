/**
 * Synthetic users: a trickle of look-ups, requests and beacons from real network prefixes all over the world, with
 * round trips from a seeded model. They come as anybody would: look-ups carry a client subnet, beacons pass the
 * collector's PROXY v2 listener.
 */
import { describeError } from '@ufes/core/errors.ts';
import { formatAddress, formatPrefix, type Prefix, prefixOf } from '@ufes/core/ip.ts';
import type { Beacon, Plan } from '@ufes/core/samples.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { type Geoip, openGeoip } from '@ufes/geoip/geoip.ts';
import { distanceKm, priorRttMs } from '@ufes/geoip/prior.ts';
import { type Endpoint, parseEndpoint } from '@ufes/io/address.ts';
import { rateLimited } from '@ufes/io/log.ts';
import type { ServiceContext, ServiceMain } from '@ufes/io/service.ts';
import { lookup } from '../lookup.ts';
import { viaProxy } from './door.ts';
import { fetchRttMs, lastingRttMs } from './latency.ts';

const seed = 'ufes-demo';
const users = 100;
const everyMs = 60;
const settleMs = 3_000;

interface User {
  readonly prefix: Prefix;
  /** Lasting round trip by target id. */
  readonly rttMs: ReadonlyMap<string, number>;
}

export const main: ServiceMain = (context) => {
  const door = context.config.listeners.probe.find((listener) => listener.proxy === 'v2');
  const failed = rateLimited(30_000, () => context.clock.nowMs());
  const rng = seededRng(`${seed}|clicks`);
  let cancel = () => {};
  const visit = async (world: readonly User[], collector: Endpoint) => {
    // Popular networks come more often, as they do.
    const user = world[Math.floor(world.length * rng.next() ** 2)]!;
    try {
      await lookUp(context, user);
      await measure(context, user, collector);
    } catch (thrown) {
      failed(String(thrown), () => context.log.warn({ error: describeError(thrown) }, 'synthetic user gave up'));
    }
  };
  return {
    async start() {
      if (door === undefined) throw new Error('the demo needs a probe listener with proxy: v2');
      const { geoip: choice } = context.config;
      const geoip = await openGeoip({ state: context.state, ...choice, log: context.log });
      const world = populate(context, geoip);
      const collector = parseEndpoint(door.address);
      // They come to a site that is open.
      cancel = context.clock.after(settleMs, () => {
        cancel = context.clock.every(everyMs, () => void visit(world, collector));
      });
      context.ready(true);
    },
    async stop() {
      cancel();
    },
  };
};

/** Prefixes drawn uniformly from the located address space, as users are to a first approximation. */
function populate(context: ServiceContext, geoip: Geoip): User[] {
  const { pops, origins } = context.config;
  const places = [
    ...Object.entries(pops).map(([id, { location }]) => ({ id: `pop:${id}`, location })),
    ...Object.entries(origins).map(([id, { location }]) => ({ id: `origin:${id}`, location })),
  ];
  const rng = seededRng(`${seed}|users`);
  const world = new Map<string, User>();
  while (world.size < users) {
    const prefix = prefixOf({ family: 4, hi: Math.floor(rng.next() * 0xe0000000), lo: 0 }, 24);
    const found = geoip.lookup(prefix);
    if (found === undefined || found.country === '' || prefix.hi >>> 24 === 127 || prefix.hi >>> 24 === 10) continue;
    const name = formatPrefix(prefix);
    const rttMs = places.map(({ id, location: [latitude, longitude] }): [string, number] => {
      const km = distanceKm(found.latitude, found.longitude, latitude, longitude);
      return [id, lastingRttMs(seed, name, id, priorRttMs(km))];
    });
    world.set(name, { prefix, rttMs: new Map(rttMs) });
  }
  return [...world.values()];
}

async function lookUp({ config, rng }: ServiceContext, { prefix }: User): Promise<void> {
  const services = Object.values(config.services);
  const { name } = services[Math.floor(rng.next() * services.length)]!;
  await lookup({
    server: parseEndpoint(config.listeners.dns[0]!),
    name,
    type: 'A',
    subnet: prefix,
    timeoutMs: 2_000,
    rng,
  });
}

async function measure({ rng }: ServiceContext, user: User, collector: Endpoint): Promise<void> {
  const { hi, family } = user.prefix;
  const address = formatAddress({ family, hi: (hi | (1 + Math.floor(rng.next() * 250))) >>> 0, lo: 0 });
  const plan: Plan = JSON.parse(await request(collector, address, 'GET', '/rum/plan'));
  const results = plan.targets.map(({ id }): Beacon['results'][number] => {
    const lastingMs = user.rttMs.get(id);
    if (lastingMs === undefined) return { target: id, ok: false, rttMs: [] };
    return { target: id, ok: true, rttMs: Array.from({ length: plan.fetches }, () => fetchRttMs(lastingMs, rng)) };
  });
  const beacon: Beacon = { token: plan.token, results };
  await request(collector, address, 'POST', '/rum/beacon', JSON.stringify(beacon));
}

async function request(
  collector: Endpoint,
  client: string,
  method: string,
  path: string,
  body?: string,
): Promise<string> {
  const answer = await viaProxy(collector, client, method, path, body);
  if (answer.status < 200 || answer.status > 299) throw new Error(`${method} ${path}: status ${answer.status}`);
  return answer.body;
}
