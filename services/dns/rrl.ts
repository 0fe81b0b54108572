/**
 * Response rate limiting: how many answers a second one client network (/24, /56) gets over UDP, so that nobody can
 * have us flood a third party with answers to queries it never sent.
 *
 *     network ──hash──▶ set of 4 ways × 4 words    tag | filled until, µs | queries over the limit | byte credit
 *
 * Each answer fills the network's bucket by 1/limit seconds; a bucket more than a second ahead of the clock is over the
 * limit (the generic cell rate algorithm: one word a network). Of the queries over it one in `slip` gets a truncated
 * answer, so that a real client can come back over TCP, and only while the bytes of such answers stay within the bytes
 * of such queries. The table is bounded; a new network takes the way that is emptiest, so that one over its limit stays.
 *
 * The table lies in shared memory. Threads write it without locks: a lost update is an answer more.
 */
import type { Address } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';

export const Admitted = {
  yes: 0,
  /** No answer. */
  no: 1,
  /** A truncated one, if `afford` lets it. */
  slipped: 2,
} as const;
export type Admitted = (typeof Admitted)[keyof typeof Admitted];

export interface RateLimit {
  /** By one network; 0: no limit. */
  readonly answersPerSecond: number;
  readonly slip: number;
}

const ways = 4;
const wayWords = 4;
const setWords = ways * wayWords;
/** What may be filled ahead: a second's answers at once. */
const burstUs = 1_000_000;
/** A network cannot save up credit for a burst. */
const creditBytesMax = 4_096;

export interface RateTable {
  readonly words: Int32Array;
  /** Of the hash: nobody outside knows which networks meet in a set. */
  readonly seed: number;
}

export function createRateTable(
  seed: number,
  buffer = new SharedArrayBuffer(4 * setWords * limits.dns.rateSets),
): RateTable {
  return { words: new Int32Array(buffer), seed };
}

/** One a thread, over the table of all. */
export class RateLimiter {
  readonly #words: Int32Array;
  readonly #seed: number;
  readonly #costUs: number;
  readonly #slip: number;
  #nowMs = 0;
  #nowUs = 0;
  /** Way of the last query that slipped. */
  #way = 0;

  constructor(table: RateTable, limit: RateLimit) {
    this.#words = table.words;
    this.#seed = table.seed;
    this.#costUs = limit.answersPerSecond === 0 ? 0 : Math.max(1, Math.round(1_000_000 / limit.answersPerSecond));
    this.#slip = limit.slip;
  }

  /** Counts an answer to a query of `bytes` bytes. No allocation. */
  admit(peer: Address, bytes: number, nowMs: number): Admitted {
    if (this.#costUs === 0) return Admitted.yes;
    if (nowMs !== this.#nowMs) {
      this.#nowMs = nowMs;
      this.#nowUs = (nowMs * 1000) | 0;
    }
    const words = this.#words;
    const tag = networkHash(peer, this.#seed);
    const way = findWay(words, ((tag >>> 3) & (limits.dns.rateSets - 1)) * setWords, tag, this.#nowUs);
    if (words[way] !== tag) {
      words[way] = tag;
      words[way + 1] = this.#nowUs;
      words[way + 2] = 0;
      words[way + 3] = 0;
    }
    let ahead = (words[way + 1]! - this.#nowUs) | 0;
    // Idle, or of another age: the clock's word wraps after 71 minutes.
    if (ahead < 0 || ahead > burstUs + this.#costUs) ahead = 0;
    if (ahead <= burstUs - this.#costUs) {
      words[way + 1] = this.#nowUs + ahead + this.#costUs;
      return Admitted.yes;
    }
    const credit = words[way + 3]! + bytes;
    words[way + 3] = Math.min(credit, creditBytesMax);
    const over = words[way + 2]! + 1;
    words[way + 2] = over;
    if (over % this.#slip !== 0) return Admitted.no;
    this.#way = way;
    return Admitted.slipped;
  }

  /** Whether the query that slipped last may be answered with `bytes` bytes. */
  afford(bytes: number): boolean {
    const credit = this.#words[this.#way + 3]! - bytes;
    if (credit < 0) return false;
    this.#words[this.#way + 3] = credit;
    return true;
  }
}

/** The way of this tag, or the emptiest. */
function findWay(words: Int32Array, set: number, tag: number, nowUs: number): number {
  let emptiest = set;
  let least = 0x7fffffff;
  for (let way = set; way < set + setWords; way += wayWords) {
    if (words[way] === tag) return way;
    const ahead = (words[way + 1]! - nowUs) | 0;
    if (ahead < least) {
      least = ahead;
      emptiest = way;
    }
  }
  return emptiest;
}

/** Of the /24 or /56; two networks of one family differ in it (v4), or nearly always (v6). */
function networkHash({ family, hi, lo }: Address, seed: number): number {
  if (family === 4) return mix((hi >>> 8) ^ seed);
  return mix(mix(hi ^ seed) ^ (lo >>> 8) ^ 0x40000000);
}

/** A permutation of 32-bit words that spreads every bit (murmur3's last step). */
function mix(word: number): number {
  let h = word;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
