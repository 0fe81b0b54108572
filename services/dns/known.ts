/** What a node knows of its live state beside the words that answers read: now, by its feed; in the past, by its journal. */
import type { ExternalVerdict } from '@ufes/core/belief.ts';
import type { HealthState } from '@ufes/core/health.ts';
import type { LiveFacts } from '@ufes/core/live-facts.ts';
import type { HealthExplanation, SaidExplanation } from '@ufes/core/steering/explanation.ts';
import type { LiveThen } from '@ufes/io/history.ts';
import type { Known } from './explain.ts';
import type { LiveFeed } from './live-feed.ts';

export function knownNow(feed: LiveFeed, node: string, atMs: number): Known {
  const votes = feed.votes();
  const verdicts = feed.verdicts();
  const drains = new Map(feed.orders.inForce('drain').map((order) => [order.pop, order]));
  const external = new Map(feed.external().map((one) => [one.target, one]));
  return {
    node,
    atMs,
    force(slot) {
      const order = feed.orders.at(slot);
      if (order === undefined) return undefined;
      const { key, glob = '', by, reason } = order;
      return { id: key.slice('force/'.length), glob, actor: by, reason, untilMs: order.untilMs };
    },
    health(target): HealthExplanation | undefined {
      const verdict = verdicts.get(target);
      if (verdict === undefined) return undefined;
      const cast = (votes.get(target) ?? []).map(({ vantage, state, atMs: voteMs }) => ({
        vantage,
        state,
        atMs: voteMs,
      }));
      return { state: verdict.state, sinceMs: verdict.sinceMs, counted: verdict.counted, votes: cast };
    },
    drain(pop) {
      const order = drains.get(pop);
      return order && { untilMs: order.untilMs, by: order.by, reason: order.reason };
    },
    said: (target) => saidBy(external.get(target)),
  };
}

function saidBy(one: ExternalVerdict | undefined): SaidExplanation | undefined {
  if (one === undefined || one.state === 'none') return undefined;
  const { state, untilMs, by, reason } = one;
  return { state, untilMs, by, reason };
}

/** By the facts of the journal (core/live-facts.ts). */
export function knownThen({ node, sinceMs, facts }: LiveThen, atMs: number): Known {
  const text = (key: string, i: number) => String(facts.get(key)?.[i] ?? '');
  return {
    node,
    atMs,
    past: { sinceMs },
    force(slot) {
      const key = `force/${slot}`;
      return facts.has(key)
        ? { id: text(key, 4), glob: text(key, 5), actor: text(key, 6), reason: text(key, 7) }
        : undefined;
    },
    health: (target) => healthThen(facts, node, target),
    drain(pop) {
      const key = `drain/${pop}`;
      return facts.has(key)
        ? { untilMs: Number(facts.get(key)![0]), by: text(key, 1), reason: text(key, 2) }
        : undefined;
    },
    said(target) {
      const key = `said/${target}`;
      const state = text(key, 0);
      if (state !== 'up' && state !== 'down') return undefined;
      return { state, untilMs: Number(facts.get(key)![1]), by: text(key, 2), reason: text(key, 3) };
    },
  };
}

function healthThen(facts: LiveFacts, node: string, target: string): HealthExplanation | undefined {
  const verdict = facts.get(`votes/${target}`);
  if (verdict === undefined) return undefined;
  const own = facts.get(`own/${target}`)?.[0];
  return {
    state: String(verdict[0]) as HealthState,
    counted: Number(verdict[1]),
    sinceMs: Number(verdict[2]),
    votes: own === undefined ? [] : [{ vantage: node, state: String(own) as HealthState }],
  };
}
