/**
 * Resolvers between users and dns: one a prefix, each keeps an answer for its TTL, some for five. What a PoP carries is
 * what they hold, not what dns would say now.
 */
import type { Rng } from '@ufes/core/ports.ts';
import type { Steering } from './steering.ts';

export const staleShare = 0.05;
const staleTtls = 5;

export class Resolvers {
  /** PoP by user. */
  readonly held: Int16Array;
  readonly #steering: Steering;
  readonly #expiryMs: Float64Array;
  readonly #stale: Uint8Array;

  /** As after a long time: every answer somewhere in its life. */
  constructor(steering: Steering, nowMs: number, rng: Rng) {
    const { users } = steering.world;
    this.#steering = steering;
    this.held = Int16Array.from(users, (_, user) => steering.choose(user));
    this.#stale = Uint8Array.from(users, () => (rng.next() < staleShare ? 1 : 0));
    this.#expiryMs = Float64Array.from(users, (_, user) => {
      steering.choose(user);
      return nowMs + rng.next() * this.#keepMs(user);
    });
  }

  /** It holds answers for longer than it may. */
  isStale(user: number): boolean {
    return this.#stale[user] === 1;
  }

  /** Asks again for what has expired. */
  step(nowMs: number): void {
    for (let user = 0; user < this.held.length; user++) {
      if (this.#expiryMs[user]! > nowMs) continue;
      this.held[user] = this.#steering.choose(user);
      this.#expiryMs[user] = nowMs + this.#keepMs(user);
    }
  }

  /** Longest that an answer given now is held by one that keeps to it; the others hold it for five times that. */
  get ttlMs(): number {
    return this.#steering.desired.services[0]!.ttlSecondsMax * 1000;
  }

  /** Requests a second by PoP. `demand` of a user. */
  loads(demand: (user: number) => number): number[] {
    const loads = this.#steering.world.popIds.map(() => 0);
    for (const [user, pop] of this.held.entries()) if (pop >= 0) loads[pop]! += demand(user);
    return loads;
  }

  #keepMs(user: number): number {
    return this.#steering.ttlSeconds * 1000 * (this.#stale[user] === 1 ? staleTtls : 1);
  }
}
