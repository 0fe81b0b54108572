/**
 * What becomes of a map that was built: judged, then published whole, in part, or held.
 *
 *     build ─▶ judge ─┬─ publish ─▶ readers             record, metrics
 *        raw samples ─┤
 *        live state ──┴─ hold ────▶ (exempt moves alone)  record, live key `hold/map`, metric, log
 *
 *     rollback ─▶ an older map under a new version, which says so; until it ends or is released nothing undoes it
 *     release  ─▶ ends a rollback, and lets pass for a while what guardrails hold (live key `release/map`)
 *
 * What was decided is kept for history; what a publication did is measured a quarter of an hour later and added there.
 */
import type { DesiredState } from '@ufes/core/desired.ts';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component } from '@ufes/core/ports.ts';
import { type SteeringBuild, sameRankings } from '@ufes/core/steering/build.ts';
import { Judge } from '@ufes/core/steering/judge.ts';
import type { GroupCosts, JudgeInput, Judgement, PopNow } from '@ufes/core/steering/judging.ts';
import type { RolledBack, SteeringMap } from '@ufes/core/steering/map.ts';
import { encodeMap, roomOf } from '@ufes/core/steering/map-bytes.ts';
import type { Publication, Reason } from '@ufes/core/steering/publication.ts';
import { defaultRoom } from '@ufes/core/steering/room.ts';
import type { Sharing } from '@ufes/core/steering/sharing.ts';
import { formatVersion, parseVersion, type Version } from '@ufes/core/version.ts';
import { publishArtefact } from '@ufes/io/artefact.ts';
import { type History, keepPublication, openHistory } from '@ufes/io/history.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { followMsOf, overloadsOf } from './begin.ts';
import { Conditions } from './conditions.ts';
import { Effects } from './effects.ts';
import type { MapperMetrics } from './metrics.ts';
import type { MapPlan } from './plan.ts';
import type { RawRing } from './raw.ts';

export interface Draft {
  readonly map: SteeringMap;
  /** What made it. */
  readonly build: SteeringBuild;
  readonly plan: MapPlan;
  readonly desired: DesiredState;
  /** Estimates alone are reason enough to publish. */
  readonly isEstimateDue: boolean;
  readonly buildMs: number;
  readonly guardOf: JudgeInput['guardOf'];
}

export interface Published {
  readonly map: SteeringMap;
  readonly version: Version;
  readonly bytes: number;
}

export interface Held {
  readonly sinceMs: number;
  readonly reasons: readonly Reason[];
  /** Of demand. */
  readonly wanted: number;
}

const noRoom = new Uint8Array(0);

export class Publisher implements Component {
  readonly history: History;
  /** What the last build was held for. */
  held: Held | undefined;
  readonly #context: ServiceContext;
  readonly #raw: RawRing;
  readonly #metrics: MapperMetrics;
  readonly #conditions: Conditions;
  readonly #judge = new Judge();
  readonly #effects: Effects;
  /** What the last map's bytes stood in; undefined while they are being published. */
  #room: Uint8Array | undefined;
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #recordedAtMs = 0;

  constructor(context: ServiceContext, raw: RawRing, metrics: MapperMetrics) {
    this.#context = context;
    this.#raw = raw;
    this.#metrics = metrics;
    this.#conditions = new Conditions(context);
    this.#effects = new Effects(context, raw, (one) => this.#keep(one));
    this.history = openHistory(context);
  }

  /** Remembers what went before a restart, so that no restart is a way around staging. */
  async start(): Promise<void> {
    const { clock, log } = this.#context;
    await this.#conditions.start();
    const fromMs = clock.nowMs() - limits.publish.windowMs;
    try {
      for (const { atMs, moved } of await this.history.publications({ fromMs, limit: limits.publish.shown })) {
        this.#judge.adopt(atMs, moved?.discretionary ?? 0);
      }
    } catch (thrown) {
      log.warn({ error: describeError(thrown) }, 'what was published before is not known');
    }
  }

  async stop(): Promise<void> {
    this.#effects.stop();
    await this.#conditions.stop();
  }

  /** Publishes what may go into service beside `before`, what is there; undefined: nothing. Rejects with STORE_UNAVAILABLE. */
  async publish(draft: Draft, before: SteeringMap | undefined): Promise<Published | undefined> {
    if (before === undefined) {
      const published = await this.#put(draft.map);
      await this.#keep({ ...this.#record('publish', published.version), why: 'the first map' });
      return published;
    }
    await this.#conditions.read();
    const judgement = this.#judged(draft, before);
    this.#tellHeld(judgement);
    const nowMs = this.#context.clock.nowMs();
    const { rolledBack } = before;
    const isRolledBack = rolledBack !== undefined && rolledBack.untilMs > nowMs;
    const map = isRolledBack ? judgement.map : withRoom(judgement.map, before, draft, nowMs);
    if (map === undefined || (!draft.isEstimateDue && sameRankings(map, before))) return undefined;
    const published = await this.#put(isRolledBack ? { ...map, rolledBack } : map);
    await this.#publishedAs(published, judgement, draft);
    return published;
  }

  /** PoPs by id, as last told. */
  pops(desired: DesiredState): Map<string, PopNow> {
    return this.#conditions.pops(desired);
  }

  /** Those over their hard limit. */
  overloads(desired: DesiredState): Map<string, number> {
    return overloadsOf(this.#conditions.pops(desired), (desired.room ?? defaultRoom).hard);
  }

  /** PoPs (ids) that a check fails of, as last told. */
  doubted(): ReadonlySet<string> {
    return this.#conditions.doubted();
  }

  /** PoPs as they are now, by id, and the shares of their cells that full ones keep. */
  async conditionsNow(desired: Pick<DesiredState, 'pops'>) {
    await this.#conditions.read();
    return { pops: this.#conditions.pops(desired), keeps: this.#conditions.keeps() };
  }

  #judged({ map: after, build, plan, desired, guardOf }: Draft, before: SteeringMap): Judgement {
    const { clock } = this.#context;
    const nowMs = clock.nowMs();
    const sources = new Set(plan.sources);
    return this.#judge.judge({
      before,
      after,
      nowMs,
      pops: this.#conditions.pops(desired),
      hard: (desired.room ?? defaultRoom).hard,
      costs: costsOf(plan),
      followMs: followMsOf(desired.services),
      ...(guardOf && { guardOf }),
      ...demandOf(build.sharing, nowMs),
      raw: (cells, wanted) => this.#raw.lookup(cells, wanted, sources, nowMs - limits.publish.rawMs),
      rolledBack: before.rolledBack,
      isReleased: this.#conditions.isReleased(),
    });
  }

  async #put(map: SteeringMap): Promise<Published> {
    const bytes = encodeMap(map, this.#room ?? noRoom);
    this.#room = undefined;
    const version = await publishArtefact(this.#context, 'map', bytes);
    this.#room = roomOf(bytes);
    this.#metrics.published.inc();
    this.#metrics.mapBytes.set(bytes.length);
    return { map, version, bytes: bytes.length };
  }

  #record(kind: Publication['kind'], version?: Version): Publication {
    // Each has a time of its own: they are in order by it.
    const atMs = Math.max(Math.floor(this.#context.clock.nowMs()), this.#recordedAtMs + 1);
    this.#recordedAtMs = atMs;
    return { atMs, kind, ...(version && { version: formatVersion(version) }), reasons: [] };
  }

  async #publishedAs({ version, bytes }: Published, judgement: Judgement, draft: Draft): Promise<void> {
    const { reasons, moved, predicted, went } = judgement;
    for (const kind of ['exempt', 'first', 'discretionary'] as const) this.#metrics.moved.inc({ kind }, moved[kind]);
    const loads = judgement.loads.filter(({ before, after }) => Math.abs(after - before) > 0.0005);
    const record: Publication = {
      ...this.#record(reasons.length > 0 ? 'hold' : 'publish', version),
      reasons,
      ...(moved.wanted > 0 && { moved, loads, ...(predicted && { predicted }) }),
    };
    await this.#keep(record);
    this.#effects.expect(record, went, costsOf(draft.plan), new Set(draft.plan.sources));
    this.#context.log.info(
      { version: formatVersion(version), bytes, buildMs: draft.buildMs, ...moved },
      reasons.length > 0 ? 'map published with exempt moves alone' : 'map published',
    );
  }

  /** A hold is told when it begins, when its reasons change, and again now and then. */
  #tellHeld({ reasons, moved, predicted }: Judgement): void {
    const { log, store, clock } = this.#context;
    const nowMs = clock.nowMs();
    const guards = reasons.map(({ guard }) => guard).join();
    const before = this.held;
    this.#metrics.setHeld(reasons.map(({ guard }) => guard));
    if (reasons.length === 0) {
      this.held = undefined;
      if (before === undefined) return;
      log.info({ heldMs: nowMs - before.sinceMs }, 'maps are published again');
      store.live.remove(['hold/map']).catch(() => {
        // It expires by itself.
      });
      return;
    }
    const isSame = before?.reasons.map(({ guard }) => guard).join() === guards;
    this.held = { sinceMs: isSame && before ? before.sinceMs : nowMs, reasons, wanted: moved.wanted };
    store.live.put([{ key: 'hold/map', value: this.held, ttlMs: 3 * limits.mapper.wholeMs }]).catch(() => {
      // Told again with the next build.
    });
    if (isSame && nowMs - this.#toldAtMs < limits.publish.toldMs) return;
    this.#toldAtMs = nowMs;
    // That a rollback holds is what was ordered.
    if (guards === 'rolled-back') return;
    for (const { guard } of reasons) this.#metrics.holds.inc({ reason: guard });
    log.error({ reasons: reasons.map(({ text }) => text), wanted: moved.wanted }, 'map held');
    void this.#keep({ ...this.#record('hold'), reasons, moved, ...(predicted && { predicted }) });
  }

  /** That something was decided matters more than that it can be read later. */
  async #keep(one: Publication): Promise<void> {
    try {
      await keepPublication(this.#context, one);
    } catch (thrown) {
      this.#context.log.warn({ error: describeError(thrown) }, 'a publication is not kept for history');
    }
  }

  // --- Operators -----------------------------------------------------------------------------------------------------

  /** Brings back an older map, without `version` the one before the last that moved demand. Rejects with NOT_FOUND. */
  async rollback(version: string | undefined, order: Omit<RolledBack, 'version'>): Promise<Published> {
    const { map, version: found } = await this.#find(version);
    const rolledBack: RolledBack = { ...order, version: formatVersion(found) };
    const published = await this.#put({ ...map, rolledBack });
    const { by, why, untilMs } = order;
    const detail = { version: formatVersion(published.version), restores: rolledBack.version, untilMs, why };
    await this.#audit(by, 'rollback', detail);
    const record = this.#record('rollback', published.version);
    await this.#keep({ ...record, restores: rolledBack.version, untilMs, by, why });
    this.#context.log.warn({ ...detail, by }, 'rolled back');
    return published;
  }

  async #find(text: string | undefined) {
    const { history } = this;
    if (text === undefined) {
      const recent = await history.publications({ limit: limits.publish.shown });
      const last = recent.find((one) => one.version !== undefined && (one.moved?.moved ?? 0) > 0);
      const before = last?.version && (await history.mapAt(parseVersion(last.version)!.ms - 1));
      if (before) return before;
      throw new OperatingError(
        'NOT_FOUND',
        'no kept publication moved anything; name a version of `ufes history --all`',
      );
    }
    const version = parseVersion(text);
    if (version === undefined)
      throw new OperatingError('REQUEST_INVALID', `"${text}" is no version: 1764000000000-a1b2c3 is one`);
    const found = await history.mapOf(version);
    if (found !== undefined) return found;
    throw new OperatingError('NOT_FOUND', `no map ${text} is kept; \`ufes history --all\` lists those that are`);
  }

  /** Lets the builder go on. Published: a rollback that was in force has ended. */
  async release(before: SteeringMap | undefined, by: string, why: string): Promise<Published | undefined> {
    const { store, clock, bus } = this.#context;
    const nowMs = clock.nowMs();
    const value = { by, why, atMs: nowMs };
    await store.live.put([{ key: 'release/map', value, ttlMs: limits.publish.releaseMs }]);
    await this.#conditions.read();
    bus.wake('live');
    let published: Published | undefined;
    if (before?.rolledBack !== undefined) {
      const { rolledBack: _, ...map } = before;
      published = await this.#put(map);
    }
    await this.#audit(by, 'release', { why, ...(before?.rolledBack && { rolledBack: before.rolledBack }) });
    await this.#keep({ ...this.#record('release', published?.version), by, why });
    return published;
  }

  async #audit(actor: string, action: string, detail: object): Promise<void> {
    const { store, clock, log } = this.#context;
    const entry = { atMs: clock.nowMs(), actor, action, subject: 'map', detail };
    await store.audit.append(entry).catch((thrown: unknown) => {
      log.error({ ...entry, error: describeError(thrown) }, 'not in the audit log');
    });
  }
}

/**
 * What goes into service: the loss of any one PoP is to leave the others with room also where moves wait or are held.
 * Undefined: nothing does.
 */
export function withRoom(
  judged: SteeringMap | undefined,
  before: SteeringMap,
  { map, build }: Pick<Draft, 'map' | 'build'>,
  nowMs: number,
): SteeringMap | undefined {
  if (judged === map) return judged;
  const fitted = build.refit(judged ?? before, nowMs);
  return judged === undefined && fitted === before ? undefined : fitted;
}

/** What cells ask for, as the build takes it, where edges count it. */
export function demandOf(sharing: Sharing, nowMs: number): Pick<JudgeInput, 'demandOf' | 'freeOf' | 'totalDemand'> {
  const { requests } = sharing;
  if (requests.count === 0) return {};
  return {
    demandOf: (family, hi, lo) => requests.rate(family, hi, lo, nowMs),
    freeOf: (family, hi, lo, key) => sharing.freeOf(family, hi, lo, key),
    totalDemand: requests.demand(nowMs).reduce((sum, one) => sum + one, 0),
  };
}

export function costsOf({ groups, pops }: MapPlan): Map<string, GroupCosts> {
  return new Map(
    groups.map(({ key, k, pops: numbers, backboneMs }) => [
      key,
      { k, backboneMs: new Map(numbers.map((pop, i) => [pops[pop]!, backboneMs[i]!])) },
    ]),
  );
}
