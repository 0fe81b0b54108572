/**
 * The plan: configuration and objects in, desired state out. Pure and deterministic: the same input gives the same bytes.
 *
 *     config, zones ──▶ base (pops, origins, services, hosts: answered at once)
 *     objects, VIPs ──▶ programmes, one a host ──▶ phases (order.ts: when it is answered) ──▶ desired
 */
import { absoluteName, zoneOf } from '@ufes/core/config/names.ts';
import { canonicalAddress } from '@ufes/core/config/pool.ts';
import type { Config, ServiceConfig } from '@ufes/core/config/schema.ts';
import { withSerial } from '@ufes/core/config/zones.ts';
import {
  type AllDown,
  type Candidate,
  type DesiredCheck,
  type DesiredDebug,
  type DesiredHost,
  type DesiredOrigin,
  type DesiredPop,
  type DesiredProbe,
  type DesiredRoom,
  type DesiredService,
  type DesiredState,
  type DesiredVip,
  type DesiredZone,
  desiredFormat,
} from '@ufes/core/desired.ts';
import { normalisePath } from '@ufes/core/routing/normal.ts';
import type { CertificatePair } from '@ufes/io/certificate.ts';
import { type HostProgramme, type IngressInput, type IngressPlan, ingressPops, planIngresses } from './ingress.ts';
import type { TlsChoice } from './ingress-tls.ts';
import { type HostPhase, isAnswered } from './order.ts';

export interface PlanInput extends IngressInput {
  /** Certificates from files, by service id of the configuration. */
  readonly certificates: Readonly<Record<string, CertificatePair>>;
}

export interface Plan extends IngressPlan {
  readonly base: {
    readonly pops: readonly DesiredPop[];
    readonly origins: readonly DesiredOrigin[];
    readonly zones: readonly DesiredZone[];
    readonly services: readonly DesiredService[];
    readonly hosts: readonly DesiredHost[];
    readonly probe: DesiredProbe;
    readonly room: DesiredRoom;
    readonly debug: DesiredDebug;
  };
  /** Every certificate to have in the secret store. */
  readonly certificates: readonly TlsChoice[];
  /** PoPs at which each class needs a VIP. */
  readonly classPops: readonly string[];
}

/** Name in the secret store of the certificate of a host. */
export function secretName(host: string): string {
  return `certificate/${host}`;
}

export function plan(input: PlanInput): Plan {
  const { config, zones } = input;
  const ingresses = planIngresses(input);
  const services = Object.entries(config.services).map(([id, service]) => planService(config, id, service));
  const hosts = Object.values(config.services).map(planHost);
  const probe = planProbe(config);
  const own = Object.entries(config.services).map(([id, { name }]): TlsChoice => {
    const pair = input.certificates[id];
    return { host: hostName(name), ...(pair === undefined ? {} : { pair }) };
  });
  const probeNames = probe.zone === undefined ? [] : [{ host: `*.${probe.zone.slice(0, -1)}` }];
  return {
    ...ingresses,
    base: {
      pops: planPops(config),
      origins: planOrigins(config),
      zones,
      services,
      hosts,
      probe,
      room: { soft: config.room.softPercent / 100, hard: config.room.hardPercent / 100 },
      debug: planDebug(config),
    },
    certificates: [...own, ...probeNames, ...ingresses.tls],
    classPops: ingressPops(config),
  };
}

function planPops(config: Config): DesiredPop[] {
  return Object.entries(config.pops).map(([id, pop]) => ({
    id,
    title: pop.title ?? id,
    latitude: pop.location[0],
    longitude: pop.location[1],
    vips: addresses(pop.vips),
    httpsPort: pop.ports.https,
    httpPort: pop.ports.http,
    requestsPerSecond: pop.capacity.requestsPerSecond,
    ...(pop.capacity.connections && { connections: pop.capacity.connections }),
    backboneRttMs: pop.backboneRttMs ?? {},
  }));
}

function addresses({ v4, v6 }: { readonly v4?: string; readonly v6?: string }): { v4?: string; v6?: string } {
  return { ...(v4 && { v4: canonicalAddress(v4)! }), ...(v6 && { v6: canonicalAddress(v6)! }) };
}

function planOrigins(config: Config): DesiredOrigin[] {
  return Object.entries(config.origins).map(([id, origin]) => ({
    id,
    latitude: origin.location[0],
    longitude: origin.location[1],
    endpoints: origin.endpoints.map((endpoint) => {
      const [, v6, v4, port] = /^http:\/\/(?:\[(.+)\]|(.+)):(\d+)$/.exec(endpoint)!;
      return { address: canonicalAddress((v6 ?? v4)!)!, port: Number(port) };
    }),
    healthPath: origin.healthPath,
    ...(origin.probeUrl && { probeUrl: origin.probeUrl }),
  }));
}

function popNumber(config: Config, id: string): number {
  return Object.keys(config.pops).indexOf(id);
}

function planService(config: Config, id: string, service: ServiceConfig): DesiredService {
  return {
    id,
    name: absoluteName(service.name)!,
    owner: 'config',
    answered: true,
    policy: service.policy,
    candidates: service.pops.map((pop) => ({ pop: popNumber(config, pop), ...addresses(config.pops[pop]!.vips) })),
    ...(service.only && { only: service.only.map((pop) => popNumber(config, pop)) }),
    origin: service.origin,
    ...planRules(config, service),
    k: 1 + 2 * service.connectionShare,
    answers: service.answers,
    ttlSecondsMin: service.ttl.min,
    ttlSecondsMax: service.ttl.max,
    allDown: planAllDown(service.allDown),
    ...planCheck(service.check),
  };
}

/** Readiness is checked of every PoP anyway. */
function planCheck({ kind, port, path, status, body, maxPercent }: ServiceConfig['check']): { check?: DesiredCheck } {
  if (kind === 'readiness') return {};
  if (kind === 'load') return { check: { kind, percentMax: maxPercent } };
  const at = port === undefined ? {} : { port };
  if (kind === 'tcp') return { check: { kind, ...at } };
  return { check: { kind, ...at, path, status, ...(body === undefined ? {} : { body }) } };
}

/** What the configuration says of particular clients. */
function planRules(config: Config, service: ServiceConfig): Partial<DesiredService> {
  const { overrides, shares, regions, bindings, ignoreSubnet, controlPercent } = service;
  const numbers = (ids: readonly string[]) => ids.map((pop) => popNumber(config, pop));
  const prefixes = (clients: readonly string[]) => clients.flatMap((one) => config.prefixLists[one] ?? [one]);
  return {
    ...(ignoreSubnet && { ignoreSubnet }),
    ...(overrides.length > 0 && {
      overrides: overrides.map(({ clients, pops, pin }) => ({ prefixes: prefixes(clients), pops: numbers(pops), pin })),
    }),
    ...(shares.length > 0 && {
      shares: shares.map(({ pop, percent, clients }) => ({
        pop: popNumber(config, pop),
        share: percent / 100,
        ...(clients && { prefixes: prefixes(clients) }),
      })),
    }),
    ...(regions.length > 0 && {
      regions: regions.map(({ clients, only }) => ({ prefixes: prefixes(clients), only: numbers(only) })),
    }),
    ...(service.policy === 'latency' && controlPercent > 0 && { controlShare: controlPercent / 100 }),
    ...(bindings.length > 0 && { bindings }),
  };
}

function planDebug({ dns }: Config): DesiredDebug {
  const { pinnedLabel, explainClients } = dns;
  return { ...(pinnedLabel !== '' && { pinnedLabel }), explainClients };
}

function planAllDown(rule: ServiceConfig['allDown']): AllDown {
  if (typeof rule === 'string') return { rule };
  return {
    rule: 'fallback',
    addresses: rule.fallback.map((text) => {
      const address = canonicalAddress(text)!;
      return { family: address.includes(':') ? 6 : 4, address };
    }),
  };
}

function hostName(name: string): string {
  return absoluteName(name)!.slice(0, -1);
}

function planHost(service: ServiceConfig): DesiredHost {
  const host = hostName(service.name);
  return {
    host,
    owner: 'config',
    secret: secretName(host),
    paths: service.routes.map(({ path, match, origin, timeoutMs }) => ({
      path: normalisePath(path),
      match,
      origin: origin ?? service.origin,
      timeoutMs,
    })),
  };
}

function planProbe(config: Config): DesiredProbe {
  const zone = config.probes.zone === undefined ? undefined : absoluteName(config.probes.zone);
  return { ...(zone && { zone }), sources: config.probes.sources };
}

// --- Desired state -------------------------------------------------------------------------------------------------

/** Everything but what a publication adds: version, time and serials. */
export type DesiredContent = Omit<DesiredState, 'version' | 'createdAtMs'>;

export interface ClassVip {
  readonly className: string;
  readonly pop: string;
  readonly address: string;
}

/** The desired state at this moment of every host's life. Zones have no serial yet: `withSerials`. */
export function assemble({ base }: Plan, phases: readonly HostPhase[], vips: readonly ClassVip[]): DesiredContent {
  const numbers = new Map(base.pops.map(({ id }, number) => [id, number]));
  const origins = new Map<string, DesiredOrigin>(base.origins.map((origin) => [origin.id, origin]));
  const services: DesiredService[] = [...base.services];
  const hosts: DesiredHost[] = [...base.hosts];
  const zoneNames = base.zones.map(({ origin }) => origin);
  for (const phase of [...phases].sort((a, b) => (a.programme.host < b.programme.host ? -1 : 1))) {
    const { host, owner, paths } = phase.programme;
    for (const origin of phase.programme.origins) if (!origins.has(origin.id)) origins.set(origin.id, origin);
    hosts.push({ host, owner, secret: secretName(host), paths });
    const service = serviceOf(phase, numbers);
    if (service !== undefined && zoneOf(service.name, zoneNames) !== undefined) services.push(service);
  }
  const desiredVips = vips.flatMap(({ className, pop, address }): DesiredVip[] => {
    const number = numbers.get(pop);
    return number === undefined ? [] : [{ pop: number, address, owner: `class/${className}` }];
  });
  return {
    format: desiredFormat,
    pops: base.pops,
    origins: [...origins.values()],
    zones: base.zones,
    services,
    hosts,
    vips: desiredVips.sort((a, b) => a.pop - b.pop || (a.address < b.address ? -1 : 1)),
    probe: base.probe,
    room: base.room,
    debug: base.debug,
  };
}

/** A host on its way out has a route but no service any more. Answered, it has only PoPs that have its route. */
function serviceOf(phase: HostPhase, numbers: ReadonlyMap<string, number>): DesiredService | undefined {
  const { programme, state } = phase;
  if (state === 'withdrawing' || state === 'draining') return undefined;
  const answered = isAnswered(phase);
  const candidates = programme.candidates.flatMap(({ pop, address }): Candidate[] => {
    const number = numbers.get(pop);
    if (number === undefined || (answered && phase.pops[pop]?.isApplied !== true)) return [];
    return [{ pop: number, ...(address.includes(':') ? { v6: address } : { v4: address }) }];
  });
  if (candidates.length === 0) return undefined;
  return {
    id: `${programme.owner}/${programme.host}`,
    name: `${programme.host}.`,
    owner: programme.owner,
    answered,
    policy: 'latency',
    candidates,
    origin: mainOrigin(programme),
    k: 3,
    answers: 1,
    ttlSecondsMin: programme.ttlSecondsMin,
    ttlSecondsMax: programme.ttlSecondsMax,
    allDown: { rule: 'serve-preferred' },
  };
}

/** The origin that the choice of a PoP reckons with: that of `/`, else of the first path. */
function mainOrigin({ paths, owner }: HostProgramme): string {
  const root = paths.find(({ path, match, origin }) => path === '/' && match === 'prefix' && origin !== undefined);
  return (root ?? paths.find(({ origin }) => origin !== undefined))?.origin ?? owner;
}

/** The content with its SOA serials, ready to be sealed. */
export function finish(
  content: DesiredContent,
  serial: number,
  publication: Pick<DesiredState, 'version' | 'createdAtMs'>,
): DesiredState {
  return { ...content, ...publication, zones: content.zones.map((zone) => withSerial(zone, serial)) };
}
