/**
 * Steered answers of the last minutes, counted by country and PoP, and the newest few in full. A ring of short buckets:
 *
 *     bucket   0 │ 1 │ 2 │ … │ 59      each bucketMs long; the one that `now` falls in is being filled,
 *                                      the oldest is cleared for it
 *
 * dns numbers its answers and remembers only the last of them, so a gap in the numbers is counted as `unseen`.
 */
import type { DnsAnswers, RecentAnswer, WorldAnswers } from '@ufes/core/dashboard.ts';
import { limits } from '@ufes/core/limits.ts';

const buckets = limits.dashboard.answerBuckets;
const bucketMs = limits.dashboard.answerBucketMs;

interface Bucket {
  /** Which stretch of time it holds: floor(ms / bucketMs). */
  stretch: number;
  unseen: number;
  /** country → PoP id → answers. '' is not known, or none. */
  readonly counts: Map<string, Map<string, number>>;
}

export class AnswerWindow {
  readonly #ring: Bucket[] = Array.from({ length: buckets }, () => ({ stretch: -1, unseen: 0, counts: new Map() }));
  #recent: RecentAnswer[] = [];
  /** Number of the newest answer counted; 0: none. What to ask dns for next. */
  since = 0;
  readonly #countryOf: (client: string) => string | undefined;

  /** `countryOf`: ISO code for a prefix in text. */
  constructor(countryOf: (client: string) => string | undefined) {
    this.#countryOf = countryOf;
  }

  /** Takes what dns answered to /answers?since=`since`. */
  take(read: DnsAnswers, nowMs: number): void {
    // A smaller number than before: dns restarted and counts from 1 again; the next look asks for all of them.
    const restarted = read.last < this.since;
    if (restarted && read.answers.length === 0) {
      this.since = 0;
      return;
    }
    const before = restarted ? 0 : this.since;
    const first = read.answers[0];
    // At the very first look what came before is of no interest.
    if (first !== undefined && before > 0 && first.seq > before + 1) {
      this.#bucket(nowMs, nowMs).unseen += first.seq - before - 1;
    }
    for (const answer of read.answers) {
      if (answer.seq <= before) continue;
      const country = this.#countryOf(answer.client);
      this.#count(this.#bucket(answer.atMs, nowMs), country ?? '', answer.pop ?? '');
      this.#recent.unshift({
        seq: answer.seq,
        atMs: answer.atMs,
        name: answer.name.replace(/\.$/, ''),
        client: answer.client,
        ...(country === undefined ? {} : { country }),
        ...(answer.pop === undefined ? {} : { pop: answer.pop }),
      });
    }
    this.#recent = this.#recent.slice(0, limits.dashboard.recentAnswers);
    this.since = read.last;
  }

  /** The bucket for `atMs`; times that are too old or ahead count as now. */
  #bucket(atMs: number, nowMs: number): Bucket {
    const now = Math.floor(nowMs / bucketMs);
    const asked = Math.floor(atMs / bucketMs);
    const stretch = asked > now || asked <= now - buckets ? now : asked;
    const bucket = this.#ring[stretch % buckets]!;
    if (bucket.stretch !== stretch) {
      bucket.stretch = stretch;
      bucket.unseen = 0;
      bucket.counts.clear();
    }
    return bucket;
  }

  #count(bucket: Bucket, country: string, pop: string): void {
    let byPop = bucket.counts.get(country);
    if (byPop === undefined) {
      byPop = new Map();
      bucket.counts.set(country, byPop);
    }
    byPop.set(pop, (byPop.get(pop) ?? 0) + 1);
  }

  /** Countries with most answers first. */
  view(nowMs: number): WorldAnswers {
    const oldest = Math.floor(nowMs / bucketMs) - buckets;
    const sums = new Map<string, Map<string, number>>();
    let unseen = 0;
    for (const bucket of this.#ring) {
      if (bucket.stretch <= oldest) continue;
      unseen += bucket.unseen;
      for (const [country, byPop] of bucket.counts) {
        let sum = sums.get(country);
        if (sum === undefined) {
          sum = new Map();
          sums.set(country, sum);
        }
        for (const [pop, n] of byPop) sum.set(pop, (sum.get(pop) ?? 0) + n);
      }
    }
    const byCountry = [...sums]
      .map(([country, byPop]) => ({
        ...(country === '' ? {} : { country }),
        total: [...byPop.values()].reduce((a, b) => a + b, 0),
        byPop: Object.fromEntries(byPop),
      }))
      .sort((a, b) => b.total - a.total || (a.country ?? '').localeCompare(b.country ?? ''));
    return {
      windowSeconds: (buckets * bucketMs) / 1000,
      total: byCountry.reduce((sum, row) => sum + row.total, unseen),
      unseen,
      byCountry,
      recent: this.#recent,
    };
  }
}
