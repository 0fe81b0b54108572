/** Brings what edges timed to the watch over PoPs, and what that sees into a build. The simulator does by this too. */
import { cellOf, parsePrefix } from '@ufes/core/ip.ts';
import type { SampleRecord } from '@ufes/core/samples.ts';
import type { Degradations } from '@ufes/core/steering/degraded.ts';
import type { Fed } from './feed.ts';

const target = 'pop:';

export function noteEdgeTimed(degradations: Degradations, { prefix, kind, atMs, observations }: SampleRecord): void {
  const parsed = kind === 'edge' ? parsePrefix(prefix) : undefined;
  if (parsed === undefined) return;
  const { family, hi, lo } = cellOf(parsed);
  for (const { target: of, ok, rttMs } of observations) {
    if (ok && rttMs !== undefined && of.startsWith(target)) {
      degradations.add(of.slice(target.length), family, hi, lo, rttMs, atMs);
    }
  }
}

/** Tells a build what is degraded now. */
export function applyDegraded({ now }: Degradations, { build, plan }: Fed): void {
  const known = [...now].filter(([id]) => plan.pops.includes(id));
  build.setDegraded(new Map(known.map(([id, { ms }]) => [plan.pops.indexOf(id), ms])));
}

/** Looks at all PoPs again; true when the build has to look at everything because of that. */
export function stepDegraded(degradations: Degradations, fed: Fed, nowMs: number): boolean {
  if (!degradations.step(fed.build.cells, fed.plan.pops, nowMs)) return false;
  applyDegraded(degradations, fed);
  return true;
}
