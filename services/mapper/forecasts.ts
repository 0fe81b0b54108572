/**
 * Predictions that were asked for, and what became of them:
 *
 *     ask ─▶ predicted, kept ─▶ its configuration comes, its PoPs drain ─▶ a while later: decided anew for what came ─▶ kept
 *
 * Records are in the history stream `publish`; those whose configuration may yet come are remembered across restarts.
 */
import { createHash } from 'node:crypto';
import { describeError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component } from '@ufes/core/ports.ts';
import type { PopNow } from '@ufes/core/steering/judging.ts';
import type { PlanState } from '@ufes/core/steering/plan-input.ts';
import type { PlanRecord, Publication } from '@ufes/core/steering/publication.ts';
import { formatVersion, parseVersion } from '@ufes/core/version.ts';
import { keepPublication } from '@ufes/io/history.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import type { Builder, Current } from './builder.ts';
import { type Forecast, forecast, type Proposal, rescore } from './forecast.ts';

/** Words of a record; the whole is in the answer. */
const changesKept = 8;

type Waiting = Publication & { readonly plan: PlanRecord };

interface Asked extends Proposal {
  readonly file: string;
  readonly by: string;
}

export class Forecasts implements Component {
  readonly #context: ServiceContext;
  readonly #builder: Builder;
  #waiting: Waiting[] = [];
  #stops: (() => void)[] = [];
  #looking: Promise<void> | undefined;

  constructor(context: ServiceContext, builder: Builder) {
    this.#context = context;
    this.#builder = builder;
  }

  async start(): Promise<void> {
    const { clock, log } = this.#context;
    try {
      const fromMs = clock.nowMs() - limits.plan.keptMs;
      const kept = await this.#builder.publisher.history.publications({ fromMs, limit: limits.publish.shown });
      this.#waiting = kept.filter(isWaiting).slice(0, limits.plan.kept).reverse();
    } catch (thrown) {
      log.warn({ error: describeError(thrown) }, 'plans that were asked for before are not known');
    }
    this.#stops = [clock.every(limits.mapper.wholeMs, () => void this.look())];
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops.splice(0)) stop();
    await this.#looking;
  }

  async ask(current: Current, { file, by, ...proposal }: Asked): Promise<Forecast> {
    const { publisher, inService, mapVersion, known } = this.#builder;
    const { clock } = this.#context;
    const now = await publisher.conditionsNow(current.desired);
    const { desired } = current;
    const nowMs = clock.nowMs();
    const made = forecast({ fed: current, desired, inService, known, ...now, nowMs }, proposal);
    const hash = hashOf(proposal.desired);
    if (hash === hashOf(desired) && proposal.drained.every((id) => now.pops.get(id)?.isOpen === false)) return made;
    const plan: PlanRecord = {
      file,
      drained: proposal.drained,
      changes: made.changes.slice(0, changesKept).map(({ id, change, text }) => `${id} ${change}: ${text}`),
      ...figuresOf(made),
      from: {
        hash,
        ...(mapVersion !== undefined && { map: formatVersion(mapVersion) }),
        desired: formatVersion(desired.version),
        closed: closedOf(now.pops),
      },
    };
    await this.#keep({ atMs: nowMs, kind: 'plan', reasons: [], by, plan });
    return made;
  }

  /** What came, and what is to be measured by now. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const { clock, log } = this.#context;
    const { current, publisher } = this.#builder;
    if (current === undefined || this.#waiting.length === 0) return;
    try {
      const nowMs = clock.nowMs();
      const { pops } = await publisher.conditionsNow(current.desired);
      const hash = hashOf(current.desired);
      for (const one of [...this.#waiting]) {
        const { drained, from, appliedAtMs } = one.plan;
        const isThere = from.hash === hash && drained.every((id) => pops.get(id)?.isOpen === false);
        if (appliedAtMs === undefined && isThere)
          await this.#keep({ ...one, plan: { ...one.plan, appliedAtMs: nowMs } });
        else if (appliedAtMs !== undefined && nowMs - appliedAtMs >= waitMs(current)) await this.#measure(one, isThere);
        else if (nowMs - one.atMs > limits.plan.keptMs) this.#forget(one);
      }
    } catch (thrown) {
      log.warn({ error: describeError(thrown) }, 'what became of plans is not known; looked at again');
    }
  }

  /** `isThere`: still; what was changed again since is not to be held against the prediction. */
  async #measure(one: Waiting, isThere: boolean): Promise<void> {
    const { current, publisher, inService, known } = this.#builder;
    const { map, desired, closed } = one.plan.from;
    const desiredVersion = parseVersion(desired);
    const mapVersion = map === undefined ? undefined : parseVersion(map);
    const { history } = publisher;
    const then = (desiredVersion && (await history.desiredOf(desiredVersion))) ?? (await history.desiredAt(one.atMs));
    const mapThen = mapVersion && (await history.mapOf(mapVersion));
    if (!isThere || current === undefined || then === undefined) {
      this.#forget(one);
      return;
    }
    const nowMs = this.#context.clock.nowMs();
    const now = await publisher.conditionsNow(current.desired);
    const input = { fed: current, desired: current.desired, inService, known, ...now, nowMs };
    const { moved, response } = rescore(input, { desired: then.desired, map: mapThen?.map, closed });
    const { meanAfterMs, p95AfterMs } = response;
    const loads = current.desired.pops.flatMap(({ id, requestsPerSecond: capacity }) => {
      const told = now.pops.get(id)?.requestsPerSecond;
      return told === undefined ? [] : [{ pop: id, told: told / capacity }];
    });
    await this.#keep({
      ...one,
      plan: { ...one.plan, measured: { atMs: nowMs, moved, meanAfterMs, p95AfterMs, loads } },
    });
  }

  async #keep(one: Waiting): Promise<void> {
    this.#forget(one);
    if (isWaiting(one)) this.#waiting.push(one);
    this.#waiting = this.#waiting.slice(-limits.plan.kept);
    await keepPublication(this.#context, one).catch((thrown: unknown) => {
      this.#context.log.warn({ error: describeError(thrown) }, 'a plan is not kept for history');
    });
  }

  #forget({ atMs }: Waiting): void {
    this.#waiting = this.#waiting.filter((other) => other.atMs !== atMs);
  }
}

function isWaiting(one: Publication): one is Waiting {
  return one.kind === 'plan' && one.plan !== undefined && one.plan.measured === undefined;
}

/** Answers of before have run out, evidence has come in. */
function waitMs({ desired: { services } }: Current): number {
  return (
    limits.plan.measuredMs + 1_000 * services.reduce((most, { ttlSecondsMax }) => Math.max(most, ttlSecondsMax), 0)
  );
}

function figuresOf({ prediction: { moved, harmed, response, pops } }: Forecast) {
  const { meanBeforeMs, meanAfterMs, p95BeforeMs, p95AfterMs } = response;
  const loads = pops.flatMap(({ pop, loadBefore = 0, loadAfter = 0 }) =>
    loadBefore === loadAfter ? [] : [{ pop, before: loadBefore, after: loadAfter }],
  );
  return { moved, harmed: harmed.share, meanBeforeMs, meanAfterMs, p95BeforeMs, p95AfterMs, loads };
}

function closedOf(pops: ReadonlyMap<string, PopNow>): string[] {
  return [...pops].flatMap(([id, { isOpen }]) => (isOpen ? [] : [id]));
}

/** Of what the configuration says; names of objects come and go by themselves. */
function hashOf({ pops, services, room, probe }: PlanState): string {
  const own = services.filter(({ owner }) => owner === 'config');
  return createHash('sha256')
    .update(JSON.stringify([pops, own, room ?? null, probe]))
    .digest('base64url');
}
