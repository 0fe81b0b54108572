/**
 * Artefacts from their one publisher to every reader.
 *
 *     publish:  version → seal → put in the store → wake `artefact/KIND`
 *     follow:   wake or poll → newest version newer than ours? → get → unseal → apply → keep on own disk → tell
 *                              │ no: done                         └────────┴── bad: remember, try the next older
 *
 * Nothing bad is applied, nothing older than what is applied is taken, and with the store gone a reader goes on with what
 * it has, across restarts. A store that came back without what is in service gets it from the first reader that notices
 * (ARCHITECTURE.md, "What travels between processes").
 */
import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { ArtefactKind, Component } from '@ufes/core/ports.ts';
import { compareVersions, formatVersion, nextVersion, parseVersion, type Version } from '@ufes/core/version.ts';
import { type ArtefactMetrics, artefactMetrics } from './artefact-metrics.ts';
import { type Allocate, seal, unseal } from './envelope.ts';
import { type KeptVersion, keepVersion } from './history.ts';
import { ifThere, KeptArtefacts, writeDurably } from './kept.ts';
import { ensureSigningKeys, type SigningKeys } from './keys.ts';
import { type KeptRest, type OpenedFile, openSealedFile } from './sealed-file.ts';
import type { ServiceContext } from './service.ts';

type Parts = Pick<ServiceContext, 'state' | 'node' | 'clock' | 'rng' | 'log' | 'bus' | 'store'>;

// --- Publishing ----------------------------------------------------------------------------------------------------

interface Publisher {
  readonly writer: string;
  readonly lastSeen: Map<ArtefactKind, Version>;
  /** As the history has them last. */
  readonly kept: Map<ArtefactKind, KeptVersion>;
  /** The publication under way, by kind: the next one waits for it. */
  readonly underWay: Map<ArtefactKind, Promise<unknown>>;
}
const publishers = new WeakMap<object, Publisher>();

export type Payload = Uint8Array | ((version: Version) => Uint8Array);

/**
 * Seals and publishes `payload` under a new version and wakes the readers. Rejects with STORE_UNAVAILABLE; the next try
 * makes a version of its own. A version is never used twice, even by a store that came back older than it was: the last
 * one is kept in STATE/nodes/NODE/KIND.published too. A payload that carries its version is given as a function of it.
 */
export async function publishArtefact(context: Parts, kind: ArtefactKind, payload: Payload): Promise<Version> {
  const publisher = publisherOf(context);
  const before = publisher.underWay.get(kind) ?? Promise.resolve();
  const own = before.catch(() => {}).then(() => publish(context, publisher, kind, payload));
  publisher.underWay.set(kind, own);
  return own;
}

async function publish(context: Parts, publisher: Publisher, kind: ArtefactKind, payload: Payload): Promise<Version> {
  const { store, clock, bus, log } = context;
  const path = join(context.state, 'nodes', context.node, `${kind}.published`);
  const { privateKey } = ensureSigningKeys(join(context.state, 'keys'));
  for (let attempt = 1; ; attempt++) {
    const ours = publisher.lastSeen.get(kind) ?? publishedBefore(path);
    const version = nextVersion(
      clock.nowMs(),
      newerOf(await store.artefacts.newestVersion(kind), ours),
      publisher.writer,
    );
    publisher.lastSeen.set(kind, version);
    await writeDurably(path, Buffer.from(`${formatVersion(version)}\n`));
    const bytes = typeof payload === 'function' ? payload(version) : payload;
    const sealed = seal(kind, version, bytes, privateKey);
    try {
      await store.artefacts.put(kind, version, sealed);
    } catch (error) {
      // Another publisher came between; its version is the one to exceed.
      if (error instanceof OperatingError && error.code === 'ARTEFACT_STALE' && attempt < limits.store.publishAttempts)
        continue;
      throw error;
    }
    bus.wake(`artefact/${kind}`);
    await keep(context, publisher, kind, version, sealed);
    await store.artefacts.prune(kind, limits.store.artefactsKept).catch((error: unknown) => {
      log.warn({ artefact: kind }, `old versions stay for now: ${describeError(error)}`);
    });
    return version;
  }
}

/** Readers have it; that it can be explained later is not worth an outage. */
async function keep(
  context: Parts,
  { kept }: Publisher,
  kind: ArtefactKind,
  version: Version,
  sealed: Uint8Array,
): Promise<void> {
  try {
    kept.set(kind, await keepVersion(context, kind, version, sealed, kept.get(kind)));
  } catch (error) {
    kept.delete(kind);
    context.log.warn(
      { artefact: kind, version: formatVersion(version) },
      `not kept for history: ${describeError(error)}`,
    );
  }
}

function publisherOf(context: Parts): Publisher {
  let publisher = publishers.get(context.store);
  if (publisher === undefined) {
    const writer = Buffer.from(context.rng.bytes(3)).toString('hex');
    publisher = { writer, lastSeen: new Map(), kept: new Map(), underWay: new Map() };
    publishers.set(context.store, publisher);
  }
  return publisher;
}

function publishedBefore(path: string): Version | undefined {
  try {
    return parseVersion(readFileSync(path, 'utf8').trim());
  } catch {
    return undefined;
  }
}

function newerOf(a: Version | undefined, b: Version | undefined): Version | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return compareVersions(a, b) >= 0 ? a : b;
}

// --- Following -----------------------------------------------------------------------------------------------------

export interface ArtefactFollower extends Component {
  /** Of what is applied. */
  version(): Version | undefined;
  /** Since what is applied was made; Infinity when nothing is. */
  ageMs(): number;
}

export interface FollowOptions {
  /**
   * Payloads in SharedArrayBuffers, to be read by worker threads in place: as much of one as this wants, by its first
   * block. The rest stays on disk, for readKept (sealed-file.ts).
   */
  head?: (first: Uint8Array) => number;
  /**
   * With `head`, where payloads are put; by default each is in a new buffer. Called once a payload, when the one before
   * was applied, or refused and is no longer touched.
   */
  allocate?: (bytes: number) => SharedArrayBuffer;
}

/** A payload for which `apply` throws counts as corrupt: what was applied before must still be in place then. */
export type Apply = (payload: Uint8Array, version: Version, rest?: KeptRest) => void | Promise<void>;

/**
 * `start` applies the newest good artefact of the own disk, then of the store, if there is one, and resolves in any case.
 * One call of `apply` at a time; the payload is at the start of a buffer of its own, or of one that was allocated for it.
 */
export function followArtefact(
  context: Parts & Pick<ServiceContext, 'registry'>,
  kind: ArtefactKind,
  apply: Apply,
  options: FollowOptions = {},
): ArtefactFollower {
  return new Follower(context, kind, apply, options);
}

class Follower implements ArtefactFollower {
  readonly #context: Parts;
  readonly #kind: ArtefactKind;
  readonly #apply: Apply;
  readonly #head: FollowOptions['head'];
  readonly #allocate: Allocate;
  readonly #kept: KeptArtefacts;
  readonly #metrics: ArtefactMetrics;
  #keys: SigningKeys | undefined;
  #applied: Version | undefined;
  /** What is in KIND.current is what is applied. */
  #isCurrentGood = false;
  /** Versions in the store that were refused, by their text; none at or below the applied one. */
  readonly #bad = new Map<string, Version>();
  #isStoreGone = false;
  #toldAtMs: number | undefined;
  #toldVersion: Version | undefined;
  #isWanted = false;
  #isStopped = true;
  #running: Promise<void> | undefined;
  #stops: (() => void)[] = [];

  constructor(
    context: Parts & Pick<ServiceContext, 'registry'>,
    kind: ArtefactKind,
    apply: Apply,
    { head, allocate = (bytes) => new SharedArrayBuffer(bytes) }: FollowOptions,
  ) {
    this.#context = context;
    this.#kind = kind;
    this.#apply = apply;
    this.#head = head;
    this.#allocate = allocate;
    this.#kept = new KeptArtefacts(context.state, context.node, kind);
    this.#metrics = artefactMetrics(context.registry);
  }

  version(): Version | undefined {
    return this.#applied;
  }

  ageMs(): number {
    return this.#applied === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(0, this.#context.clock.nowMs() - this.#applied.ms);
  }

  async start(): Promise<void> {
    const { bus, clock } = this.#context;
    this.#isStopped = false;
    this.#metrics.follow(this.#kind, this);
    await this.#loadKept();
    this.#stops = [
      bus.on(`artefact/${this.#kind}`, () => this.#look()),
      clock.every(limits.store.pollMs, () => this.#look()),
    ];
    await this.#look();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const stop of this.#stops.splice(0)) stop();
    await this.#running;
    this.#metrics.unfollow(this.#kind);
  }

  /** One look at a time; a wake-up during one causes another after it. */
  #look(): Promise<void> {
    this.#isWanted = true;
    this.#running ??= this.#lookWhileWanted();
    return this.#running;
  }

  async #lookWhileWanted(): Promise<void> {
    while (this.#isWanted && !this.#isStopped) {
      this.#isWanted = false;
      try {
        await this.#takeNewest();
        await this.#tell();
        if (this.#isStoreGone) this.#context.log.info({ artefact: this.#kind }, 'the store is back');
        this.#isStoreGone = false;
      } catch (error) {
        this.#storeFailed(error);
      }
    }
    this.#running = undefined;
  }

  #storeFailed(error: unknown): void {
    if (this.#isStoreGone) return;
    this.#isStoreGone = true;
    const serving = this.#applied === undefined ? 'nothing' : formatVersion(this.#applied);
    this.#context.log.warn({ artefact: this.#kind, serving }, `going on without the store: ${describeError(error)}`);
  }

  #isNewer(version: Version): boolean {
    return this.#applied === undefined || compareVersions(version, this.#applied) > 0;
  }

  async #takeNewest(): Promise<void> {
    const { artefacts } = this.#context.store;
    const newest = await artefacts.newestVersion(this.#kind);
    if (newest === undefined || !this.#isNewer(newest)) return this.#giveBack(newest);
    if (await this.#try(newest)) return;
    for (const version of await artefacts.list(this.#kind, limits.store.artefactsKept)) {
      if (!this.#isNewer(version) || (await this.#try(version))) return;
    }
  }

  /** A store that came back empty, or older than it was, gets what is in service from whoever has it: it is sealed. */
  async #giveBack(newest: Version | undefined): Promise<void> {
    const applied = this.#applied;
    if (applied === undefined || !this.#isCurrentGood) return;
    if (newest !== undefined && compareVersions(newest, applied) >= 0) return;
    const sealed = await this.#kept.read(this.#kept.current);
    if (sealed === undefined) return;
    try {
      await this.#context.store.artefacts.put(this.#kind, applied, sealed);
    } catch (error) {
      // Another node was faster.
      if (!(error instanceof OperatingError && error.code === 'ARTEFACT_STALE')) throw error;
      return;
    }
    this.#context.log.warn(
      { artefact: this.#kind, version: formatVersion(applied) },
      'the store had lost it: given back',
    );
    this.#context.bus.wake(`artefact/${this.#kind}`);
  }

  /** True when it was applied; a version that was refused once is not tried again. */
  async #try(version: Version): Promise<boolean> {
    if (this.#bad.has(formatVersion(version))) return false;
    if (this.#head !== undefined) {
      const taken = await this.#takeInPieces(version, this.#head);
      if (taken !== undefined) return taken;
    }
    const sealed = await this.#context.store.artefacts.get(this.#kind, version);
    // Undefined: pruned meanwhile, so newer ones are there.
    return sealed !== undefined && this.#take(sealed, version, this.#publicKey());
  }

  /** From the store to disk piece by piece, and from there into service. Undefined: the disk cannot take it. */
  async #takeInPieces(listed: Version, head: (first: Uint8Array) => number): Promise<boolean | undefined> {
    const { artefacts } = this.#context.store;
    let storeError: unknown;
    const pieceAt = (offset: number) =>
      artefacts.read(this.#kind, listed, offset).catch((error: unknown) => {
        storeError = error;
        throw error;
      });
    let aside: string | undefined;
    try {
      aside = await this.#kept.writeAside(pieceAt);
    } catch (error) {
      if (storeError !== undefined) throw error;
      return undefined;
    }
    if (aside === undefined) return false;
    try {
      const { version, payload, rest } = await this.#openFile(aside, head, true);
      this.#checkVersion(version, listed);
      await this.#apply(payload, version, rest);
    } catch (error) {
      await rm(aside, { force: true }).catch(() => {});
      this.#isBad(listed, error);
      return false;
    }
    await this.#setTaken(listed, () => this.#kept.adopt(aside, this.#isCurrentGood));
    return true;
  }

  #openFile(path: string, head: (first: Uint8Array) => number, whole: boolean): Promise<OpenedFile> {
    const paths = [this.#kept.current, this.#kept.previous];
    const allocate = this.#allocate;
    return openSealedFile(path, { kind: this.#kind, key: this.#publicKey(), head, paths, whole, allocate });
  }

  #checkVersion(version: Version, listed: Version): void {
    if (compareVersions(version, listed) === 0) return;
    throw new OperatingError('ARTEFACT_CORRUPT', `it says that it is version ${formatVersion(version)}`);
  }

  #isBad(listed: Version, error: unknown): void {
    this.#refused(`store, version ${formatVersion(listed)}`, error);
    this.#bad.set(formatVersion(listed), listed);
  }

  async #setTaken(version: Version, keep: () => Promise<void>): Promise<void> {
    const { log } = this.#context;
    this.#setApplied(version);
    try {
      await keep();
      this.#isCurrentGood = true;
    } catch (error) {
      // Served all the same; a restart without the store would serve an older one.
      log.error({ artefact: this.#kind, file: this.#kept.current }, `cannot be kept: ${describeError(error)}`);
    }
    log.info({ artefact: this.#kind, version: formatVersion(version) }, 'artefact applied');
  }

  async #take(sealed: Uint8Array, listed: Version, key: KeyObject): Promise<boolean> {
    try {
      const { version, payload } = unseal(this.#kind, sealed, key, this.#head && this.#allocate);
      this.#checkVersion(version, listed);
      await this.#apply(payload, version);
    } catch (error) {
      this.#isBad(listed, error);
      return false;
    }
    await this.#setTaken(listed, () => this.#kept.save(sealed, this.#isCurrentGood));
    return true;
  }

  async #loadKept(): Promise<void> {
    for (const path of [this.#kept.current, this.#kept.previous]) {
      try {
        const found = await this.#readKept(path);
        if (found === undefined) continue;
        const { version, payload, rest } = found;
        await this.#apply(payload, version, rest);
        this.#isCurrentGood = path === this.#kept.current;
        this.#setApplied(version);
        this.#context.log.info(
          { artefact: this.#kind, version: formatVersion(version), file: path },
          'artefact loaded',
        );
        return;
      } catch (error) {
        this.#refused(path, error);
      }
    }
  }

  async #readKept(path: string): Promise<OpenedFile | undefined> {
    if (this.#head !== undefined) return ifThere(this.#openFile(path, this.#head, false));
    const sealed = await this.#kept.read(path);
    return sealed && unseal(this.#kind, sealed, this.#publicKey());
  }

  #publicKey(): KeyObject {
    this.#keys ??= ensureSigningKeys(join(this.#context.state, 'keys'));
    return this.#keys.publicKey;
  }

  #refused(from: string, error: unknown): void {
    this.#metrics.rejected(this.#kind);
    const serving = this.#applied === undefined ? 'nothing' : formatVersion(this.#applied);
    this.#context.log.error({ artefact: this.#kind, from, serving }, `artefact refused: ${describeError(error)}`);
  }

  #setApplied(version: Version): void {
    this.#applied = version;
    for (const [text, bad] of this.#bad) if (!this.#isNewer(bad)) this.#bad.delete(text);
  }

  /** Says in the live state what is applied: at once when that changed, and again before the entry expires. */
  async #tell(): Promise<void> {
    const { store, clock, bus, node } = this.#context;
    const applied = this.#applied;
    if (applied === undefined) return;
    const isNews = this.#toldVersion === undefined || compareVersions(this.#toldVersion, applied) !== 0;
    const sinceMs = clock.monotonicMs() - (this.#toldAtMs ?? Number.NEGATIVE_INFINITY);
    if (!isNews && sinceMs < limits.store.appliedMs / 3) return;
    const value = { version: formatVersion(applied) };
    await store.live.put([{ key: `applied/${node}/${this.#kind}`, value, ttlMs: limits.store.appliedMs }]);
    this.#toldAtMs = clock.monotonicMs();
    this.#toldVersion = applied;
    if (isNews) bus.wake('live');
  }
}
