/**
 * What a browser is asked to measure: up to five targets, each with the probability it had of being asked, so that its
 * sample can be weighed by 1/p.
 *
 * All PoPs when they fit. Else the nearest by distance, for what exploits, and the rest at random, for what explores. A
 * quarter of plans times the direct path to origins too, so that paths can be compared for the same users.
 */
import type { DesiredPop, DesiredState } from '@ufes/core/desired.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Rng } from '@ufes/core/ports.ts';
import type { TargetId } from '@ufes/core/samples.ts';

/** Of plans in which origins take part, when any has a probeUrl. */
const originShare = 0.25;
/** An observation that was unlikely to be asked for counts for at most this many. */
export const weightMax = 20;
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

/** Index into pops of the nearest to the client, when its place is known. */
export type Nearest = (pops: readonly DesiredPop[]) => number | undefined;

/** Nothing when no probe zone is configured and no origin has a probeUrl. */
export function chooseTargets(desired: ProbeState, nearest: Nearest, rng: Rng): ChosenTarget[] {
  const pops = desired.probe.zone === undefined ? [] : desired.pops;
  const origins = desired.origins.flatMap(({ id, probeUrl }) => (probeUrl === undefined ? [] : [{ id, probeUrl }]));
  const slots = limits.probe.targetsPerPlan;
  const originSlots = Math.min(origins.length, Math.max(1, slots - pops.length));
  const withOrigins = originSlots > 0 && (pops.length === 0 || rng.next() < originShare);
  const share = originSlots === 0 ? 0 : pops.length === 0 ? 1 : originShare;

  const near = pops.length > slots - originSlots ? nearest(pops) : undefined;
  const likely = (room: number): number => {
    const fixed = near === undefined ? 0 : 1;
    return Math.min(1, (room - fixed) / Math.max(1, pops.length - fixed));
  };
  const p = share * likely(slots - originSlots) + (1 - share) * likely(slots);
  const popTarget = (index: number): ChosenTarget => ({
    id: `pop:${pops[index]!.id}`,
    url: popUrl(pops[index]!, desired.probe.zone!),
    p: index === near ? 1 : p,
  });
  const room = withOrigins ? slots - originSlots : slots;
  const others = sample(
    pops.map((_, index) => index).filter((index) => index !== near),
    room - (near === undefined ? 0 : 1),
    rng,
  );
  return [
    ...(near === undefined ? [] : [near]).map(popTarget),
    ...others.map(popTarget),
    ...sample(origins, withOrigins ? originSlots : 0, rng).map(({ id, probeUrl }) => ({
      id: `origin:${id}`,
      url: probeUrl,
      p: (share * originSlots) / origins.length,
    })),
  ];
}

/** 1/p, capped: a sample that stands for many must not speak for all of them alone. */
export function weightOf(p: number): number {
  return Math.min(weightMax, 1 / p);
}

function popUrl(pop: DesiredPop, zone: string): string {
  const port = pop.httpsPort === 443 ? '' : `:${pop.httpsPort}`;
  return `https://*-${pop.id}.${zone.replace(/\.$/, '')}${port}/p`;
}

/** `count` of `items`, each subset as likely as any other (Fisher–Yates). */
function sample<T>(items: readonly T[], count: number, rng: Rng): T[] {
  const pool = [...items];
  const taken = Math.min(count, pool.length);
  for (let i = 0; i < taken; i++) {
    const j = i + Math.floor(rng.next() * (pool.length - i));
    [pool[i], pool[j]] = [pool[j]!, pool[i]!];
  }
  return pool.slice(0, taken);
}
