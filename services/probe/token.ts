/**
 * Tokens of measurement plans: what the collector promised to believe, signed so that it need not remember.
 *
 *     base64url(JSON [id, expiresAtMs, prefix, [[target, weight], …]]) . base64url(HMAC-SHA256)
 *
 * A token is good for one beacon from one prefix about the targets it lists, for five minutes. Single use is decided where
 * samples are folded, by its id.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Rng } from '@ufes/core/ports.ts';
import type { TargetId } from '@ufes/core/samples.ts';
import { Refusal } from './refusals.ts';

export interface TokenClaims {
  readonly id: string;
  readonly expiresAtMs: number;
  /** /24 or /48, as text. */
  readonly prefix: string;
  /** Target → weight of its sample: 1/p of being in the plan, capped. */
  readonly targets: ReadonlyMap<TargetId, number>;
}

/** 96 bits: no two plans of a day share one. */
export function newTokenId(rng: Rng): string {
  return Buffer.from(rng.bytes(12)).toString('base64url');
}

/** The label of a plan's probe names: it joins the token with what dns and edges saw of the client. */
export function labelOf(id: string): string {
  return Buffer.from(id, 'base64url').subarray(0, 8).toString('hex');
}

export function signToken(key: Uint8Array, claims: TokenClaims): string {
  const { id, expiresAtMs, prefix, targets } = claims;
  const body = Buffer.from(JSON.stringify([id, expiresAtMs, prefix, [...targets]])).toString('base64url');
  return `${body}.${mac(key, body)}`;
}

/** What a token claims. Throws a Refusal when it is not ours or has expired; whom it was given to is the caller's to check. */
export function verifyToken(keys: readonly Uint8Array[], token: string, nowMs: number): TokenClaims {
  const [body = '', signature = '', rest] = token.split('.');
  const given = Buffer.from(signature);
  const isOwn = (key: Uint8Array): boolean => {
    const own = Buffer.from(mac(key, body));
    return given.length === own.length && timingSafeEqual(given, own);
  };
  if (rest !== undefined || !keys.some(isOwn)) {
    throw new Refusal('forged', 'the token is not one of this collector: take a new plan from /rum/plan');
  }
  const [id, expiresAtMs, boundTo, targets] = JSON.parse(Buffer.from(body, 'base64url').toString()) as [
    string,
    number,
    string,
    [TargetId, number][],
  ];
  if (expiresAtMs <= nowMs) {
    throw new Refusal('expired', 'the token has expired: take a new plan from /rum/plan');
  }
  return { id, expiresAtMs, prefix: boundTo, targets: new Map(targets) };
}

function mac(key: Uint8Array, body: string): string {
  return createHmac('sha256', key).update(body).digest('base64url');
}
