/**
 * Rules between keys of a configuration that fits the schema: references, addresses, names, families, zones.
 * Pure; files are read elsewhere (shared/io/config-file.ts) and handed in as text.
 */
import { addressBytes } from '../ip.ts';
import { checkAddresses } from './check-addresses.ts';
import { checkRules } from './check-rules.ts';
import { checkServices } from './check-services.ts';
import { absoluteName, isWithin, zoneOf } from './names.ts';
import { parsePool } from './pool.ts';
import type { Config, ConfigProblem } from './schema.ts';
import { parseStoreUrl } from './store-url.ts';
import { suggestion, unknownReference } from './suggest.ts';
import { type CompiledZone, compileZones } from './zones.ts';

/** Every broken rule. `texts`: master files by zone key. */
export function checkConfig(config: Config, texts: ReadonlyMap<string, string>): ConfigProblem[] {
  const zones = compileZones(config, texts);
  return [
    ...checkStore(config),
    ...checkAddresses(config),
    ...checkOrigins(config),
    ...zones.flatMap((zone) => zone.problems),
    ...checkZoneNames(zones),
    ...checkServices(config, zones),
    ...checkRules(config),
    ...checkProbes(config, zones),
    ...checkKubernetes(config),
  ];
}

/** The message never repeats it: it may hold a password. */
function checkStore({ store }: Config): ConfigProblem[] {
  const found = store === 'embedded' ? undefined : parseStoreUrl(store);
  return typeof found === 'string' ? [{ path: ['store'], message: found }] : [];
}

function checkOrigins(config: Config): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const [id, origin] of Object.entries(config.origins)) {
    const seen = new Map<string, number>();
    origin.endpoints.forEach((endpoint, i) => {
      const path = ['origins', id, 'endpoints', i];
      const match = /^http:\/\/(?:\[(.+)\]|(.+)):(\d+)$/.exec(endpoint);
      const bytes = match ? addressBytes((match[1] ?? match[2])!) : undefined;
      const port = Number(match?.[3]);
      if (bytes === undefined || port < 1 || port > 65_535) {
        problems.push({ path, message: `${endpoint}: no address and port` });
      }
      const first = seen.get(endpoint);
      if (first !== undefined) {
        problems.push({ path, message: `${endpoint} is listed twice`, other: [...path.slice(0, -1), first] });
      }
      seen.set(endpoint, i);
    });
    if (!origin.healthPath.startsWith('/')) {
      problems.push({ path: ['origins', id, 'healthPath'], message: 'a path begins with /' });
    }
    if (origin.probeUrl !== undefined && !URL.canParse(origin.probeUrl)) {
      problems.push({ path: ['origins', id, 'probeUrl'], message: `${origin.probeUrl}: no URL` });
    }
  }
  for (const [id, pop] of Object.entries(config.pops)) {
    for (const origin of Object.keys(pop.backboneRttMs ?? {})) {
      if (Object.hasOwn(config.origins, origin)) continue;
      const path = ['pops', id, 'backboneRttMs', origin];
      problems.push({ ...unknownReference(path, origin, 'origin', Object.keys(config.origins)), atKey: true });
    }
  }
  return problems;
}

function checkZoneNames(zones: readonly CompiledZone[]): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const seen = new Map<string, string>();
  for (const { key, zone } of zones) {
    const other = seen.get(zone.origin);
    if (other !== undefined) {
      const message = `${zone.origin} is the same zone as "${other}"`;
      problems.push({ path: ['zones', key], atKey: true, message, other: ['zones', other] });
    }
    seen.set(zone.origin, key);
  }
  return problems;
}

function checkProbes(config: Config, zones: readonly CompiledZone[]): ConfigProblem[] {
  const { zone, collectors, health } = config.probes;
  const problems: ConfigProblem[] = [];
  if (health.timeoutMs > health.intervalMs) {
    const message = `must be at most intervalMs, ${health.intervalMs}: one check at a time`;
    problems.push({ path: ['probes', 'health', 'timeoutMs'], message });
  }
  collectors.forEach((url, i) => {
    const isHttp = URL.canParse(url) && /^https?:$/.test(new URL(url).protocol);
    if (!isHttp) problems.push({ path: ['probes', 'collectors', i], message: `${url}: no http or https URL` });
  });
  if (zone === undefined) return problems;
  const path = ['probes', 'zone'];
  const name = absoluteName(zone);
  const origins = zones.map((one) => one.zone.origin);
  if (name === undefined) return [...problems, { path, message: `"${zone}" is not a domain name` }];
  if (zoneOf(name, origins) === undefined) {
    const message = `"${zone}" is not at or below one of our zones${suggestion(name, origins)}`;
    return [...problems, { path, message }];
  }
  for (const [id, service] of Object.entries(config.services)) {
    const steered = absoluteName(service.name);
    if (steered === undefined || !isWithin(steered, name)) continue;
    const message = `${service.name} is within the probe zone ${zone}, whose names answer PoPs`;
    problems.push({ path: ['services', id, 'name'], message, other: path });
  }
  return problems;
}

function checkKubernetes(config: Config): ConfigProblem[] {
  const { kubernetes } = config;
  if (kubernetes === undefined) return [];
  const problems: ConfigProblem[] = [];
  const given = kubernetes.pops ?? Object.keys(config.pops).filter((id) => config.pops[id]!.pool !== undefined);
  if (given.length === 0) {
    const message = 'no PoP has a "pool" from which Ingresses could get their VIPs';
    problems.push({ path: ['kubernetes'], atKey: true, message });
  }
  const families = new Map<number, string>();
  given.forEach((id, i) => {
    const path = kubernetes.pops === undefined ? ['pops', id, 'pool'] : ['kubernetes', 'pops', i];
    if (!Object.hasOwn(config.pops, id)) {
      problems.push(unknownReference(path, id, 'PoP', Object.keys(config.pops)));
      return;
    }
    const { pool } = config.pops[id]!;
    if (pool === undefined) problems.push({ path, message: `PoP "${id}" has no "pool"`, other: ['pops', id] });
    const family = pool === undefined ? undefined : parsePool(pool)?.family;
    if (family !== undefined) families.set(family, id);
  });
  if (families.size > 1) {
    const message = `pools of both families: ${families.get(4)} has IPv4, ${families.get(6)} IPv6; candidates of a name publish the same (RFC 7871 §7.4)`;
    problems.push({ path: ['kubernetes'], atKey: true, message });
  }
  const [objects, status] = [kubernetes.objects, kubernetes.status].map((path) => path.replace(/\/+$/, ''));
  if (status === objects || status!.startsWith(`${objects}/`)) {
    problems.push({ path: ['kubernetes', 'status'], message: 'must lie outside the folder of objects' });
  }
  if (kubernetes.ttl.min > kubernetes.ttl.max) {
    problems.push({ path: ['kubernetes', 'ttl', 'min'], message: `must be at most max, ${kubernetes.ttl.max}` });
  }
  return problems;
}
