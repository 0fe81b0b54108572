/**
 * From artefacts to the tables in service: a new desired state or map is decoded and compiled beside what is in use, and
 * takes over by one assignment. What throws on the way leaves everything as it was (shared/io/artefact.ts then counts it
 * as corrupt and steps back).
 */
import { type DesiredState, desiredFormat } from '@ufes/core/desired.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import type { Log } from '@ufes/core/ports.ts';
import { decodeMap, type SteeringMap } from '@ufes/core/steering/map.ts';
import type { Version } from '@ufes/core/version.ts';
import type { Answerer } from './answer.ts';
import type { AnswerCounts } from './counters.ts';
import type { LiveFeed } from './live-feed.ts';
import { buildTables } from './tables.ts';
import { compileNames, type Names } from './zones.ts';

export interface Serving {
  readonly applyDesired: (payload: Uint8Array) => void;
  readonly applyMap: (payload: Uint8Array, version: Version) => void;
}

export interface ServingInit {
  readonly answerer: Answerer;
  readonly feed: Pick<LiveFeed, 'follow'>;
  readonly counts: AnswerCounts;
  readonly log: Log;
}

export function createServing({ answerer, feed, counts, log }: ServingInit): Serving {
  let map: SteeringMap | undefined;
  let mapVersion: Version | undefined;

  function serve(desired: DesiredState, names: Names): void {
    const live = feed.follow(desired);
    answerer.tables = buildTables({ desired, map, mapVersion, names, live, counts });
  }

  return {
    applyDesired(payload) {
      const desired = readDesired(payload);
      const names = compileNames(desired);
      serve(desired, names);
      for (const { service, reason } of names.unserved) log.warn({ service, reason }, 'dns: not answered');
      log.info({ zones: desired.zones.length, names: names.table.size }, 'dns: names in service');
    },
    applyMap(payload, version) {
      map = decodeMap(payload);
      mapVersion = version;
      const { tables } = answerer;
      if (tables !== undefined) serve(tables.desired, tables.names);
    },
  };
}

function readDesired(payload: Uint8Array): DesiredState {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(payload));
  } catch (cause) {
    throw new OperatingError('ARTEFACT_CORRUPT', 'desired state is no JSON', { cause });
  }
  const format = typeof value === 'object' && value !== null && 'format' in value ? value.format : undefined;
  if (format !== desiredFormat) {
    throw new OperatingError('ARTEFACT_CORRUPT', `desired state has format ${format}, expected ${desiredFormat}`);
  }
  return value as DesiredState;
}
