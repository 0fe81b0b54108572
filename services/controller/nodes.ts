/** What the nodes of the tree say in the live store: applied versions, and the verdict on each PoP. */
import { checkSettings } from '@ufes/core/health.ts';
import { limits } from '@ufes/core/limits.ts';
import type { LiveStore } from '@ufes/core/ports.ts';
import { parseVersion, type Version } from '@ufes/core/version.ts';
import { tally, type Verdict } from '@ufes/core/votes.ts';
import { readVotes } from '@ufes/io/health/votes.ts';
import type { Nodes } from './order.ts';

/** Rejects with STORE_UNAVAILABLE. `last` carries verdicts from look to look and is updated. */
export async function readNodes(
  live: LiveStore,
  intervalMs: number,
  last: Map<string, Verdict>,
  nowMs: number,
): Promise<Nodes> {
  const edges = new Map<string, Version>();
  const dns = new Map<string, Version>();
  for (const { key, value } of await live.list('applied/')) {
    const [, node, kind] = key.split('/');
    const version =
      kind === 'desired' ? parseVersion(String((value as { version?: unknown } | null)?.version)) : undefined;
    if (node === undefined || version === undefined) continue;
    if (node.startsWith('edge-')) edges.set(node.slice('edge-'.length), version);
    else if (node === 'dns' || node.startsWith('dns-')) dns.set(node, version);
  }
  const votes = readVotes(await live.list('vote/'));
  const verdicts = tally(votes, [], last, checkSettings({ ...limits.health, intervalMs }), nowMs);
  for (const [target, verdict] of verdicts) last.set(target, verdict);
  return { edges, dns, isDown: (pop) => verdicts.get(pop)?.state === 'down' };
}
