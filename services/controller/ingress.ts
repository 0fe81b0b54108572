/**
 * From Ingresses to what each of their hosts needs: candidates, paths, origins, a certificate. Pure; a mistake costs the
 * host or path it is in and is said on that Ingress, with the field and what would be right.
 */
import { steeringProblem } from '@ufes/core/config/check-services.ts';
import { absoluteName, isWithin } from '@ufes/core/config/names.ts';
import type { Ingress, IngressBackend } from '@ufes/core/config/objects.ts';
import type { Config } from '@ufes/core/config/schema.ts';
import type { DesiredOrigin, DesiredPath, DesiredZone } from '@ufes/core/desired.ts';
import { limits } from '@ufes/core/limits.ts';
import { badTarget, normalisePath } from '@ufes/core/routing/normal.ts';
import { resolveBackend } from './backends.ts';
import { classOf } from './ingress-class.ts';
import { type Objection, type TlsChoice, tlsChoices } from './ingress-tls.ts';
import type { ObjectSet } from './objects.ts';

/** What one host of an Ingress needs, in a form that is kept across restarts: PoPs by id, not by number. */
export interface HostProgramme {
  /** Lower case, no final dot; `*.` may lead. */
  readonly host: string;
  /** NAMESPACE/NAME. */
  readonly owner: string;
  readonly className: string;
  readonly candidates: readonly { readonly pop: string; readonly address: string }[];
  readonly paths: readonly DesiredPath[];
  readonly origins: readonly DesiredOrigin[];
  readonly ttlSecondsMin: number;
  readonly ttlSecondsMax: number;
}

export interface IngressVerdict {
  readonly key: string;
  readonly objections: readonly Objection[];
  /** Hosts it has, for its status. */
  readonly hosts: readonly string[];
}

export interface IngressPlan {
  /** By host. */
  readonly programmes: readonly HostProgramme[];
  readonly verdicts: readonly IngressVerdict[];
  /** Classes with at least one host, that need VIPs. */
  readonly classes: readonly string[];
  readonly tls: readonly TlsChoice[];
}

export interface IngressInput {
  readonly config: Config;
  readonly zones: readonly DesiredZone[];
  readonly objects: ObjectSet;
  /** The VIP of a class at a PoP, or why there is none (yet). */
  readonly vip: (className: string, pop: string) => { readonly address?: string; readonly problem?: string };
  /** When the object was made, as far as is known; the older one keeps a host. */
  readonly createdMs: (key: string) => number;
}

/** PoPs that serve Ingresses. */
export function ingressPops(config: Config): string[] {
  return config.kubernetes?.pops ?? Object.keys(config.pops).filter((id) => config.pops[id]!.pool !== undefined);
}

export function planIngresses(input: IngressInput): IngressPlan {
  const { config, objects } = input;
  if (config.kubernetes === undefined) return { programmes: [], verdicts: [], classes: [], tls: [] };
  const programmes: HostProgramme[] = [];
  const verdicts: IngressVerdict[] = [];
  const tls: TlsChoice[] = [];
  const holders = new Map(
    Object.entries(config.services).map(([id, { name }]) => [hostOf(name), `service "${id}" of the configuration`]),
  );
  for (const [key, { object }] of byAge(input)) {
    const verdict = classOf(object, objects, config.kubernetes.ingressClass);
    if (verdict.kind === 'other') continue;
    const objections: Objection[] = invalidDocuments(key, objects);
    if (verdict.kind === 'unknown') {
      const { reason, message } = verdict;
      verdicts.push({ key, objections: [...objections, { condition: 'Accepted', reason, message }], hosts: [] });
      continue;
    }
    const hosts = planHosts(input, key, object, holders, objections);
    for (const [host, { paths, origins }] of hosts) {
      holders.set(host, `Ingress ${key}`);
      const candidates = candidatesOf(input, verdict.name, objections);
      const { min, max } = config.kubernetes.ttl;
      programmes.push({
        host,
        owner: key,
        className: verdict.name,
        candidates,
        paths,
        origins,
        ttlSecondsMin: min,
        ttlSecondsMax: max,
      });
    }
    tls.push(...tlsChoices(key, object, [...hosts.keys()], objects, objections));
    verdicts.push({ key, objections: once(objections), hosts: [...hosts.keys()].sort() });
  }
  verdicts.push(...onlyInvalid(objects, verdicts));
  programmes.sort((a, b) => (a.host < b.host ? -1 : 1));
  return { programmes, verdicts, classes: [...new Set(programmes.map((one) => one.className))].sort(), tls };
}

function hostOf(name: string): string {
  return (absoluteName(name) ?? `${name}.`).slice(0, -1);
}

/** Oldest first: a host belongs to the one that had it first. */
function byAge({ objects, createdMs }: IngressInput) {
  return [...objects.Ingress].sort(([a], [b]) => createdMs(a) - createdMs(b) || (a < b ? -1 : 1));
}

/** The newest document of an Ingress is wrong, and the one before is in service. */
function invalidDocuments(key: string, objects: ObjectSet): Objection[] {
  return objects.problems
    .filter((problem) => problem.kind === 'Ingress' && problem.key === key)
    .map(({ source, line, message }) => ({
      condition: 'Accepted',
      reason: 'Invalid',
      message: `${source}:${line}: ${message}; what was valid before stays`,
    }));
}

/** Ingresses that were never valid have a status too. */
function onlyInvalid(objects: ObjectSet, verdicts: readonly IngressVerdict[]): IngressVerdict[] {
  const known = new Set(verdicts.map(({ key }) => key));
  const keys = new Set(
    objects.problems.flatMap(({ kind, key }) =>
      kind === 'Ingress' && key !== undefined && !known.has(key) && !objects.Ingress.has(key) ? [key] : [],
    ),
  );
  return [...keys].sort().map((key) => ({
    key,
    objections: objects.problems
      .filter((problem) => problem.kind === 'Ingress' && problem.key === key)
      .map(({ source, line, message }) => ({
        condition: 'Accepted',
        reason: 'Invalid',
        message: `${source}:${line}: ${message}`,
      })),
    hosts: [],
  }));
}

function once(objections: readonly Objection[]): Objection[] {
  const seen = new Set<string>();
  return objections.filter(({ message }) => !seen.has(message) && seen.add(message));
}

interface HostPaths {
  readonly paths: DesiredPath[];
  readonly origins: DesiredOrigin[];
}

/** The hosts this Ingress may have, with at least one path each. */
function planHosts(
  input: IngressInput,
  key: string,
  ingress: Ingress,
  holders: ReadonlyMap<string, string>,
  objections: Objection[],
): Map<string, HostPaths> {
  const hosts = new Map<string, HostPaths>();
  const { rules = [], defaultBackend } = ingress.spec;
  rules.forEach((rule, i) => {
    const field = `spec.rules[${i}]`;
    const host = acceptHost(input, rule.host, `${field}.host`, holders, objections);
    if (host === undefined) return;
    const into = hosts.get(host) ?? { paths: [], origins: [] };
    (rule.http?.paths ?? []).forEach((path, j) => {
      addPath(input, key, into, path, `${field}.http.paths[${j}]`, objections);
    });
    if (into.paths.length > 0 || defaultBackend !== undefined) hosts.set(host, into);
    else {
      const message = `${field}: host ${host} has no path that could be served, and there is no spec.defaultBackend`;
      objections.push({ condition: 'Accepted', reason: 'NoPaths', message });
    }
  });
  if (defaultBackend !== undefined) {
    for (const into of hosts.values()) {
      if (into.paths.some(({ path, match }) => path === '/' && match === 'prefix')) continue;
      const path = { path: '/', pathType: 'Prefix' as const, backend: defaultBackend };
      addPath(input, key, into, path, 'spec.defaultBackend', objections);
    }
  }
  if (rules.length === 0) {
    const message = 'spec.rules: a rule with a host is needed; the host becomes the DNS name';
    objections.push({ condition: 'Accepted', reason: 'HostMissing', message });
  }
  return hosts;
}

function acceptHost(
  { config, zones }: IngressInput,
  written: string | undefined,
  field: string,
  holders: ReadonlyMap<string, string>,
  objections: Objection[],
): string | undefined {
  const refuse = (reason: string, message: string): undefined => {
    objections.push({ condition: 'Accepted', reason, message: `${field}: ${message}` });
  };
  if (written === undefined || written === '') {
    return refuse('HostMissing', 'a host is needed; it becomes the DNS name');
  }
  const name = absoluteName(written);
  if (name === undefined) return refuse('HostInvalid', `"${written}" is not a domain name`);
  const host = name.slice(0, -1);
  const holder = holders.get(host);
  if (holder !== undefined) return refuse('HostConflict', `${host} is held by ${holder}`);
  const wrong = steeringProblem(name, zones);
  if (wrong !== undefined) return refuse(wrong.zone === undefined ? 'HostOutsideZones' : 'HostConflict', wrong.message);
  const probeZone = config.probes.zone === undefined ? undefined : absoluteName(config.probes.zone);
  if (probeZone !== undefined && isWithin(name, probeZone)) {
    return refuse('HostConflict', `${host} is within the probe zone ${config.probes.zone}`);
  }
  return host;
}

function addPath(
  { config, objects }: IngressInput,
  key: string,
  into: HostPaths,
  rule: { path?: string; pathType: string; backend: IngressBackend },
  field: string,
  objections: Objection[],
): void {
  const written = rule.path ?? (rule.pathType === 'ImplementationSpecific' ? '/' : '');
  const path = normalisePath(written);
  if (!path.startsWith('/')) {
    const why = badTarget[path as keyof typeof badTarget] ?? path;
    const message = `${field}.path: "${written}" cannot be matched: ${why}`;
    objections.push({ condition: 'Accepted', reason: 'PathInvalid', message });
    return;
  }
  const match = rule.pathType === 'Exact' ? 'exact' : 'prefix';
  if (into.paths.some((one) => one.match === match && trimmed(one.path, match) === trimmed(path, match))) {
    const message = `${field}.path: ${match} ${path} is routed already; the first one counts`;
    objections.push({ condition: 'Accepted', reason: 'PathConflict', message });
    return;
  }
  const namespace = key.slice(0, key.indexOf('/'));
  const location = config.kubernetes?.originLocation;
  const place = location === undefined ? {} : { latitude: location[0], longitude: location[1] };
  const { origin, problem } = resolveBackend(rule.backend, namespace, objects, place);
  if (problem !== undefined) {
    const message = `${field}.backend: ${problem.message}`;
    objections.push({ condition: 'ResolvedRefs', reason: problem.reason, message });
  }
  into.paths.push({
    path,
    match,
    ...(origin === undefined ? {} : { origin: origin.id }),
    timeoutMs: limits.edge.responseMs,
  });
  if (origin !== undefined && !into.origins.some(({ id }) => id === origin.id)) into.origins.push(origin);
}

/** A prefix ignores a trailing slash. */
function trimmed(path: string, match: 'prefix' | 'exact'): string {
  return match === 'prefix' && path.length > 1 ? path.replace(/\/$/, '') : path;
}

function candidatesOf({ config, vip }: IngressInput, className: string, objections: Objection[]) {
  return ingressPops(config).flatMap((pop) => {
    const { address, problem } = vip(className, pop);
    if (problem !== undefined) {
      objections.push({ condition: 'Programmed', reason: 'PoolExhausted', message: `POOL_EXHAUSTED: ${problem}` });
    }
    return address === undefined ? [] : [{ pop, address }];
  });
}
