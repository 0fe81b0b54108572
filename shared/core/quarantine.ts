/**
 * What was measured and does not count, as it is told: by collectors, what they refused; by the mapper, what is set aside,
 * kept in quarantine, or makes a place disputed. Reasons in words: quarantine-words.ts.
 */
import { type Static, Type } from 'typebox';

const ms = (description: string) => Type.Number({ description });

export const refusedPrefixSchema = Type.Object({
  prefix: Type.String(),
  reason: Type.String(),
  source: Type.String(),
  count: Type.Integer(),
  firstAtMs: Type.Number(),
  lastAtMs: Type.Number(),
});
export type RefusedPrefix = Static<typeof refusedPrefixSchema>;

/** probe GET /refused. */
export const refusedSchema = Type.Object({
  sinceMs: ms('counted since'),
  reasons: Type.Array(
    Type.Object({
      reason: Type.String(),
      total: Type.Integer({ description: 'since `sinceMs`' }),
      day: Type.Integer({ description: 'in the last 24 hours' }),
    }),
  ),
  prefixes: Type.Array(refusedPrefixSchema, { description: 'refused most, first' }),
});
export type Refused = Static<typeof refusedSchema>;

const place = Type.Optional(Type.String({ description: 'as GeoIP has it' }));

/** A prefix of which clients timed something faster than light allows from where GeoIP has it. */
export const quarantinedPrefixSchema = Type.Object({
  prefix: Type.String(),
  place,
  asn: Type.Optional(Type.String({ description: 'number and name' })),
  isDisputed: Type.Boolean({
    description: 'edges say too that it is nearer: from now on nothing is put in quarantine',
  }),
  /** One for each PoP, the one with most samples first. */
  claims: Type.Array(
    Type.Object({
      target: Type.String(),
      samples: Type.Integer(),
      ms: ms('25th percentile of what was claimed'),
      floorMs: Type.Optional(ms('quickest that its place allows')),
      lastAtMs: Type.Number(),
    }),
  ),
});
export type QuarantinedPrefix = Static<typeof quarantinedPrefixSchema>;

/** A prefix that edges timed nearer than light allows: GeoIP is wrong about it. */
export const disputedPrefixSchema = Type.Object({
  prefix: Type.String(),
  place,
  asn: Type.Optional(Type.String()),
  target: Type.String({ description: 'the PoP that is farthest below its floor' }),
  samples: Type.Integer(),
  ms: ms('25th percentile, timed by the edge'),
  floorMs: ms('quickest that its place allows'),
  lastAtMs: Type.Number(),
});
export type DisputedPrefix = Static<typeof disputedPrefixSchema>;

const total = (description: string) => Type.Integer({ description });

/** mapper GET /quarantine. */
export const heldApartSchema = Type.Object({
  atMs: Type.Number(),
  quarantined: Type.Object({
    prefixes: total('that have anything in quarantine'),
    samples: Type.Integer(),
    rows: Type.Array(quarantinedPrefixSchema, { description: 'newest first' }),
  }),
  disputed: Type.Object({ prefixes: Type.Integer(), rows: Type.Array(disputedPrefixSchema) }),
  loose: Type.Object({
    prefixes: total('with evidence from plans of another prefix of their AS'),
    samples: Type.Integer(),
    outranked: total('of those prefixes, where an edge has timed and it counts for nothing'),
  }),
  aside: Type.Object({
    sinceMs: ms('counted since'),
    reasons: Type.Array(Type.Object({ reason: Type.String(), total: Type.Integer() })),
    rows: Type.Array(
      Type.Object({
        atMs: Type.Number(),
        reason: Type.String(),
        shard: Type.Integer(),
        collector: Type.String(),
        seq: Type.Integer(),
        text: Type.String({ description: 'the beginning of it' }),
      }),
      { description: 'newest first' },
    ),
  }),
});
export type HeldApart = Static<typeof heldApartSchema>;
