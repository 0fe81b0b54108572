/**
 * One record of the sample stream, read and checked. The collector has checked it before; it is checked again because a
 * record that cannot be folded must not stop those behind it.
 */
import { cellOf, formatPrefix, parsePrefix } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import { type Mark, type Observation, type SampleKind, type SampleRecord, shardOf } from '@ufes/core/samples.ts';

import { left } from './progress.ts';

/** Why a record was set aside; the last three are found when it is folded. */
export const rejections = [
  'json',
  'shape',
  'prefix',
  'shard',
  'future',
  'token-repeated',
  'prefixes-full',
  'unfoldable',
] as const;
export type Rejection = (typeof rejections)[number];

export const sampleKinds: readonly SampleKind[] = ['edge', 'browser', 'agent'];
/** In keys, of what is kept apart (quarantine.ts); no sample has it. */
export const quarantineKind = 'quarantine';
/** In keys, of what browsers timed whose plan was another prefix's: counts while no edge has timed the prefix. */
export const looseKind = 'loose';
const sourcePattern = /^[a-z][a-z0-9-]{0,30}$/;
const targetPattern = /^(?:pop|origin):[^|\s]{1,100}$/;
/** 1/p is capped here. */
const weightMax = 20;

export function isMark(record: SampleRecord | Mark): record is Mark {
  return 'passedMs' in record;
}

/** The record or mark, or why it cannot be folded. Observations beyond the first of a target are left out. */
export function readRecord(bytes: Uint8Array, shard: number, nowMs: number): SampleRecord | Mark | Rejection {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return 'json';
  }
  if (!isObject(value)) return 'shape';
  if ('passedMs' in value) return readMark(value['passedMs'], nowMs);
  const { token, tokenExpiresAtMs, atMs, source, kind, prefix, observations, isLoose } = value;
  if (typeof token !== 'string' || token === '' || token.length > 1_024) return 'shape';
  if (!isTime(tokenExpiresAtMs) || !isTime(atMs)) return 'shape';
  if (typeof source !== 'string' || !sourcePattern.test(source)) return 'shape';
  const kindKnown = sampleKinds.find((one) => one === kind);
  if (kindKnown === undefined || typeof prefix !== 'string' || !Array.isArray(observations)) return 'shape';
  if (!isCell(prefix)) return 'prefix';
  if (shardOf(prefix) !== shard) return 'shard';
  if (atMs > nowMs + limits.evidence.futureMs) return 'future';
  const read = readObservations(observations);
  if (read === undefined) return 'shape';
  const record = { token, tokenExpiresAtMs, atMs, source, kind: kindKnown, prefix, observations: read };
  return isLoose === true ? { ...record, isLoose } : record;
}

/** A time to come, but for the end of all, says that a collector's clock is wrong. */
function readMark(passedMs: unknown, nowMs: number): Mark | Rejection {
  if (passedMs === left) return { passedMs };
  if (!isTime(passedMs)) return 'shape';
  return passedMs > nowMs + limits.evidence.futureMs ? 'future' : { passedMs };
}

function readObservations(values: readonly unknown[]): Observation[] | undefined {
  if (values.length > limits.probe.targetsPerPlan) return undefined;
  const byTarget = new Map<string, Observation>();
  for (const value of values) {
    if (!isObject(value)) return undefined;
    const { target, ok, rttMs, weight } = value;
    if (typeof target !== 'string' || !targetPattern.test(target) || typeof ok !== 'boolean') return undefined;
    if (typeof weight !== 'number' || !(weight > 0 && weight < Number.POSITIVE_INFINITY)) return undefined;
    if (rttMs !== undefined && !(typeof rttMs === 'number' && rttMs > 0 && rttMs <= limits.probe.rttMsMax)) {
      return undefined;
    }
    if (byTarget.has(target)) continue;
    const capped = Math.min(weightMax, weight);
    byTarget.set(target, rttMs === undefined ? { target, ok, weight: capped } : { target, ok, rttMs, weight: capped });
  }
  return [...byTarget.values()];
}

/** True for a /24 or /48 in the one spelling that keys use. */
function isCell(text: string): boolean {
  const prefix = parsePrefix(text);
  return prefix !== undefined && formatPrefix(cellOf(prefix)) === text;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && value > 0 && value < 8.64e15;
}
