/**
 * What the dashboard shows, and what it reads of the others to show it.
 *
 *     dns    GET /state, /answers?since=SEQ ┐
 *     mapper GET /prefixes, /compare        ├─▶ dashboard ─▶ WorldState, CompareState ─▶ pages (GET /api/…, events)
 *     supervisor GET /status                ┘
 *
 * Schemas type both ends and make the OpenAPI document; `parse…` below check what another process sent. Readers ignore
 * keys they do not know, so that versions may differ by one while nodes are replaced. The pages import types alone.
 * Times are milliseconds, absolute ones since the epoch.
 */
import { type Static, type TSchema, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { JobReport, JobSummary } from './ports.ts';
import { heldApartSchema, refusedSchema } from './quarantine.ts';
import type { Publication, Reason } from './steering/publication.ts';

const count = (description?: string) => Type.Integer({ minimum: 0, ...(description ? { description } : {}) });
const ms = (description: string) => Type.Number({ minimum: 0, description });
const degrees = Type.Number({ minimum: -180, maximum: 180 });

export const popStateSchema = Type.Union([
  Type.Literal('unknown'),
  Type.Literal('up'),
  Type.Literal('down'),
  Type.Literal('draining'),
]);
export type PopState = Static<typeof popStateSchema>;

export const artefactAgeSchema = Type.Object({
  version: Type.String(),
  ageSeconds: Type.Number({ description: 'since it was made' }),
});
export type ArtefactAge = Static<typeof artefactAgeSchema>;

// --- Read of dns ----------------------------------------------------------------------------------------------------

/** dns GET /state: what it answers by. `pops` by id; those it does not know are absent. */
export const dnsStateSchema = Type.Object({
  pops: Type.Array(
    Type.Object({
      id: Type.String(),
      state: popStateSchema,
      sinceSeconds: Type.Number({ description: 'since the epoch; 0: unknown' }),
      loadPerMille: Type.Number({ description: 'of capacity' }),
      holdMs: Type.Optional(Type.Number({ description: 'the state can flip after this long; 0: no flip in sight' })),
    }),
  ),
  map: Type.Optional(artefactAgeSchema),
  desired: Type.Optional(artefactAgeSchema),
  listeners: Type.Optional(Type.Array(Type.String(), { description: 'ADDRESS:PORT it answers at' })),
});
export type DnsState = Static<typeof dnsStateSchema>;

/** One steered answer. `client` is the prefix it was decided for (ECS, else the resolver). */
export const dnsAnswerSchema = Type.Object({
  seq: Type.Integer({ description: 'dense, from 1, since the process started' }),
  atMs: Type.Number(),
  name: Type.String(),
  client: Type.String({ description: 'prefix, e.g. 192.0.2.0/24' }),
  pop: Type.Optional(Type.String({ description: 'first one answered; absent: fallback or an empty answer' })),
});
export type DnsAnswer = Static<typeof dnsAnswerSchema>;

/** dns GET /answers?since=SEQ: the answers after SEQ that it remembers, oldest first. `last` below SEQ: it restarted. */
export const dnsAnswersSchema = Type.Object({
  last: Type.Integer({ description: 'seq of the newest answer; 0: none yet' }),
  answers: Type.Array(dnsAnswerSchema),
});
export type DnsAnswers = Static<typeof dnsAnswersSchema>;

// --- Read of the mapper ---------------------------------------------------------------------------------------------

/** mapper GET /prefixes?limit=N: measured prefixes, those with most evidence first. */
export const mapperPrefixesSchema = Type.Object({
  total: count('measured prefixes, beyond the limit too'),
  prefixes: Type.Array(
    Type.Object({
      prefix: Type.String(),
      n: Type.Number({ description: 'effective samples, all targets together' }),
      ranking: Type.Array(Type.String(), { description: 'PoP ids, best first, of the first service' }),
      clientMs: Type.Record(Type.String(), Type.Number(), { description: 'estimated round trip to each PoP, by id' }),
    }),
  ),
});
export type MapperPrefixes = Static<typeof mapperPrefixesSchema>;

export const comparePathSchema = Type.Union([Type.Literal('direct'), Type.Literal('geo'), Type.Literal('steered')]);
/** direct: client to origin, no edge. geo: the edge nearest by GeoIP. steered: the edge that the map ranks first. */
export type ComparePath = Static<typeof comparePathSchema>;

export const compareSeriesSchema = Type.Object({
  path: comparePathSchema,
  count: count('users'),
  measured: count('users whose client leg on this path is measured; those of the rest are estimated'),
  meanMs: ms('mean'),
  p50Ms: ms('median'),
  p95Ms: ms('95th percentile'),
  p99Ms: ms('99th percentile'),
  quantilesMs: Type.Array(Type.Number(), {
    description: 'the i-th of N is the quantile i/(N−1): 0 the fastest user, N−1 the slowest; empty when count is 0',
  }),
});
export type CompareSeries = Static<typeof compareSeriesSchema>;

export const compareGroupSchema = Type.Object({
  country: Type.Optional(Type.String({ description: 'ISO 3166 code; absent: everyone, or unknown' })),
  count: count('users: measured prefixes, one vote each'),
  series: Type.Array(compareSeriesSchema, { description: 'direct, geo, steered: the same users in each' }),
});
export type CompareGroup = Static<typeof compareGroupSchema>;

/** mapper GET /compare[?service=ID]: modelled response time of the same users over three paths. */
export const compareStateSchema = Type.Object({
  atMs: Type.Number(),
  service: Type.String({ description: 'name of the service compared' }),
  origin: Type.String(),
  k: Type.Number({ description: 'response = k · client leg + backbone leg' }),
  backbone: Type.Union([Type.Literal('configured'), Type.Literal('measured'), Type.Literal('estimated')], {
    description: 'where PoP → origin times come from; estimated if any of them is',
  }),
  sources: Type.Array(Type.String(), { description: 'of the evidence' }),
  all: compareGroupSchema,
  countries: Type.Array(compareGroupSchema, { description: 'most users first' }),
});
export type CompareState = Static<typeof compareStateSchema>;

// --- Shown -----------------------------------------------------------------------------------------------------------

export const missingSchema = Type.Object({
  part: Type.String({ description: 'what of the page is missing or old' }),
  node: Type.String({ description: 'the process that has it' }),
  sinceMs: Type.Number(),
  why: Type.String(),
  todo: Type.String(),
});
export type Missing = Static<typeof missingSchema>;

export const worldPopSchema = Type.Object({
  id: Type.String(),
  title: Type.String(),
  latitude: degrees,
  longitude: degrees,
  state: popStateSchema,
  sinceMs: Type.Optional(Type.Number({ description: 'when it came into this state' })),
  loadPerMille: Type.Optional(Type.Number({ description: 'of capacity' })),
  capacity: Type.Number({ description: 'requests a second' }),
  vips: Type.Array(Type.String()),
});
export type WorldPop = Static<typeof worldPopSchema>;

export const recentAnswerSchema = Type.Object({
  seq: Type.Integer(),
  atMs: Type.Number(),
  name: Type.String(),
  client: Type.String(),
  country: Type.Optional(Type.String()),
  pop: Type.Optional(Type.String()),
});
export type RecentAnswer = Static<typeof recentAnswerSchema>;

export const worldAnswersSchema = Type.Object({
  windowSeconds: Type.Number(),
  total: count('steered answers in the window'),
  unseen: count('of them, those that dns had forgotten before they were read: in no row below'),
  byCountry: Type.Array(
    Type.Object({
      country: Type.Optional(Type.String({ description: 'ISO 3166 code; absent: not known' })),
      total: count(),
      byPop: Type.Record(Type.String(), count(), { description: 'by PoP id; the key "" is no PoP' }),
    }),
  ),
  recent: Type.Array(recentAnswerSchema, { description: 'newest first' }),
});
export type WorldAnswers = Static<typeof worldAnswersSchema>;

/** A measured prefix on the map. */
export const worldUserSchema = Type.Object({
  prefix: Type.String(),
  latitude: degrees,
  longitude: degrees,
  place: Type.Optional(Type.String()),
  country: Type.Optional(Type.String()),
  n: Type.Number(),
  pop: Type.Optional(Type.String({ description: 'first of its ranking that is not down or draining' })),
  ms: Type.Optional(ms('estimated round trip to that PoP')),
});
export type WorldUser = Static<typeof worldUserSchema>;

export const worldStateSchema = Type.Object({
  atMs: Type.Number(),
  pops: Type.Array(worldPopSchema),
  origins: Type.Array(Type.Object({ id: Type.String(), latitude: degrees, longitude: degrees })),
  services: Type.Array(Type.String(), { description: 'steered names' }),
  answers: worldAnswersSchema,
  users: Type.Array(worldUserSchema),
  usersTotal: count('measured prefixes; more than `users` when there are many'),
  versions: Type.Object({
    map: Type.Optional(artefactAgeSchema),
    desired: Type.Optional(artefactAgeSchema),
    geoip: Type.Optional(Type.String({ description: 'name and date' })),
  }),
  missing: Type.Array(missingSchema),
  attribution: Type.Array(Type.Object({ text: Type.String(), href: Type.Optional(Type.String()) })),
});
export type WorldState = Static<typeof worldStateSchema>;

const reasonSchema = Type.Object({ guard: Type.Unsafe<Reason['guard']>(Type.String()), text: Type.String() });
const heldSchema = Type.Object({
  sinceMs: Type.Number(),
  reasons: Type.Array(reasonSchema),
  wanted: Type.Number({ description: 'share of demand, 0 to 1' }),
});
/** What more there is in one: core/steering/publication.ts. */
const publicationSchema = Type.Unsafe<Publication>(
  Type.Object({ atMs: Type.Number(), kind: Type.String(), reasons: Type.Array(reasonSchema) }),
);

/** mapper GET /history. */
export const mapperHistorySchema = Type.Object({
  held: Type.Optional(heldSchema),
  publications: Type.Array(publicationSchema, { description: 'newest first' }),
});

/** GET /api/changes. `held`: the newest map is held now, and why. */
export const mapChangesSchema = Type.Object({
  ...mapperHistorySchema.properties,
  missing: Type.Array(missingSchema),
});
export type MapChanges = Static<typeof mapChangesSchema>;

export const rollupHourSchema = Type.Object({
  hourMs: ms('when the hour began'),
  atMs: ms('when it was last taken'),
  paths: Type.Array(
    Type.Object({
      service: Type.String(),
      path: comparePathSchema,
      users: count('prefixes, one vote each'),
      measured: count('of them, those of whom the leg was measured'),
      meanMs: ms('modelled response time'),
      p50Ms: ms('modelled response time'),
      p95Ms: ms('modelled response time'),
    }),
  ),
  pairs: Type.Array(
    Type.Object({
      country: Type.Optional(Type.String({ description: 'ISO 3166-1 alpha-2; absent: not known' })),
      pop: Type.String(),
      samples: count('ever, not decayed: the difference of two hours is what came between'),
      p50Ms: ms('round trip, as it counts now'),
      p95Ms: ms('round trip, as it counts now'),
    }),
  ),
});
/** GET /rollup of the mapper: oldest first. */
export const rollupSchema = Type.Object({ hours: Type.Array(rollupHourSchema) });
/** GET /api/trend. */
export const trendSchema = Type.Object({ hours: Type.Array(rollupHourSchema), missing: Type.Array(missingSchema) });
export type Trend = Static<typeof trendSchema>;
export type RollupHour = Static<typeof rollupHourSchema>;
export type RollupPath = RollupHour['paths'][number];
export type RollupPair = RollupHour['pairs'][number];

const jobStateSchema = Type.Union([Type.Literal('waiting'), Type.Literal('running'), Type.Literal('dead')]);
export const jobReportSchema = Type.Object({
  name: Type.String(),
  id: Type.String(),
  data: Type.Unknown(),
  attempt: Type.Integer(),
  state: jobStateSchema,
  atMs: Type.Number({ description: 'when it may run, began, or was given up' }),
  reason: Type.Optional(Type.String({ description: 'why the last attempt failed' })),
});
export const jobSummarySchema = Type.Object({
  name: Type.String(),
  waiting: Type.Integer(),
  running: Type.Integer(),
  dead: Type.Integer(),
  schedules: Type.Array(Type.Object({ id: Type.String(), everyMs: Type.Number(), nextMs: Type.Number() })),
  done: Type.Optional(Type.Object({ id: Type.String(), atMs: Type.Number(), tookMs: Type.Number() })),
});

/** GET /api/jobs, and GET /jobs of a node's socket. */
export const jobsStateSchema = Type.Object({
  atMs: Type.Number(),
  summary: Type.Array(jobSummarySchema),
  jobs: Type.Array(jobReportSchema, { description: 'newest first' }),
});
export interface JobsState {
  readonly atMs: number;
  readonly summary: readonly JobSummary[];
  readonly jobs: readonly JobReport[];
}

/** GET /api/compare. `compare` absent: the mapper has not answered yet (`missing` says why), or nothing is measured. */
export const compareAnswerSchema = Type.Object({
  compare: Type.Optional(compareStateSchema),
  missing: Type.Array(missingSchema),
});
export type CompareAnswer = Static<typeof compareAnswerSchema>;

export const nodeStatusSchema = Type.Object({
  node: Type.String(),
  state: Type.String({ description: 'ready, running, not ready, stopped, restarting, held, unreachable' }),
  why: Type.Optional(Type.String()),
  pid: Type.Optional(Type.Integer()),
  uptimeSeconds: Type.Optional(Type.Number()),
  rssBytes: Type.Optional(Type.Number()),
  restarts: Type.Optional(Type.Integer()),
});
export type NodeStatus = Static<typeof nodeStatusSchema>;

/** GET /api/status. */
export const statusStateSchema = Type.Object({
  atMs: Type.Number(),
  nodes: Type.Array(nodeStatusSchema),
  missing: Type.Array(missingSchema),
});
export type StatusState = Static<typeof statusStateSchema>;

/** GET /api/quarantine. Absent parts: `missing` says why. */
export const apartStateSchema = Type.Object({
  atMs: Type.Number(),
  refused: Type.Optional(refusedSchema),
  apart: Type.Optional(heldApartSchema),
  missing: Type.Array(missingSchema),
});
export type ApartState = Static<typeof apartStateSchema>;

/**
 * What GET /api/events sends. Each event holds the whole of its kind, so a gap loses nothing: `world` every second
 * (it is the heartbeat too), `users` and `compare` when they changed.
 */
export type LiveEvent =
  | { readonly type: 'world'; readonly data: Omit<WorldState, 'users'> }
  | { readonly type: 'users'; readonly data: readonly WorldUser[] }
  | { readonly type: 'compare'; readonly data: CompareAnswer };

// --- Checks ----------------------------------------------------------------------------------------------------------

/** The value when it has the schema's shape; else throws an Error that says where it has not. */
function parser<T extends TSchema>(what: string, schema: T): (value: unknown) => Static<T> {
  const check = Compile(schema);
  return (value) => {
    if (check.Check(value)) return value;
    const first = check.Errors(value)[0];
    throw new Error(`${what}: ${first?.instancePath || '/'} ${first?.message ?? 'has another shape'}`);
  };
}

export const parseDnsState = parser('/state of dns', dnsStateSchema);
export const parseDnsAnswers = parser('/answers of dns', dnsAnswersSchema);
export const parseMapperPrefixes = parser('/prefixes of mapper', mapperPrefixesSchema);
export const parseMapperHistory = parser('/history of mapper', mapperHistorySchema);
export const parseRollup = parser('/rollup of mapper', rollupSchema);
export const parseCompareState = parser('/compare of mapper', compareStateSchema);
export const parseRefused = parser('/refused of probe', refusedSchema);
export const parseHeldApart = parser('/quarantine of mapper', heldApartSchema);
