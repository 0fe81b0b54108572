/** Votes as entries of the live store: `vote/VANTAGE/POP[/SERVICE]` = {state, holdMs, atMs, sinceMs}. */
import type { LiveEntry } from '@ufes/core/ports.ts';
import type { Vote } from '@ufes/core/votes.ts';

export function voteKey(vantage: string, target: string): string {
  return `vote/${vantage}/${target}`;
}

/** The votes among live entries (`store.live.list('vote/')`); what is malformed is left out. */
export function readVotes(entries: readonly LiveEntry[]): Vote[] {
  return entries.flatMap(({ key, value }) => {
    const [kind, vantage, ...rest] = key.split('/');
    const target = rest.join('/');
    if (kind !== 'vote' || !vantage || !target || rest.includes('')) return [];
    if (typeof value !== 'object' || value === null) return [];
    const { state, holdMs, atMs } = value as Record<string, unknown>;
    if (state !== 'up' && state !== 'down') return [];
    if (typeof holdMs !== 'number' || typeof atMs !== 'number') return [];
    return [{ vantage, target, state, holdMs, atMs }];
  });
}
