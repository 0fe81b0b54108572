/**
 * What the mapper says on its admin socket.
 *
 *     GET /evidence?client=IP[&service=NAME]   Evidence: estimates by PoP, with costs when a service is named
 *     GET /compare[?service=NAME]              CompareState (core/dashboard.ts)
 *     GET /prefixes?limit=N                    MapperPrefixes
 *     GET /population?resolver=IP              which clients use a resolver: PopulationOf (core/populations.ts)
 *     GET /state                               prefixes, samples, lag, builds, what was set aside
 */
import type { CompareState, MapperPrefixes } from '@ufes/core/dashboard.ts';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { formatAddress, formatPrefix, parseAddress, prefixOf } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import { formatVersion } from '@ufes/core/version.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import type { Builder, Current } from './builder.ts';
import { compare, prefixText } from './compare.ts';
import type { Folder } from './fold.ts';
import type { Forecasts } from './forecasts.ts';
import { guardsOf } from './guards.ts';
import { evidenceOf, groupIndexOf, serviceOf, tenth } from './model.ts';
import type { PopulationKeeper } from './populations.ts';
import { doubtsOf } from './quarantine.ts';

/** Filled in while the mapper starts. */
export interface Running {
  folder?: Folder;
  builder?: Builder;
  forecasts?: Forecasts;
  populations?: PopulationKeeper;
}

type Query = Readonly<Record<string, string | undefined>>;

export function registerEvidenceApi({ admin, clock }: ServiceContext, running: Running): void {
  const compared = new Map<string, CompareState>();

  admin.get('/evidence', ({ query }) => {
    const { client: text = '', service: name } = query as Query;
    const client = parseAddress(text);
    if (client === undefined)
      throw new OperatingError('REQUEST_INVALID', `client: ${text || 'missing'} is no IP address`);
    const current = currentOf(running);
    const service = name === undefined ? undefined : known(current, name);
    const evidence = evidenceOf(current, client, service);
    const guards = service === undefined ? {} : guardsOf(current, client, groupIndexOf(current, service));
    const doubts = doubtsOf(current, folderOf(running).table, client);
    return { ...evidence, ...(Object.keys(guards).length > 0 && { guards }), ...doubts };
  });

  admin.get('/compare', ({ query }) => {
    const { service: name } = query as Query;
    const current = currentOf(running);
    const service = known(current, name);
    const nowMs = clock.nowMs();
    const last = compared.get(service.id);
    if (last !== undefined && Math.abs(nowMs - last.atMs) < limits.mapper.answerMs) return last;
    const answer = compare(current, folderOf(running).table, service, nowMs);
    if (answer === undefined) throw new OperatingError('NOT_FOUND', `${service.name} has no PoPs to compare`);
    if (compared.size >= limits.mapper.services) compared.clear();
    compared.set(service.id, answer);
    return answer;
  });

  admin.get('/prefixes', ({ query }) => {
    const limit = Number((query as Query)['limit'] ?? 100);
    if (!(Number.isInteger(limit) && limit >= 0 && limit <= limits.mapper.prefixesShown)) {
      throw new OperatingError(
        'REQUEST_INVALID',
        `limit: a whole number up to ${limits.mapper.prefixesShown} would be right`,
      );
    }
    return prefixesOf(currentOf(running), limit);
  });

  admin.get('/population', ({ query }) => {
    const { resolver: text = '' } = query as Query;
    const address = parseAddress(text);
    if (address === undefined) {
      throw new OperatingError('REQUEST_INVALID', `resolver: ${text || 'missing'} is no IP address`);
    }
    const resolver = address.family === 4 ? formatAddress(address) : formatPrefix(prefixOf(address, 64));
    const population = running.populations?.populations.of(resolver);
    if (population === undefined) throw new OperatingError('NOT_FOUND', `nobody was seen to use ${resolver}`);
    return { resolver, ...population };
  });

  admin.get('/state', () => stateOf(running));
}

function currentOf({ builder }: Running): Current {
  if (builder?.current !== undefined) return builder.current;
  throw new OperatingError('NOT_RUNNING', 'the mapper has no desired state yet; is the controller running?');
}

function folderOf({ folder }: Running): Folder {
  if (folder !== undefined) return folder;
  throw new OperatingError('NOT_RUNNING', 'the mapper is starting');
}

function known(current: Current, name: string | undefined) {
  const service = serviceOf(current, name);
  if (service !== undefined) return service;
  const names = current.desired.services.slice(0, 10).map((one) => one.name.replace(/\.$/, ''));
  throw new OperatingError('NOT_FOUND', `no service ${name ?? ''}; there are: ${names.join(', ') || 'none'}`);
}

function prefixesOf(current: Current, limit: number): MapperPrefixes {
  const { build, plan } = current;
  const { cells } = build;
  const service = serviceOf(current, undefined);
  const group = service === undefined ? -1 : groupIndexOf(current, service);
  const samples = Float32Array.from({ length: cells.count }, (_, row) =>
    cells.ownOf(row).n.reduce((sum, n) => sum + n, 0),
  );
  const most = Uint32Array.from(samples.keys()).sort((a, b) => samples[b]! - samples[a]!);
  const prefixes = Array.from(most.subarray(0, limit), (row) => {
    const { ms } = build.estimates(row);
    const clientMs: Record<string, number> = {};
    for (const [pop, id] of plan.pops.entries()) if (!Number.isNaN(ms[pop]!)) clientMs[id] = tenth(ms[pop]!);
    const ranking = group < 0 ? [] : Array.from(build.rankings(group, row).steered, (pop) => plan.pops[pop]!);
    return { prefix: prefixText(current, row), n: tenth(samples[row]!), ranking, clientMs };
  });
  return { total: cells.count, prefixes };
}

async function stateOf(running: Running) {
  const { folder, builder } = running;
  const lag = await folder?.lag().catch((thrown: unknown) => describeError(thrown));
  return {
    prefixes: folder?.table.prefixes ?? 0,
    keys: folder?.table.keys ?? 0,
    sketchBytes: folder?.table.bytes ?? 0,
    sketchBytesHeld: folder?.table.bytesHeld ?? 0,
    samplesFolded: folder?.samplesFolded ?? 0,
    quarantined: folder?.quarantined ?? 0,
    resolvers: running.populations?.populations.resolvers ?? 0,
    shardsHeld: folder?.shardsHeld() ?? 0,
    lag,
    lastBuildMs: tenth(builder?.lastBuildMs ?? 0),
    map:
      builder?.mapVersion === undefined
        ? undefined
        : { version: formatVersion(builder.mapVersion), bytes: builder.mapBytes },
    groups: builder?.current?.plan.groups.map(({ key }) => key) ?? [],
    sources: builder?.current?.plan.sources ?? [],
    geoip: builder?.current?.ground.label,
    rejected: folder?.rejected ?? [],
  };
}
