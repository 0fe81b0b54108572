/**
 * What is kept of each hour when samples have decayed and maps have gone: response times by path, round trips and samples
 * by country and PoP. One row an hour in the history stream `rollup`; written anew while the hour lasts, so that a job
 * that runs twice, here or elsewhere, changes nothing.
 */
import type { RollupHour, RollupPair, RollupPath } from '@ufes/core/dashboard.ts';
import { limits } from '@ufes/core/limits.ts';
import type { HistoryStore } from '@ufes/core/ports.ts';
import { Sketch } from '@ufes/core/sketch/sketch.ts';
import { countryText } from '@ufes/geoip/geoip.ts';
import type { Current } from './builder.ts';
import { compare } from './compare.ts';
import type { EvidenceTable } from './evidence.ts';
import { tenth } from './model.ts';
import { quarantineKind } from './record.ts';

const hourMs = 3_600_000;
const stream = 'rollup';

/** Rejects with STORE_UNAVAILABLE. */
export async function rollUp(
  current: Current,
  table: EvidenceTable,
  history: HistoryStore,
  nowMs: number,
): Promise<RollupHour> {
  const hour: RollupHour = {
    hourMs: Math.floor(nowMs / hourMs) * hourMs,
    atMs: nowMs,
    paths: pathsOf(current, table, nowMs),
    pairs: await pairsOf(current, table),
  };
  const key = new Date(hour.hourMs).toISOString();
  const keep = { fromMs: nowMs - limits.mapper.rollupKeptMs, bytes: limits.mapper.rollupBytes };
  await history.append(stream, { atMs: hour.hourMs, key, bytes: Buffer.from(JSON.stringify(hour)) }, keep);
  return hour;
}

/** Oldest first, from `fromMs` on. Rejects with STORE_UNAVAILABLE. */
export async function rolledUp(history: HistoryStore, fromMs: number, limit: number): Promise<RollupHour[]> {
  const rows = await history.list(stream, { fromMs, limit });
  return rows.map(({ bytes }) => JSON.parse(new TextDecoder().decode(bytes)) as RollupHour).reverse();
}

/** Of each service that has PoPs. */
function pathsOf(current: Current, table: EvidenceTable, nowMs: number): RollupPath[] {
  return current.desired.services.flatMap((service) => {
    const found = compare(current, table, service, nowMs);
    if (found === undefined || found.all.count === 0) return [];
    return found.all.series.map(({ path, count, measured, meanMs, p50Ms, p95Ms }) => ({
      service: found.service,
      path,
      users: count,
      measured,
      meanMs,
      p50Ms,
      p95Ms,
    }));
  });
}

/** Sketches of all prefixes, merged by country and PoP, a few at a time: folding and building go on meanwhile. */
async function pairsOf({ plan, build, geoip }: Current, table: EvidenceTable): Promise<RollupPair[]> {
  const sources = new Set(plan.sources);
  const pairs = new Map<string, Sketch>();
  const { cells } = build;
  for (let number = 0; number < table.numbers; number++) {
    if (number % limits.mapper.rollupStride === limits.mapper.rollupStride - 1) await new Promise(setImmediate);
    const { family, hi, lo } = table.prefixOf(number);
    const row = cells.rowOf(family, hi, lo);
    const location = row < 0 ? -1 : cells.location[row]!;
    const country = location < 0 ? '' : countryText(geoip.locations.country[location]!);
    table.forEach(number, (entry) => {
      const { target, kind, source } = table.rests[entry.rest]!;
      if (!target.startsWith('pop:') || kind === quarantineKind || !sources.has(source)) return;
      const key = `${country}|${target.slice('pop:'.length)}`;
      pairs.set(key, (pairs.get(key) ?? new Sketch()).merge(table.read(entry)));
    });
  }
  return [...pairs]
    .filter(([, { count }]) => count > 0)
    .map(([key, sketch]): RollupPair => {
      const [country = '', pop = ''] = key.split('|');
      const ms = (quantile: number) => tenth(sketch.quantile(quantile));
      return { ...(country !== '' && { country }), pop, samples: sketch.count, p50Ms: ms(0.5), p95Ms: ms(0.95) };
    })
    .sort((a, b) => b.samples - a.samples)
    .slice(0, limits.mapper.rollupPairs);
}
