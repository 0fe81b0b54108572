/** What the nodes of the tree say in the live store: applied versions, and the verdict on each PoP. */
import { type HealthState, tally, type Verdict, type Vote } from '@ufes/core/health.ts';
import type { LiveStore } from '@ufes/core/ports.ts';
import { parseVersion, type Version } from '@ufes/core/version.ts';
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
  const votes = (await live.list('vote/')).flatMap(({ key, value, writtenAtMs }): Vote[] => {
    const [, vantage, target] = key.split('/');
    const { state, holdMs } = value as { state: HealthState; holdMs: number };
    if (vantage === undefined || target === undefined || (state !== 'up' && state !== 'down')) return [];
    return [{ vantage, target, state, holdMs, atMs: writtenAtMs }];
  });
  const verdicts = tally(votes, [], last, intervalMs, nowMs);
  for (const [target, verdict] of verdicts) last.set(target, verdict);
  return { edges, dns, isDown: (pop) => verdicts.get(pop)?.state === 'down' };
}
