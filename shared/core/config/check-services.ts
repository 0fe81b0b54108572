/** Steered names: what they refer to, that nobody else has their name, and that their rules can be kept. */
import type { DesiredZone } from '../desired.ts';
import { normalisePath } from '../routing/normal.ts';
import { familyProblem } from './check-addresses.ts';
import { absoluteName, isWithin, zoneOf } from './names.ts';
import { canonicalAddress } from './pool.ts';
import type { Config, ConfigProblem, ServiceConfig } from './schema.ts';
import { suggestion, unknownReference } from './suggest.ts';
import { type CompiledZone, soaMinimum } from './zones.ts';

export function checkServices(config: Config, zones: readonly CompiledZone[]): ConfigProblem[] {
  const names = new Map<string, string>();
  const problems: ConfigProblem[] = [];
  for (const [id, service] of Object.entries(config.services)) {
    const path = ['services', id];
    problems.push(
      ...checkReferences(config, path, service),
      ...checkRoutes(path, service),
      ...checkFamilies(config, path, service),
      ...checkFallback(config, path, service),
      ...checkCheck(path, service),
    );
    if (service.ttl.min > service.ttl.max) {
      problems.push({ path: [...path, 'ttl', 'min'], message: `must be at most ttl.max, ${service.ttl.max}` });
    }
    const name = absoluteName(service.name);
    if (name === undefined || name.startsWith('*')) {
      problems.push({ path: [...path, 'name'], message: `"${service.name}" is not a domain name` });
      continue;
    }
    const other = names.get(name);
    if (other !== undefined) {
      const message = `${service.name} is the name of service "${other}" too`;
      problems.push({ path: [...path, 'name'], message, other: ['services', other, 'name'] });
    }
    names.set(name, id);
    problems.push(...checkPlace(path, name, service, zones));
  }
  return problems;
}

function checkReferences(config: Config, path: string[], service: ServiceConfig): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const pops = Object.keys(config.pops);
  const origins = Object.keys(config.origins);
  service.pops.forEach((pop, i) => {
    const at = [...path, 'pops', i];
    if (!pops.includes(pop)) problems.push(unknownReference(at, pop, 'PoP', pops));
    else if (service.pops.indexOf(pop) < i) problems.push({ path: at, message: `PoP "${pop}" is listed twice` });
  });
  service.only?.forEach((pop, i) => {
    const at = [...path, 'only', i];
    if (!pops.includes(pop)) problems.push(unknownReference(at, pop, 'PoP', pops));
    else if (!service.pops.includes(pop)) {
      problems.push({ path: at, message: `"${pop}" is not among this service's pops${suggestion(pop, service.pops)}` });
    }
  });
  if (!origins.includes(service.origin)) {
    problems.push(unknownReference([...path, 'origin'], service.origin, 'origin', origins));
  }
  service.routes.forEach((route, i) => {
    if (route.origin === undefined || origins.includes(route.origin)) return;
    problems.push(unknownReference([...path, 'routes', i, 'origin'], route.origin, 'origin', origins));
  });
  return problems;
}

function checkRoutes(path: string[], service: ServiceConfig): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const seen = new Map<string, number>();
  service.routes.forEach((route, i) => {
    const at = [...path, 'routes', i, 'path'];
    const normal = normalisePath(route.path);
    if (!normal.startsWith('/')) {
      problems.push({ path: at, message: `"${route.path}" cannot be matched: ${normal}` });
      return;
    }
    const key = `${route.match} ${route.match === 'prefix' ? normal.replace(/(?<=.)\/$/, '') : normal}`;
    const first = seen.get(key);
    if (first !== undefined) {
      const message = `${key} is routed twice`;
      problems.push({ path: at, message, other: [...path, 'routes', first] });
    }
    seen.set(key, i);
  });
  return problems;
}

/** Keys of a check that its kind does not look at were meant for another kind. */
function checkCheck(path: string[], { check }: ServiceConfig): ConfigProblem[] {
  const fetches = check.kind === 'http' || check.kind === 'https';
  const connects = fetches || check.kind === 'tcp';
  const idle: [key: string, isSet: boolean, kinds: string][] = [
    ['port', check.port !== undefined && !connects, 'tcp, http and https'],
    ['path', check.path !== '/' && !fetches, 'http and https'],
    ['status', check.status.length > 0 && !fetches, 'http and https'],
    ['body', check.body !== undefined && !fetches, 'http and https'],
    ['maxPercent', check.maxPercent !== 100 && check.kind !== 'load', 'load'],
  ];
  return idle
    .filter(([, isSet]) => isSet)
    .map(([key, , kinds]) => ({
      path: [...path, 'check', key],
      atKey: true,
      message: `is for checks of kind ${kinds}; this one is ${check.kind}`,
    }));
}

/** RFC 7871 §7.4: a resolver may take a NODATA for one family as true for everyone. */
function checkFamilies(config: Config, path: string[], service: ServiceConfig): ConfigProblem[] {
  const known = service.pops.filter((pop) => Object.hasOwn(config.pops, pop));
  const families = (pop: string) => Object.keys(config.pops[pop]!.vips).sort();
  const problems: ConfigProblem[] = [];
  for (const pop of known) {
    if (families(pop).length > 0) continue;
    const message = `PoP "${pop}" has no vips, so it cannot be a candidate`;
    problems.push({ path: [...path, 'pops', service.pops.indexOf(pop)], message, other: ['pops', pop] });
  }
  const [first, ...others] = known.filter((pop) => families(pop).length > 0);
  const odd = others.find((pop) => families(pop).join() !== families(first!).join());
  if (first !== undefined && odd !== undefined) {
    const message = `PoP "${odd}" has ${families(odd).join(' and ')}, "${first}" has ${families(first).join(' and ')}; all candidates must publish the same families (RFC 7871 §7.4)`;
    problems.push({ path: [...path, 'pops', service.pops.indexOf(odd)], message, other: ['pops', odd, 'vips'] });
  }
  return problems;
}

/** With `only`, the fall-back is one of the listed PoPs' addresses: nothing may break the allow-list. */
function checkFallback(config: Config, path: string[], service: ServiceConfig): ConfigProblem[] {
  if (typeof service.allDown === 'string') return [];
  const allowed = service.only?.flatMap((pop) => Object.values(config.pops[pop]?.vips ?? {}).map(canonicalAddress));
  const problems: ConfigProblem[] = [];
  service.allDown.fallback.forEach((text, i) => {
    const at = [...path, 'allDown', 'fallback', i];
    const wrong = familyProblem(text, text.includes(':') ? 6 : 4);
    if (wrong !== undefined) problems.push({ path: at, message: wrong });
    else if (allowed !== undefined && !allowed.includes(canonicalAddress(text))) {
      const message = `${text} is no VIP of a PoP in "only" (${service.only!.join(', ')}), which no fall-back may leave`;
      problems.push({ path: at, message });
    }
  });
  return problems;
}

const singular = new Set(['A', 'AAAA', 'CNAME', 'HTTPS', 'SVCB']);

/**
 * Why `name` (absolute) cannot be steered: it is in none of our zones, has a static address, or is delegated. `zone` is
 * the zone that speaks against it.
 */
export function steeringProblem(
  name: string,
  zones: readonly DesiredZone[],
): { readonly message: string; readonly zone?: DesiredZone } | undefined {
  const shown = name.slice(0, -1);
  const origin = zoneOf(
    name,
    zones.map((zone) => zone.origin),
  );
  const zone = zones.find((one) => one.origin === origin);
  if (zone === undefined) {
    const list = zones.map((one) => one.origin.slice(0, -1)).join(', ');
    return { message: `${shown} is in none of our zones${list === '' ? '; there are none' : `: ${list}`}` };
  }
  const clash = zone.records.find((record) => record.name === name && singular.has(record.type));
  if (clash !== undefined) {
    const what = `a static ${clash.type} record (${clash.data}) in zone ${zone.origin.slice(0, -1)}`;
    return { message: `${shown} has ${what}; a name is steered or static`, zone };
  }
  const cut = zone.records.find((one) => one.type === 'NS' && one.name !== origin && isWithin(name, one.name));
  if (cut !== undefined) return { message: `${shown} is at or below ${cut.name}, which is delegated`, zone };
  return undefined;
}

function checkPlace(
  path: string[],
  name: string,
  service: ServiceConfig,
  zones: readonly CompiledZone[],
): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const keyOf = (zone: DesiredZone) => zones.find((one) => one.zone === zone)!.key;
  const wrong = steeringProblem(
    name,
    zones.map((one) => one.zone),
  );
  if (wrong !== undefined) {
    const other = wrong.zone === undefined ? {} : { other: ['zones', keyOf(wrong.zone)] };
    problems.push({ path: [...path, 'name'], message: wrong.message, ...other });
  }
  const origin = zoneOf(
    name,
    zones.map((one) => one.zone.origin),
  );
  const home = zones.find((one) => one.zone.origin === origin);
  const minimum = home && soaMinimum(home.zone);
  if (home !== undefined && service.allDown === 'nodata' && minimum !== undefined && minimum > service.ttl.min) {
    const message = `"nodata" needs the zone's SOA minimum (${minimum}) at or under ttl.min (${service.ttl.min}), or resolvers keep the empty answer longer`;
    problems.push({ path: [...path, 'allDown'], message, other: ['zones', home.key] });
  }
  return problems;
}
