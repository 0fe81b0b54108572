/**
 * What a browser is asked to measure: up to five targets, each with the probability it had of being asked, so that its
 * sample can be weighed by 1/p.
 *
 * All PoPs when they fit. Else the incumbent, those that may yet turn out best, and one at random
 * (core/steering/targets.ts). A quarter of plans times the direct path to origins too, so that paths can be compared for
 * the same users.
 */
import type { DesiredPop, DesiredState } from '@ufes/core/desired.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Rng } from '@ufes/core/ports.ts';
import type { TargetId } from '@ufes/core/samples.ts';
import { type Beliefs, chanceOf, chooseAmong, drawFrom, drawSome } from '@ufes/core/steering/targets.ts';

/** Of plans in which origins take part, when any has a probeUrl. */
const originShare = 0.25;
/** Warm fetches a target. */
export const fetches = 3;

export interface ChosenTarget {
  readonly id: TargetId;
  /** `*` stands for the plan's random label. */
  readonly url: string;
  /** Probability that a plan for this client has it. */
  readonly p: number;
}

export type ProbeState = Pick<DesiredState, 'pops' | 'origins' | 'probe'>;

/** Nothing when no probe zone is configured and no origin has a probeUrl. `beliefs` number PoPs as `desired` does. */
export function chooseTargets(desired: ProbeState, beliefs: Beliefs, rng: Rng): ChosenTarget[] {
  const zone = desired.probe.zone;
  const pops = zone === undefined ? [] : desired.pops;
  const origins = desired.origins.flatMap(({ id, probeUrl }) => (probeUrl === undefined ? [] : [{ id, probeUrl }]));
  const slots = limits.probe.targetsPerPlan;
  const originSlots = Math.min(origins.length, Math.max(1, slots - pops.length));
  const share = originSlots === 0 ? 0 : pops.length === 0 ? 1 : originShare;
  const withOrigins = share === 1 || (share > 0 && rng.next() < share);

  const known = zone === undefined ? { ...beliefs, ranking: [] } : beliefs;
  const alone = chooseAmong(known, slots);
  const beside = chooseAmong(known, slots - originSlots);
  return [
    ...drawFrom(withOrigins ? beside : alone, rng).map((pop) => ({
      id: `pop:${pops[pop]!.id}`,
      url: popUrl(pops[pop]!, zone!),
      p: share * chanceOf(beside, pop) + (1 - share) * chanceOf(alone, pop),
    })),
    ...drawSome(origins, withOrigins ? originSlots : 0, rng).map(({ id, probeUrl }) => ({
      id: `origin:${id}`,
      url: probeUrl,
      p: (share * originSlots) / origins.length,
    })),
  ];
}

function popUrl(pop: DesiredPop, zone: string): string {
  const port = pop.httpsPort === 443 ? '' : `:${pop.httpsPort}`;
  return `https://*-${pop.id}.${zone.replace(/\.$/, '')}${port}/p`;
}
