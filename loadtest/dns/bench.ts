/** Contenders measured in turn, all but one asleep: what changes on the machine meanwhile meets each of them alike. */
import { load, pause } from './machine.ts';
import type { QueryFiles } from './queries.ts';
import { type Companions, type Server, sleep, wake } from './server.ts';

export interface Contender {
  readonly server: Server;
  readonly companions: Companions;
  /** After waking: until its own housekeeping has caught up. */
  readonly settleMs: number;
}

/** One row of the CSV. */
export interface Sample {
  readonly case: string;
  readonly server: string;
  readonly round: number;
  readonly load: number;
  readonly values: Readonly<Record<string, number>>;
}

export interface Entry {
  readonly contender: Contender;
  readonly files: QueryFiles;
}

/**
 * `rounds` times each entry, in an order that turns; one more before, not counted: caches fill, code gets compiled.
 * Contenders are asleep before and after.
 */
export async function alternate(
  name: string,
  entries: readonly Entry[],
  rounds: number,
  measure: (entry: Entry) => Promise<Readonly<Record<string, number>>>,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round <= rounds; round++) {
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[(i + round) % entries.length]!;
      const { server, companions, settleMs } = entry.contender;
      wake(server, companions);
      await pause(settleMs);
      const values = await measure(entry);
      sleep(server, companions);
      if (round === 0) continue;
      samples.push({ case: name, server: server.name, round, load: load(), values });
      const text = Object.entries(values).map(([key, value]) => `${key} ${value}`);
      process.stderr.write(`${name}, round ${round}: ${server.name}: ${text.join(', ')}\n`);
    }
  }
  return samples;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export type Medians = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** By server, the median of each value. */
export function medians(samples: readonly Sample[]): Medians {
  const byServer = Object.groupBy(samples, (sample) => sample.server);
  return Object.fromEntries(
    Object.entries(byServer).map(([server, own]) => {
      const keys = Object.keys(own![0]!.values);
      return [
        server,
        Object.fromEntries(keys.map((key) => [key, round(median(own!.map(({ values }) => values[key]!)))])),
      ];
    }),
  );
}

export const round = (value: number): number => Math.round(1000 * value) / 1000;

/** One line of the acceptance list: measured against its bound. */
export interface Claim {
  readonly claim: string;
  readonly measured: number;
  readonly bound: number;
  readonly holds: boolean;
}

export function atMost(claim: string, measured: number, bound: number): Claim {
  return { claim, measured: round(measured), bound, holds: measured <= bound };
}

export interface CaseResult {
  readonly name: string;
  readonly title: string;
  readonly medians: Medians;
  readonly claims: readonly Claim[];
  readonly samples: readonly Sample[];
  /** Whatever else was seen. */
  readonly more?: Readonly<Record<string, unknown>>;
}
