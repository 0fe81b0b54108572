/** For tests: maps of some /24s with rankings and estimates, and what PoPs are. */
import type { JudgeInput, PopNow } from './judging.ts';
import { findInterval, noPop, type SteeringMap, Tier } from './map.ts';

export const judgedPops = ['fra', 'iad', 'lon', 'sin'];
export const judgedKey = 'fra,iad,lon,sin|eu|1|latency';

export interface TestCell {
  /** Number of the /24, from 10.0.0.0 on; every second one is a cell, so that no two touch, unless asked for. */
  readonly at: number;
  /** Ids, best first. */
  readonly ranking: readonly string[];
  /** Estimates by id, milliseconds; default: by place in the ranking, 20 ms apart. */
  readonly ms?: Readonly<Record<string, number>>;
  /** Effective n; 0: not measured. */
  readonly n?: number;
}

export const hiOf = (at: number): number => 0x0a000000 + at * 256;

export function judgedMap(cells: readonly TestCell[], over: Partial<SteeringMap> = {}): SteeringMap {
  const pops = over.pops ?? judgedPops;
  const sorted = cells.toSorted((a, b) => a.at - b.at);
  const column = () => new Uint16Array(cells.length * pops.length).fill(65_535);
  const [estimate, low, high, n] = [column(), column(), column(), new Uint16Array(cells.length * pops.length)];
  const tier = new Uint8Array(cells.length * pops.length);
  for (const [row, cell] of sorted.entries()) {
    for (const [pop, id] of pops.entries()) {
      const at = row * pops.length + pop;
      estimate[at] = 10 * (cell.ms?.[id] ?? 20 * (1 + Math.max(0, cell.ranking.indexOf(id))));
      n[at] = cell.n ?? 30;
      tier[at] = (cell.n ?? 30) > 0 ? Tier.prefix : Tier.prior;
    }
  }
  const none = new Uint32Array(0);
  const table = { v4: Uint32Array.from(sorted, ({ at }) => hiOf(at)), v6hi: none, v6lo: none };
  const groups = over.groups ?? [
    groupOf(judgedKey, sorted, pops),
    groupOf(judgedKey.replace('latency', 'geo'), [], pops),
  ];
  return {
    createdAtMs: 1,
    pops,
    sources: ['rum'],
    geoip: '',
    groups,
    cells: { ...table, estimate, low, high, n, tier },
    ...over,
  };
}

function groupOf(key: string, cells: readonly TestCell[], pops: readonly string[]): SteeringMap['groups'][number] {
  const base = pops.map((_, pop) => pop);
  const rows: string[] = [base.join()];
  const rowOf = ({ ranking }: TestCell) => {
    const numbers = ranking.map((id) => pops.indexOf(id)).filter((pop) => pop >= 0);
    const text = [...numbers, ...base.filter((pop) => !numbers.includes(pop))].join();
    if (!rows.includes(text)) rows.push(text);
    return rows.indexOf(text);
  };
  const starts: [number, number][] = [[0, 0]];
  const push = (start: number, row: number) => {
    if (starts.at(-1)![0] === start) starts.pop();
    if (starts.at(-1)?.[1] !== row) starts.push([start, row]);
  };
  for (const cell of cells) {
    push(hiOf(cell.at), rowOf(cell));
    push(hiOf(cell.at) + 256, 0);
  }
  return {
    key,
    width: pops.length,
    v4: {
      family: 4,
      hi: Uint32Array.from(starts, ([start]) => start),
      lo: new Uint32Array(0),
      ranking: Uint32Array.from(starts, ([, row]) => row),
    },
    v6: { family: 6, hi: Uint32Array.of(0), lo: Uint32Array.of(0), ranking: Uint32Array.of(0) },
    rankings: Uint8Array.from(rows.flatMap((text) => text.split(',').map(Number))),
  };
}

/** Ids in the order a map ranks them for a cell. */
export function rankingAt(map: SteeringMap, at: number, key = judgedKey): string[] {
  const { v4, rankings, width } = map.groups.find((group) => group.key === key)!;
  const row = v4.ranking[findInterval(v4, hiOf(at), 0)]!;
  return [...rankings.subarray(row * width, (row + 1) * width)]
    .filter((pop) => pop !== noPop)
    .map((pop) => map.pops[pop]!);
}

export function popsNow(over: Readonly<Record<string, Partial<PopNow>>> = {}): Map<string, PopNow> {
  return new Map(judgedPops.map((id) => [id, { isOpen: true, capacity: 1_000, ...over[id] }]));
}

export function judgeInput(before: SteeringMap, after: SteeringMap, over: Partial<JudgeInput> = {}): JudgeInput {
  return { before, after, nowMs: 1_764_000_000_000, pops: popsNow(), hard: 0.95, followMs: 60_000, ...over };
}
