/** From samples to sketches, and from sketches to the cells of a build. The simulator feeds its builds by this too. */
import { parsePrefix } from '@ufes/core/ip.ts';
import type { EvidenceRow } from '@ufes/core/ports.ts';
import type { SampleRecord } from '@ufes/core/samples.ts';
import { Sketch } from '@ufes/core/sketch/sketch.ts';
import type { Ground, SteeringBuild } from '@ufes/core/steering/build.ts';
import type { Geoip } from '@ufes/geoip/geoip.ts';
import type { EvidenceTable } from './evidence.ts';
import { placeOf } from './ground.ts';
import type { MapPlan } from './plan.ts';

const noEvidence = { ms: Number.NaN, lowMs: 0, highMs: Number.POSITIVE_INFINITY, n: 0 };

/** Rows of all keys that the samples speak of, with what the table has of them taken in. The table stays as it is. */
export function sketchSamples(table: EvidenceTable, samples: readonly SampleRecord[]): EvidenceRow[] {
  const sketches = new Map<string, Sketch>();
  for (const { prefix, kind, source, atMs, observations } of samples) {
    for (const { target, ok, rttMs, weight } of observations) {
      const key = `${prefix}|${target}|${kind}|${source}`;
      let sketch = sketches.get(key);
      if (sketch === undefined) {
        const held = table.get(key);
        sketch = held === undefined ? new Sketch() : Sketch.decode(held);
        sketches.set(key, sketch);
      }
      if (!ok) sketch.fail();
      else if (rttMs !== undefined) sketch.add(rttMs, atMs, weight);
    }
  }
  return [...sketches].map(([key, sketch]) => ({ key, bytes: sketch.encode() }));
}

export interface Fed {
  readonly build: SteeringBuild;
  readonly plan: MapPlan;
  readonly geoip: Geoip;
  readonly ground: Ground;
}

/** Brings a prefix's evidence into its cell. True when the last quarter of an hour speaks there: look again when it is over. */
export function feedCell(
  { build, plan, geoip, ground }: Fed,
  table: EvidenceTable,
  text: string,
  nowMs: number,
): boolean {
  const { targets, samples } = table.summary(text, new Set(plan.sources), nowMs);
  const { cells } = build;
  const prefix = parsePrefix(text)!;
  let row = cells.rowOf(prefix.family, prefix.hi, prefix.lo);
  if (row < 0) {
    if (targets.size === 0) return false;
    row = cells.add(placeOf(geoip, ground, plan.popVectors, prefix));
  }
  let demoted = false;
  for (const [pop, id] of plan.pops.entries()) {
    const summary = targets.get(`pop:${id}`);
    cells.setOwn(row, pop, summary?.own ?? noEvidence, summary?.lastSeconds ?? 0);
    demoted ||= summary?.demoted === true;
  }
  cells.setSamples(row, samples);
  return demoted;
}
