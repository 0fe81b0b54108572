/**
 * External verdicts, over the admin socket: what a person or another system says of a PoP, or of one service there, for a
 * while. How it is merged with the votes: core/belief.ts.
 *
 *     GET  /verdicts   {verdicts: ExternalVerdict[]}, those in force
 *     POST /verdicts   VerdictRequest → {verdict: ExternalVerdict, shared: boolean}
 *
 * `shared` false: in force here and kept on disk, but the store could not be told, so other nodes do not know yet.
 */
import type { ExternalVerdict } from '@ufes/core/belief.ts';
import type { DesiredState } from '@ufes/core/desired.ts';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import { targetOf } from '@ufes/core/votes.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import type { LiveFeed } from './live-feed.ts';

export interface VerdictRequest {
  readonly pop: string;
  /** Id of a service; absent: the PoP, for every service. */
  readonly service?: string;
  /** `none` takes back an earlier one. */
  readonly state: 'up' | 'down' | 'none';
  /** Absent for `none`. */
  readonly forMs?: number;
  readonly reason?: string;
  /** Who says it, for the audit log. */
  readonly by?: string;
}

export interface VerdictInit extends Pick<ServiceContext, 'admin' | 'clock' | 'log' | 'store'> {
  readonly feed: LiveFeed;
  readonly desired: () => DesiredState | undefined;
}

export function addVerdictRoutes({ admin, clock, log, store, feed, desired }: VerdictInit): void {
  admin.get('/verdicts', () => ({ verdicts: feed.external().filter(({ state }) => state !== 'none') }));
  admin.post<{ Body: VerdictRequest }>('/verdicts', async (request) => {
    const verdict = verdictOf(request.body, desired(), feed.external(), clock.nowMs());
    const shared = await feed.say(verdict);
    const { target, by, ...detail } = verdict;
    log.info({ target, by, ...detail, shared }, 'dns: external verdict');
    const entry = { atMs: verdict.atMs, actor: by, action: 'verdict', subject: target, detail };
    await store.audit.append(entry).catch((error: unknown) => {
      log.warn({ error: describeError(error), ...entry }, 'dns: external verdict not in the audit log');
    });
    return { verdict, shared };
  });
}

/** Rejects what cannot be meant, saying what would be right. */
function verdictOf(
  body: unknown,
  desired: DesiredState | undefined,
  known: readonly ExternalVerdict[],
  nowMs: number,
): ExternalVerdict {
  const { pop, service, state, forMs, reason, by } = (body ?? {}) as Record<string, unknown>;
  const wrong = (message: string) => new OperatingError('REQUEST_INVALID', message);
  if (typeof pop !== 'string') throw wrong('"pop" must be the id of a PoP');
  if (service !== undefined && typeof service !== 'string') throw wrong('"service" must be the id of a service');
  if (state !== 'up' && state !== 'down' && state !== 'none') throw wrong('"state" must be up, down or none');
  checkTarget(pop, service, desired);
  const target = targetOf(pop, service);
  const actor = typeof by === 'string' && by !== '' ? by.slice(0, limits.health.reasonChars) : 'admin socket';
  const before = known.find((one) => one.target === target);
  // Of two words the later counts, even on a clock that was set back.
  const atMs = Math.max(nowMs, (before?.atMs ?? 0) + 1);
  if (state === 'none') {
    if (before === undefined || before.state === 'none')
      throw new OperatingError('NOT_FOUND', `${target}: nothing said`);
    return { target, state, reason: textOf(reason), by: actor, atMs, untilMs: before.untilMs };
  }
  const max = limits.health.verdictMsMax;
  if (typeof forMs !== 'number' || !(forMs >= 1_000 && forMs <= max)) {
    throw wrong(`"forMs" must be from 1000 to ${max}: a verdict has an end`);
  }
  if (textOf(reason) === '') throw wrong('"reason" must say why, for those who read it in the night');
  return { target, state, reason: textOf(reason), by: actor, atMs, untilMs: nowMs + Math.round(forMs) };
}

function textOf(reason: unknown): string {
  return typeof reason === 'string' ? reason.trim().slice(0, limits.health.reasonChars) : '';
}

function checkTarget(pop: string, service: string | undefined, desired: DesiredState | undefined): void {
  if (desired === undefined) throw new OperatingError('NOT_RUNNING', 'no desired state yet');
  const ids = desired.pops.map(({ id }) => id);
  const number = ids.indexOf(pop);
  if (number < 0) throw new OperatingError('NOT_FOUND', `no PoP "${pop}"; there are ${ids.join(', ')}`);
  if (service === undefined) return;
  const found = desired.services.find(({ id }) => id === service);
  if (found === undefined) {
    const known = desired.services.slice(0, 10).map(({ id }) => id);
    throw new OperatingError('NOT_FOUND', `no service "${service}"; there are ${known.join(', ')}`);
  }
  if (!found.candidates.some((candidate) => candidate.pop === number)) {
    throw new OperatingError('NOT_FOUND', `PoP "${pop}" is no candidate of service "${service}"`);
  }
}
