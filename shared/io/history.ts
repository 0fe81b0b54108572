/**
 * The past: versions of artefacts, judgements, and the live state that dns nodes decided by, for limits.history.keptMs.
 *
 *     publishArtefact ─▶ keepVersion ─▶ stream `map`, `desired`: the sealed header, and the payload, whole or as what changed
 *     mapper          ─▶              ─▶ stream `publish`: Publication
 *     dns             ─▶              ─▶ stream `live/NODE`: LiveBatch
 *
 *     openHistory(context)
 *       mapAt(atMs), mapOf(version)            the steering map that was newest then; its signature is checked again
 *       desiredAt(atMs), desiredOf(version)    the desired state
 *       liveAt(node, atMs)                     what the node decided by, and the versions it had applied
 *       nodes()                                nodes whose live state is kept
 *       publications({fromMs?, toMs?, limit})  newest first
 *
 * All resolve to undefined (or to nothing) for what is not kept, and reject with STORE_UNAVAILABLE, or ARTEFACT_CORRUPT
 * for what was kept and does not verify. To explain an answer of node N at time T:
 *
 *     live = liveAt(N, T); desired = desiredOf(live.applied.desired); map = mapOf(live.applied.map)
 *     decide(prepareService(…, map), viewOf(live.facts, desired), …)          (core/live-facts.ts)
 */
import { join } from 'node:path';
import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress, zstdDecompressSync } from 'node:zlib';
import { applyDelta, makeDelta } from '@ufes/core/delta.ts';
import { type DesiredState, decodeDesired } from '@ufes/core/desired.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import { factsAt, type LiveBatch, type LiveFacts } from '@ufes/core/live-facts.ts';
import type { ArtefactKind, HistoryRow } from '@ufes/core/ports.ts';
import type { SteeringMap } from '@ufes/core/steering/map.ts';
import { decodeMap } from '@ufes/core/steering/map-bytes.ts';
import type { Publication } from '@ufes/core/steering/publication.ts';
import { compareVersions, formatVersion, parseVersion, type Version } from '@ufes/core/version.ts';
import { sealedHeaderBytes, unseal } from './envelope.ts';
import { ensureSigningKeys } from './keys.ts';
import type { ServiceContext } from './service.ts';

type Parts = Pick<ServiceContext, 'state' | 'store'>;

const pack = promisify(zstdCompress);
const unpack = promisify(zstdDecompress);

// --- Reading -------------------------------------------------------------------------------------------------------

export interface MapThen {
  readonly version: Version;
  readonly map: SteeringMap;
}

export interface DesiredThen {
  readonly version: Version;
  readonly desired: DesiredState;
}

export interface LiveThen {
  readonly node: string;
  /** The process it was. */
  readonly session: string;
  /** Of the last change at or before the time asked for. */
  readonly sinceMs: number;
  readonly facts: LiveFacts;
  /** As texts; absent: none was applied. */
  readonly applied: { readonly map?: string; readonly desired?: string };
}

export interface History {
  mapAt(atMs: number): Promise<MapThen | undefined>;
  mapOf(version: Version): Promise<MapThen | undefined>;
  desiredAt(atMs: number): Promise<DesiredThen | undefined>;
  desiredOf(version: Version): Promise<DesiredThen | undefined>;
  liveAt(node: string, atMs: number): Promise<LiveThen | undefined>;
  nodes(): Promise<string[]>;
  publications(range: {
    readonly fromMs?: number;
    readonly toMs?: number;
    readonly limit: number;
  }): Promise<Publication[]>;
}

export function openHistory({ store, state }: Parts): History {
  const { history } = store;
  const batches: Batches = new Map();

  async function verified(kind: ArtefactKind, row: HistoryRow): Promise<Uint8Array> {
    const sealed = await sealedOf(store, kind, row);
    const { publicKey } = ensureSigningKeys(join(state, 'keys'));
    const { version, payload } = unseal(kind, sealed, publicKey);
    if (formatVersion(version) === row.key) return payload;
    throw new OperatingError('ARTEFACT_CORRUPT', `${kind} ${row.key}: it says that it is ${formatVersion(version)}`);
  }
  const toMap = async (row: HistoryRow): Promise<MapThen> => ({
    version: parseVersion(row.key)!,
    map: decodeMap(await verified('map', row)),
  });
  const toDesired = async (row: HistoryRow): Promise<DesiredThen> => ({
    version: parseVersion(row.key)!,
    desired: decodeDesired(await verified('desired', row)),
  });
  const newest = async (kind: ArtefactKind, toMs: number) => (await history.list(kind, { toMs, limit: 1 }))[0];
  const ofVersion = (kind: ArtefactKind, version: Version) => history.get(kind, formatVersion(version));
  const optional = async <T>(row: Promise<HistoryRow | undefined>, read: (row: HistoryRow) => Promise<T>) => {
    const found = await row;
    return found && read(found);
  };

  return {
    mapAt: (atMs) => optional(newest('map', atMs), toMap),
    mapOf: (version) => optional(ofVersion('map', version), toMap),
    desiredAt: (atMs) => optional(newest('desired', atMs), toDesired),
    desiredOf: (version) => optional(ofVersion('desired', version), toDesired),
    liveAt: async (node, atMs) => {
      const rows = await history.list(`live/${node}`, { toMs: atMs, limit: limits.history.liveRows });
      return liveThen(node, rows, atMs, batches);
    },
    nodes: async () => (await history.streams('live/')).map((stream) => stream.slice('live/'.length)),
    publications: async (range) => (await history.list('publish', range)).map(readPublication),
  };
}

/** Newest first. Rows of another session that overlap, of the process that took over or was taken over, are left out. */
async function liveThen(
  node: string,
  rows: readonly HistoryRow[],
  atMs: number,
  read: Batches,
): Promise<LiveThen | undefined> {
  const batches: LiveBatch[] = [];
  for (const row of rows) {
    const batch = readBatch(node, row, read);
    if (batches[0] !== undefined && batch.session !== batches[0].session) continue;
    batches.unshift(batch);
    if (batch.whole !== undefined) break;
  }
  const facts = factsAt(batches, atMs);
  const session = batches[0]?.session;
  if (facts === undefined || session === undefined) return undefined;
  const sinceMs = batches.flatMap(({ changes }) => changes.map(([ms]) => ms)).findLast((ms) => ms <= atMs) ?? 0;
  const applied: { map?: string; desired?: string } = {};
  for (const kind of ['map', 'desired'] as const) {
    const version = facts.get(`applied/${kind}`)?.[0];
    if (version !== undefined) applied[kind] = String(version);
  }
  return { node, session, sinceMs, facts, applied };
}

/** Those read last: questions come in clusters. A row never changes. */
type Batches = Map<string, LiveBatch>;

function readBatch(node: string, { key, bytes }: HistoryRow, read: Batches): LiveBatch {
  const name = `${node} ${key}`;
  let batch = read.get(name);
  if (batch === undefined) {
    // Some kilobytes: at once is sooner than by the thread pool.
    batch = JSON.parse(zstdDecompressSync(bytes).toString('utf8')) as LiveBatch;
    if (read.size >= limits.history.liveRows) read.delete(read.keys().next().value!);
    read.set(name, batch);
  }
  return batch;
}

function readPublication({ bytes }: HistoryRow): Publication {
  return JSON.parse(new TextDecoder().decode(bytes)) as Publication;
}

// --- Keeping -------------------------------------------------------------------------------------------------------

const keepMs = limits.history.keptMs + limits.history.wholeMs;

export async function keepPublication({ store }: Pick<ServiceContext, 'store'>, one: Publication): Promise<void> {
  const key = `${one.atMs}-${one.kind}${one.version === undefined ? '' : `-${one.version}`}`;
  const bytes = new TextEncoder().encode(JSON.stringify(one));
  const keep = { fromMs: one.atMs - keepMs, bytes: limits.history.publishBytes };
  await store.history.append('publish', { atMs: one.atMs, key, bytes }, keep);
}

/** `number`: of the batch, so that none takes the place of another. */
export async function keepLive(
  { store, node }: Pick<ServiceContext, 'store' | 'node'>,
  batch: LiveBatch,
  number: number,
): Promise<void> {
  const atMs = batch.changes[0]![0];
  const bytes = await pack(new TextEncoder().encode(JSON.stringify(batch)));
  const row = { atMs, key: `${batch.session}-${String(number).padStart(9, '0')}`, bytes };
  await store.history.append(`live/${node}`, row, { fromMs: atMs - keepMs, bytes: limits.history.liveBytes });
}

/** The last version that this publisher kept, to tell what changed since. */
export interface KeptVersion {
  readonly version: Version;
  readonly payload: Uint8Array;
  /** The last whole one it goes back to, and how many came since. */
  readonly whole: Version;
  readonly since: number;
}

/**
 * Keeps a sealed version beside those before it. `last`: what the same publisher kept last; what it gave is handed in
 * again with the next one. A row: u32 length of JSON, JSON, packed payload or change.
 */
export async function keepVersion(
  { store }: Pick<ServiceContext, 'store'>,
  kind: ArtefactKind,
  version: Version,
  sealed: Uint8Array,
  last: KeptVersion | undefined,
): Promise<KeptVersion> {
  const payload = sealed.subarray(sealedHeaderBytes);
  const header = Buffer.from(sealed.subarray(0, sealedHeaderBytes)).toString('base64');
  const since = (last?.since ?? 0) + 1;
  const base = await baseFor(store, kind, version, last, since);
  const bytes = base === undefined ? undefined : await pack(makeDelta(base.payload, payload));
  const isWorth = bytes !== undefined && bytes.length < payload.length / 4;
  const row = isWorth
    ? rowOf({ header, base: formatVersion(base!.version) }, bytes)
    : rowOf({ header }, await pack(payload));
  const keep = { fromMs: version.ms - keepMs, bytes: limits.history.versionBytes };
  await store.history.append(kind, { atMs: version.ms, key: formatVersion(version), bytes: row }, keep);
  return isWorth && last !== undefined
    ? { version, payload, whole: last.whole, since }
    : { version, payload, whole: version, since: 0 };
}

/** What the next version is kept as a change of: the one before, or every so many the last whole one. */
async function baseFor(
  store: Parts['store'],
  kind: ArtefactKind,
  version: Version,
  last: KeptVersion | undefined,
  since: number,
): Promise<Pick<KeptVersion, 'version' | 'payload'> | undefined> {
  if (last === undefined || version.ms - last.whole.ms >= limits.history.wholeMs) return undefined;
  if (since % limits.history.chain !== 0) return last;
  if (compareVersions(last.whole, last.version) === 0) return last;
  const row = await store.history.get(kind, formatVersion(last.whole));
  return row && { version: last.whole, payload: await payloadOf(store, kind, row) };
}

interface RowHead {
  /** The sealed header, base64: what was signed then is what is verified now. */
  readonly header: string;
  readonly base?: string;
}

/** As it was put into the store then. */
async function sealedOf(store: Parts['store'], kind: ArtefactKind, row: HistoryRow): Promise<Uint8Array> {
  const payload = await payloadOf(store, kind, row);
  const sealed = Buffer.alloc(sealedHeaderBytes + payload.length);
  sealed.write(split(row.bytes).head.header, 0, 'base64');
  sealed.set(payload, sealedHeaderBytes);
  return sealed;
}

/** Throws ARTEFACT_CORRUPT when what it builds on is not kept any more. */
async function payloadOf(store: Parts['store'], kind: ArtefactKind, row: HistoryRow, steps = 0): Promise<Uint8Array> {
  const { head, body } = split(row.bytes);
  const content = await unpack(body);
  if (head.base === undefined) return content;
  const base = steps > 2 * limits.history.chain ? undefined : await store.history.get(kind, head.base);
  if (base === undefined) {
    throw new OperatingError(
      'ARTEFACT_CORRUPT',
      `${kind} ${row.key} builds on ${head.base}, which is not kept any more`,
    );
  }
  return applyDelta(await payloadOf(store, kind, base, steps + 1), content);
}

function rowOf(head: RowHead, body: Uint8Array): Uint8Array {
  const json = Buffer.from(JSON.stringify(head));
  const bytes = Buffer.alloc(4 + json.length + body.length);
  bytes.writeUInt32LE(json.length, 0);
  json.copy(bytes, 4);
  bytes.set(body, 4 + json.length);
  return bytes;
}

function split(bytes: Uint8Array): { head: RowHead; body: Uint8Array } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = buffer.readUInt32LE(0);
  const head = JSON.parse(buffer.toString('utf8', 4, 4 + length)) as RowHead;
  return { head, body: buffer.subarray(4 + length) };
}
