/**
 * The configuration, `ufes.yaml`: its TypeBox schema gives the types, the validator and the published JSON Schema.
 * Things are maps keyed by their id, so that an id cannot be used twice. Units stand last in names.
 * Defaults are here and nowhere else. Cross-field rules: check.ts. Reading with positions: shared/io/config-file.ts.
 */
import { type Static, type TSchema, Type } from 'typebox';
import { limits } from '../limits.ts';

const closed = { additionalProperties: false } as const;
const id = '^[a-z][a-z0-9-]{0,30}$';
/** Schema of a map keyed by id. */
const byId = <T extends TSchema>(value: T) =>
  Type.Record(Type.String({ pattern: id }), value, { additionalProperties: false });
const text = (description: string, options: object = {}) => Type.String({ description, ...options });
const address = text('IP address', { minLength: 2, maxLength: 45 });
const endpoint = text('ADDRESS:PORT, [v6]:PORT', { pattern: '^(\\[[0-9a-fA-F:.]+\\]|[0-9.]+):[0-9]{1,5}$' });
const port = (description: string, value: number) =>
  Type.Integer({ description, minimum: 1, maximum: 65535, default: value });
const location = Type.Tuple(
  [Type.Number({ minimum: -90, maximum: 90 }), Type.Number({ minimum: -180, maximum: 180 })],
  {
    description: 'latitude, longitude in degrees',
  },
);
const seconds = (description: string, minimum: number, maximum: number, value?: number) =>
  Type.Integer({ description, minimum, maximum, unit: 'seconds', ...(value === undefined ? {} : { default: value }) });
const dnsName = text('domain name', { minLength: 1, maxLength: 254 });

const proxyWord = Type.Optional(
  Type.Union([Type.Literal('v2'), Type.Literal('x-forwarded-for')], {
    description:
      'how trustedProxies say here whom they speak for: v2, a PROXY protocol header before each connection; x-forwarded-for, that header of each request',
  }),
);

export const popSchema = Type.Object(
  {
    title: Type.Optional(text('shown to people; default: the id')),
    location,
    vips: Type.Object(
      { v4: Type.Optional(address), v6: Type.Optional(address) },
      { ...closed, description: 'addresses that services of ufes.yaml use here' },
    ),
    pool: Type.Optional(text('prefix from which VIPs for Kubernetes objects are taken, e.g. 192.0.2.16/28')),
    ports: Type.Object(
      { https: port('TLS listener on each VIP', 443), http: port('clear-text listener: redirects to https', 80) },
      { ...closed, default: {} },
    ),
    capacity: Type.Object(
      {
        requestsPerSecond: Type.Integer({ minimum: 1, default: 10_000 }),
        connections: Type.Optional(Type.Integer({ minimum: 1, description: 'client connections held at a time' })),
      },
      { ...closed, default: {}, description: 'what the PoP can carry; load is measured against it' },
    ),
    proxy: proxyWord,
    backboneRttMs: Type.Optional(
      Type.Record(Type.String(), Type.Number({ minimum: 0, maximum: 2_000 }), {
        description: 'known round trip to an origin, by origin id; else measured or estimated',
      }),
    ),
  },
  closed,
);

export const originSchema = Type.Object(
  {
    location,
    endpoints: Type.Array(
      text('http://ADDRESS:PORT of a server of this cluster', {
        pattern: '^http://(\\[[0-9a-fA-F:.]+\\]|[0-9.]+):[0-9]{1,5}$',
      }),
      { minItems: 1, maxItems: 1000 },
    ),
    healthPath: Type.String({ description: 'GET here must answer 2xx', default: '/healthz' }),
    probeUrl: Type.Optional(
      text('https URL at this cluster that beacons may time, for the direct path', { pattern: '^https://' }),
    ),
  },
  closed,
);

export const recordSchema = Type.Object(
  {
    name: text('relative to the zone; @ is the zone itself'),
    type: text('A, AAAA, CNAME, TXT, MX, NS, SRV, CAA, …'),
    ttl: Type.Optional(seconds('default: the zone’s', 0, 604_800)),
    data: text('presentation form, as in a master file'),
  },
  closed,
);

export const zoneSchema = Type.Object(
  {
    file: Type.Optional(text('master file (RFC 1035 §5) instead of the keys below; relative to this file')),
    ttl: seconds('default TTL', 0, 604_800, 300),
    soa: Type.Optional(
      Type.Object(
        {
          primary: text('name of the primary server (MNAME)'),
          contact: text('mailbox as a domain name (RNAME)'),
          refresh: seconds('', 1, 604_800, 7200),
          retry: seconds('', 1, 604_800, 900),
          expire: seconds('', 1, 4_838_400, 1_209_600),
          minimum: seconds('TTL of negative answers', 0, 86_400, 60),
        },
        closed,
      ),
    ),
    ns: Type.Optional(Type.Array(dnsName, { minItems: 1, maxItems: 16, description: 'name servers of the zone' })),
    records: Type.Array(recordSchema, { default: [] }),
  },
  closed,
);

export const routeSchema = Type.Object(
  {
    path: Type.String({ default: '/', pattern: '^/', description: 'path that begins with /' }),
    match: Type.Union([Type.Literal('prefix'), Type.Literal('exact')], {
      default: 'prefix',
      description: 'prefix is by path element',
    }),
    origin: Type.Optional(text('origin id; default: the service’s')),
    timeoutMs: Type.Integer({ minimum: 1, maximum: 3_600_000, default: limits.edge.responseMs }),
  },
  closed,
);

const clients = (options: object = {}) =>
  Type.Array(text('prefix, or the id of a list in prefixLists', { minLength: 1, maxLength: 49 }), {
    minItems: 1,
    maxItems: limits.config.prefixes,
    ...options,
  });
const percent = (description: string, options: object = {}) =>
  Type.Number({ description, minimum: 0, maximum: 100, ...options });

const overrideSchema = Type.Object(
  {
    clients: clients(),
    pops: Type.Array(Type.String(), { minItems: 1, maxItems: limits.config.pops, description: 'best first' }),
    pin: Type.Boolean({ default: false, description: 'hold to it even when the PoP is down' }),
  },
  closed,
);

const shareSchema = Type.Object(
  {
    pop: text('PoP id'),
    percent: percent('of the clients that no share before it took'),
    clients: Type.Optional(clients({ description: 'default: everyone' })),
  },
  closed,
);

const regionSchema = Type.Object(
  {
    clients: clients(),
    only: Type.Array(Type.String(), { minItems: 1, description: 'allow-list for these clients, beside the service’s' }),
  },
  closed,
);

const bindingSchema = Type.Object(
  {
    type: Type.Union([Type.Literal('HTTPS'), Type.Literal('SVCB')]),
    data: text('presentation form without hints, e.g. 1 . alpn=h2', { minLength: 1, maxLength: 1_000 }),
  },
  closed,
);

export const serviceCheckSchema = Type.Object(
  {
    kind: Type.Union(
      [
        Type.Literal('readiness'),
        Type.Literal('tcp'),
        Type.Literal('http'),
        Type.Literal('https'),
        Type.Literal('load'),
      ],
      { default: 'readiness', description: 'beside the readiness of the edge, which is always checked' },
    ),
    port: Type.Optional(Type.Integer({ description: 'default: the PoP’s', minimum: 1, maximum: 65535 })),
    path: Type.String({ default: '/', pattern: '^/', description: 'http, https: what is fetched' }),
    status: Type.Array(Type.Integer({ minimum: 200, maximum: 599 }), {
      default: [],
      maxItems: 16,
      description: 'http, https: statuses that are well; empty: any 2xx',
    }),
    body: Type.Optional(text('http, https: text that the body contains', { minLength: 1, maxLength: 200 })),
    maxPercent: Type.Number({
      default: 100,
      exclusiveMinimum: 0,
      maximum: 1_000,
      description: 'load: percent of the capacity, above it the check fails',
    }),
  },
  { ...closed, default: {}, description: 'what vantages check of this service at each PoP' },
);

export const serviceSchema = Type.Object(
  {
    name: text('steered name, e.g. www.shop.example', { minLength: 1, maxLength: 253 }),
    pops: Type.Array(Type.String(), {
      minItems: 1,
      maxItems: limits.config.pops,
      description: 'candidates; their order is the default list',
    }),
    only: Type.Optional(
      Type.Array(Type.String(), {
        minItems: 1,
        description: 'allow-list that no fall-back, spill or all-down rule may break',
      }),
    ),
    origin: text('origin id'),
    policy: Type.Union([Type.Literal('latency'), Type.Literal('geo')], {
      default: 'latency',
      description: 'latency: measurements, then distance; geo: distance alone',
    }),
    connectionShare: Type.Number({
      minimum: 0,
      maximum: 1,
      default: 1,
      description: 'share of requests on new connections; cost = (1 + 2·share) · client leg + backbone leg',
    }),
    ignoreSubnet: Type.Boolean({
      default: false,
      description: 'place clients by their resolver, whatever subnet it tells',
    }),
    overrides: Type.Array(overrideSchema, {
      default: [],
      description: 'PoPs for some clients, before any ranking; the longest prefix wins',
    }),
    shares: Type.Array(shareSchema, {
      default: [],
      maxItems: 16,
      description: 'parts of the clients for a PoP; always the same clients',
    }),
    regions: Type.Array(regionSchema, { default: [], description: '"only" for some clients; the longest prefix wins' }),
    controlPercent: percent('of clients steered by distance alone, to compare with; others every week', { default: 1 }),
    bindings: Type.Array(bindingSchema, {
      default: [],
      maxItems: 8,
      description: 'HTTPS and SVCB records; their hints are the addresses of the chosen PoP',
    }),
    answers: Type.Integer({ minimum: 1, maximum: 8, default: 1, description: 'addresses in an answer' }),
    ttl: Type.Object(
      { min: seconds('while a change is in sight', 0, 86_400, 5), max: seconds('in quiet times', 0, 86_400, 60) },
      { ...closed, default: {} },
    ),
    allDown: Type.Union(
      [
        Type.Literal('serve-preferred'),
        Type.Literal('nodata'),
        Type.Object({ fallback: Type.Array(address, { minItems: 1, maxItems: 8 }) }, closed),
      ],
      {
        default: 'serve-preferred',
        description: 'what to answer when no candidate is up',
      },
    ),
    check: serviceCheckSchema,
    routes: Type.Array(routeSchema, { default: [{}], minItems: 1 }),
    tls: Type.Union(
      [Type.Literal('internal'), Type.Object({ certificate: text('PEM file'), key: text('PEM file') }, closed)],
      {
        default: 'internal',
        description: 'internal: issued by the CA in the state folder',
      },
    ),
  },
  closed,
);

const probeListener = Type.Object(
  {
    address: endpoint,
    proxy: proxyWord,
    source: Type.String({ default: 'rum', pattern: id, description: 'name under which evidence from here is kept' }),
    tls: Type.Boolean({ default: false, description: 'serve https with a certificate of the internal CA' }),
  },
  closed,
);

const updateUrl = Type.String({
  pattern: '^https?://[^\\s]+$',
  description: 'http(s) URL of an mmdb, plain or .gz; USER:PASSWORD@ is sent as basic authentication',
});

export const configSchema = Type.Object(
  {
    state: Type.String({
      default: '.ufes',
      description: 'folder for the store, kept artefacts, keys and sockets; relative to this file',
    }),
    store: Type.String({
      default: 'embedded',
      maxLength: 2_000,
      description: 'embedded, or the URL of a Redis: docs/redis.md',
    }),
    listeners: Type.Object(
      {
        dns: Type.Array(endpoint, { default: ['127.0.0.1:5300'], description: 'UDP and TCP' }),
        probe: Type.Array(probeListener, { default: [{ address: '127.0.0.1:8091' }] }),
        dashboard: Type.Optional(endpoint),
      },
      { ...closed, default: {} },
    ),
    trustedProxies: Type.Array(text('address or prefix of load balancers, e.g. 192.0.2.0/24', { maxLength: 49 }), {
      default: [],
      maxItems: limits.config.trustedProxies,
      description: 'who is believed about whom it speaks for, where a "proxy" key says how; else a client is the peer',
    }),
    geoip: Type.Object(
      {
        city: Type.String({ default: 'builtin', description: 'builtin (DB-IP city lite) or a path to an mmdb' }),
        asn: Type.String({ default: 'builtin', description: 'builtin (CSV package), none, or a path to an mmdb' }),
        update: Type.Optional(
          Type.Object(
            {
              city: Type.Optional(updateUrl),
              asn: Type.Optional(updateUrl),
              everyHours: Type.Number({
                minimum: 1,
                maximum: 744,
                default: 24,
                description: 'hours between looks for a new edition',
              }),
            },
            {
              ...closed,
              description: 'mmdb files to fetch and keep up to date; until they are there, city and asn count',
            },
          ),
        ),
      },
      { ...closed, default: {} },
    ),
    pops: byId(popSchema),
    origins: byId(originSchema),
    zones: Type.Record(dnsName, zoneSchema, { default: {} }),
    services: byId(serviceSchema),
    prefixLists: Type.Record(
      Type.String({ pattern: id }),
      Type.Array(text('prefix, e.g. 192.0.2.0/24', { maxLength: 49 }), {
        minItems: 1,
        maxItems: limits.config.prefixes,
      }),
      { additionalProperties: false, default: {} },
    ),
    room: Type.Object(
      {
        softPercent: percent('of capacity: up to here a PoP takes every client it is best for', { default: 80 }),
        hardPercent: percent('of capacity: what a PoP is held at when more would come', { default: 95 }),
      },
      { ...closed, default: {} },
    ),
    dns: Type.Object(
      {
        udp: Type.Union([Type.Literal('batched'), Type.Literal('dgram')], {
          default: 'batched',
          description: 'batched: system calls for many packets, on Linux; elsewhere, and with dgram: one at a time',
        }),
        threads: Type.Optional(
          Type.Integer({
            minimum: 1,
            maximum: limits.dns.threads,
            description: 'that answer UDP; default: one a core',
          }),
        ),
        queryLog: Type.Optional(
          Type.Object(
            {
              file: text('lines of JSON; relative to this file'),
              every: Type.Integer({
                minimum: 1,
                maximum: 1_000_000_000,
                default: 1_000,
                description: 'one query in so many',
              }),
            },
            { ...closed, description: 'sample of the queries and their answers' },
          ),
        ),
        pinnedLabel: Type.String({
          default: '{pop}',
          pattern: '^([a-z0-9-]*\\{pop\\}[a-z0-9-]*)?$',
          maxLength: 30,
          description: 'label before a steered name that names one PoP, {pop} stands for its id; empty: no such names',
        }),
        explainClients: Type.Array(text('prefix', { maxLength: 49 }), {
          default: ['127.0.0.0/8', '::1/128'],
          description: 'who may ask for TXT of _ufes-explain.NAME; by the address that asks',
        }),
        nsid: Type.Optional(text('name server id for who asks (RFC 5001)', { maxLength: limits.dns.serverIdBytes })),
        chaos: Type.Object(
          {
            version: Type.Optional(
              text('answer to version.bind and version.server', { maxLength: limits.dns.serverIdBytes }),
            ),
            id: Type.Optional(text('answer to id.server and hostname.bind', { maxLength: limits.dns.serverIdBytes })),
          },
          { ...closed, default: {}, description: 'names of class CHAOS; without an answer they are refused' },
        ),
        cookies: Type.Boolean({ default: true, description: 'DNS cookies (RFC 7873, 9018)' }),
        rateLimit: Type.Object(
          {
            answersPerSecond: Type.Integer({
              minimum: 0,
              maximum: 1_000_000,
              default: 1_000,
              description: 'over UDP to one client network, /24 or /56; 0: no limit',
            }),
            slip: Type.Integer({
              minimum: 1,
              maximum: 100,
              default: 2,
              description: 'of the queries over it, one in this many is told to use TCP',
            }),
          },
          { ...closed, default: {}, description: 'not for clients with a valid cookie, nor over TCP' },
        ),
        udpBytesWithoutCookie: Type.Integer({
          minimum: 0,
          maximum: limits.dns.udpBytes,
          default: limits.dns.udpBytes,
          description: 'longer answers over UDP are truncated for clients without a valid cookie; 0: all are',
        }),
      },
      { ...closed, default: {}, description: 'how names are answered, whatever the answer' },
    ),
    probes: Type.Object(
      {
        zone: Type.Optional(text('ID-POP.ZONE answers that PoP; must be at or below one of our zones')),
        sampleShare: Type.Number({
          minimum: 0,
          maximum: 1,
          default: 0.01,
          description: 'share of page views that measure',
        }),
        beaconsPerSecond: Type.Integer({
          minimum: 1,
          maximum: 1_000_000,
          default: 1_000,
          description: 'that a collector asks for; of more visitors those are asked where most is to be learnt',
        }),
        collectors: Type.Array(text('base URL of a collector, for plans'), { default: [] }),
        caps: Type.Object(
          {
            addressPerHour: Type.Integer({
              minimum: 0,
              maximum: 1_000_000,
              default: 60,
              description: 'beacons of one address (IPv6: /64); 0: no cap',
            }),
            prefixPerHour: Type.Integer({
              minimum: 0,
              maximum: 100_000_000,
              default: 10_000,
              description: 'beacons of one /24 or /48; 0: no cap',
            }),
          },
          {
            ...closed,
            default: {},
            description: 'what each collector takes at most, in hours that begin at another minute for each',
          },
        ),
        sources: Type.Array(Type.String({ pattern: id }), {
          default: ['rum', 'agent', 'edge'],
          description: 'sources that maps are built from',
        }),
        health: Type.Object(
          {
            intervalMs: Type.Integer({ minimum: 100, maximum: 60_000, default: limits.health.intervalMs }),
            timeoutMs: Type.Integer({ minimum: 50, maximum: 60_000, default: limits.health.timeoutMs }),
            failures: Type.Integer({
              minimum: 1,
              maximum: 100,
              default: limits.health.failures,
              description: 'to down',
            }),
            successes: Type.Integer({
              minimum: 1,
              maximum: 100,
              default: limits.health.successes,
              description: 'to up',
            }),
          },
          { ...closed, default: {} },
        ),
      },
      { ...closed, default: {} },
    ),
    kubernetes: Type.Optional(
      Type.Object(
        {
          objects: text(
            'watched folder of Ingress, Service, EndpointSlice and Secret documents; relative to this file',
          ),
          status: text('folder for status files; relative to this file'),
          ingressClass: Type.String({ default: 'ufes' }),
          pops: Type.Optional(
            Type.Array(Type.String(), {
              minItems: 1,
              description: 'PoPs that serve Ingresses; default: all with a pool',
            }),
          ),
          originLocation: Type.Optional(location),
          ttl: Type.Object(
            { min: seconds('while a change is in sight', 0, 86_400, 5), max: seconds('in quiet times', 0, 86_400, 60) },
            { ...closed, default: {}, description: 'of the names of Ingresses; a route outlives its record by max' },
          ),
        },
        closed,
      ),
    ),
  },
  { ...closed, $id: 'https://ufes.dev/schema/ufes.json', title: 'ufes.yaml' },
);

export type Config = Static<typeof configSchema>;
export type PopConfig = Static<typeof popSchema>;
export type OriginConfig = Static<typeof originSchema>;
export type ZoneConfig = Static<typeof zoneSchema>;
export type ServiceConfig = Static<typeof serviceSchema>;

/** One thing wrong with a configuration: where (JSON pointer segments), and what would be right. */
export interface ConfigProblem {
  readonly path: readonly (string | number)[];
  /** Points at the key itself rather than at its value. */
  readonly atKey?: boolean;
  /** The other place of a conflict; its position is added to the message. */
  readonly other?: readonly (string | number)[];
  /** In a zone's master file instead: key of the zone, line from 1. */
  readonly zoneFile?: { readonly zone: string; readonly line: number };
  readonly message: string;
}
