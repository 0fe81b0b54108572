/**
 * Votes: from what every vantage sees of a target to one verdict. Pure.
 *
 * A target is `POP` (its edge's readiness) or `POP/SERVICE` (that service's own check there).
 *
 *     votes not expired ─▶ per vantage: more than half of its PoPs down? ─┬─ no:  trusted
 *                                                                         └─ yes: suspects itself
 *     per target: the trusted; with them the suspects, when there are two or more and no trusted one says "up"
 *               ─▶ majority, of three or more where so many are live ─▶ else the last verdict
 */
import type { CheckSettings, HealthState } from './health.ts';
import { limits } from './limits.ts';

/** What one vantage says of one target. */
export interface Vote {
  readonly vantage: string;
  readonly target: string;
  readonly state: 'up' | 'down';
  /** As `holdMs` of its check, counted from `atMs`. */
  readonly holdMs: number;
  /** Wall clock of the result behind it. */
  readonly atMs: number;
}

export interface Verdict {
  readonly state: HealthState;
  /** The state can flip after this long at the earliest; 0: no flip in sight. */
  readonly holdMs: number;
  /** Wall clock since when `state` holds. */
  readonly sinceMs: number;
  /** Votes behind it. 0: nobody could say, so it is what was known last. */
  readonly counted: number;
  /** Wall clock of the last flip between up and down; 0: there was none. */
  readonly flippedAtMs: number;
}

/** A vote older than this no longer counts. */
export function voteExpiryMs(intervalMs: number): number {
  return intervalMs * limits.health.voteIntervals;
}

export function targetOf(pop: string, service?: string): string {
  return service === undefined ? pop : `${pop}/${service}`;
}

/** PoP and service of a target; ids of services may have slashes, those of PoPs have none. */
export function splitTarget(target: string): { pop: string; service?: string } {
  const at = target.indexOf('/');
  return at < 0 ? { pop: target } : { pop: target.slice(0, at), service: target.slice(at + 1) };
}

/** The vantage that is a PoP's own edge. It has no vote on itself. */
export function edgeVantage(pop: string): string {
  return `edge-${pop}`;
}

/**
 * Verdicts on every target that has a vote or a last verdict.
 *
 * - `votes`: of all vantages, e.g. from the live store; `own`: this node's own checks, which replace what `votes` has of
 *   the same vantage. Of a vantage and target the newest counts. Votes older than three intervals do not count; once
 *   those of the others have expired, own checks decide alone.
 * - A vantage that sees more than half of its PoPs down *suspects itself* and abstains. Among the rest a target is down
 *   on a majority (a tie is up: taking a PoP out of answers is what needs the evidence).
 * - Two or more that suspect themselves are believed about a target of which no trusted vantage says "up": everything
 *   really is down. A lone one keeps the last verdict. That holds for a lone node with a single target too: it cannot
 *   tell a dead PoP from its own cut cable, and there is no other PoP that answers could move to. With two targets of
 *   which one is down it does not suspect itself, so real deaths leave the answers of a node that is cut off from all
 *   others.
 * - A verdict that flipped stays for as long as one check needs to flip back: vantages see a PoP that flaps out of step, and
 *   together would flip oftener than any of them.
 * - Where three or more vantages could vote, fewer than a majority of three move nothing; where nobody can vote, the last
 *   verdict stays too, with the shortest promise.
 *
 * holdMs is the shortest remaining promise of the votes that counted: by their checks, and where they disagree by their
 * expiry. 0 when all have full credit.
 */
export function tally(
  votes: readonly Vote[],
  own: readonly Vote[],
  last: ReadonlyMap<string, Verdict>,
  settings: CheckSettings,
  nowMs: number,
): Map<string, Verdict> {
  const { intervalMs } = settings;
  const vantages = byVantage(votes, own, voteExpiryMs(intervalMs), nowMs);
  const targets = new Set(last.keys());
  const trusted: Ballots[] = [];
  const suspects: Ballots[] = [];
  for (const ballots of vantages) {
    for (const target of ballots.of.keys()) targets.add(target);
    (suspectsItself(ballots) ? suspects : trusted).push(ballots);
  }

  const verdicts = new Map<string, Verdict>();
  for (const target of targets) {
    const before = last.get(target) ?? unknownVerdict(intervalMs, nowMs);
    const { ballots, quorum } = electorate(target, trusted, suspects);
    verdicts.set(target, next(before, ballots, majority(ballots, quorum), settings, nowMs));
  }
  return verdicts;
}

/** Targets that a vantage which does not suspect itself sees down, whatever the others say. */
export function doubtedTargets(votes: readonly Vote[], intervalMs: number, nowMs: number): Set<string> {
  const trusted = byVantage(votes, [], voteExpiryMs(intervalMs), nowMs).filter((ballots) => !suspectsItself(ballots));
  const down = trusted.flatMap(({ of }) => [...of.values()].filter(({ state }) => state === 'down'));
  return new Set(down.map(({ target }) => target));
}

/** Of what nobody has checked yet. */
export function unknownVerdict(intervalMs: number, nowMs: number): Verdict {
  return { state: 'unknown', holdMs: intervalMs, sinceMs: nowMs, counted: 0, flippedAtMs: 0 };
}

function next(
  before: Verdict,
  ballots: readonly Vote[],
  state: 'up' | 'down' | undefined,
  settings: CheckSettings,
  nowMs: number,
): Verdict {
  if (state === undefined) return { ...before, holdMs: settings.intervalMs, counted: 0 };
  const counted = ballots.length;
  if (state === before.state) return { ...before, holdMs: remainingMs(ballots, settings, nowMs), counted };
  const flips = before.state !== 'unknown';
  const needed = settings.intervalMs * (before.state === 'up' ? settings.failures : settings.successes);
  const restMs = before.flippedAtMs + needed - nowMs;
  if (flips && restMs > 0) return { ...before, holdMs: Math.min(restMs, needed), counted };
  return {
    state,
    holdMs: remainingMs(ballots, settings, nowMs),
    sinceMs: nowMs,
    counted,
    flippedAtMs: flips ? nowMs : 0,
  };
}

interface Ballots {
  readonly vantage: string;
  /** Target → newest vote. */
  readonly of: Map<string, Vote>;
}

/** Live votes. */
function byVantage(votes: readonly Vote[], own: readonly Vote[], expiryMs: number, nowMs: number): Ballots[] {
  const ownVantages = new Set(own.map((vote) => vote.vantage));
  const vantages = new Map<string, Ballots>();
  const take = (vote: Vote): void => {
    if (Math.abs(nowMs - vote.atMs) > expiryMs) return;
    let ballots = vantages.get(vote.vantage);
    if (ballots === undefined) {
      ballots = { vantage: vote.vantage, of: new Map() };
      vantages.set(vote.vantage, ballots);
    }
    const known = ballots.of.get(vote.target);
    if (known === undefined || known.atMs < vote.atMs) ballots.of.set(vote.target, vote);
  };
  for (const vote of votes) if (!ownVantages.has(vote.vantage)) take(vote);
  for (const vote of own) take(vote);
  return [...vantages.values()];
}

/**
 * More than half of its PoPs are down. Checks of services do not count here: one that nobody passes, for a mistake in
 * its expected body, would make every vantage doubt itself.
 */
function suspectsItself({ of }: Ballots): boolean {
  let down = 0;
  let all = 0;
  for (const vote of of.values()) {
    if (vote.target.includes('/')) continue;
    all++;
    if (vote.state === 'down') down++;
  }
  return down * 2 > all;
}

/** Whose votes on a target count, and how many it takes to have a majority of. */
function electorate(
  target: string,
  trusted: readonly Ballots[],
  suspects: readonly Ballots[],
): { ballots: readonly Vote[]; quorum: number } {
  const self = edgeVantage(splitTarget(target).pop);
  const votesOf = (from: readonly Ballots[]) => from.flatMap(({ of }) => of.get(target) ?? []);
  const able = (from: readonly Ballots[]) => from.filter(({ vantage }) => vantage !== self).length;
  const plain = votesOf(trusted);
  const doubted = votesOf(suspects);
  const believed = doubted.length >= 2 && plain.every((vote) => vote.state === 'down');
  const electors = believed ? able(trusted) + able(suspects) : able(trusted);
  return {
    ballots: believed ? [...plain, ...doubted] : plain,
    quorum: Math.min(limits.health.quorum, electors),
  };
}

/** Undefined: too few to say. */
function majority(ballots: readonly Vote[], quorum: number): 'up' | 'down' | undefined {
  if (ballots.length === 0) return undefined;
  const down = ballots.filter((vote) => vote.state === 'down').length;
  const needed = Math.max(ballots.length, quorum);
  if (down * 2 > needed) return 'down';
  return (ballots.length - down) * 2 >= needed ? 'up' : undefined;
}

/**
 * Shortest of what is left of the promises; at least 1 when there is one, because 0 means "no flip in sight". Votes that
 * agree cannot flip anything by expiring; where they disagree, one that is overdue may be about to leave.
 */
function remainingMs(ballots: readonly Vote[], settings: CheckSettings, nowMs: number): number {
  const { intervalMs, failures, successes } = settings;
  const expiryMs = voteExpiryMs(intervalMs);
  const agree = ballots.every((vote) => vote.state === ballots[0]!.state);
  let quiet = true;
  let least = Number.POSITIVE_INFINITY;
  for (const vote of ballots) {
    const ageMs = Math.max(0, nowMs - vote.atMs);
    if (vote.holdMs > 0 || (!agree && ageMs > 2 * intervalMs)) quiet = false;
    const settledMs = intervalMs * (vote.state === 'up' ? failures : successes);
    least = Math.min(least, (vote.holdMs > 0 ? vote.holdMs : settledMs) - ageMs);
    if (!agree) least = Math.min(least, expiryMs - ageMs);
  }
  return quiet ? 0 : Math.max(1, least);
}
