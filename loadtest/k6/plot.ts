/** Percentiles of round trips second by second, and how many there were: one panel a series, logarithmic. */

export interface Series {
  readonly name: string;
  /** Second → milliseconds of what ended in it. */
  readonly bySecond: ReadonlyMap<number, readonly number[]>;
}

const width = 760;
const left = 60;
const right = 110;
const panelHeight = 190;
const [leastMs, mostMs] = [0.1, 1_000];
const percentiles = [
  { at: 0.5, name: 'p50', colour: '#3b6ea8' },
  { at: 0.95, name: 'p95', colour: '#c2703d' },
  { at: 0.99, name: 'p99', colour: '#7d5ba6' },
];

export function plotSeconds(title: string, all: readonly Series[]): string {
  const height = 50 + all.length * panelHeight;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" fill="#222">
<rect width="100%" height="100%" fill="#fff"/>
<text x="16" y="26" font-size="15" font-weight="bold">${title}</text>
${all.map((series, i) => panel(series, 50 + i * panelHeight)).join('\n')}
</svg>
`;
}

function panel({ name, bySecond }: Series, top: number): string {
  const seconds = [...bySecond.keys()].sort((a, b) => a - b);
  const [first = 0, last = 1] = [seconds[0], seconds.at(-1)];
  const bottom = top + panelHeight - 40;
  const x = (second: number) => left + ((second - first) / Math.max(1, last - first)) * (width - left - right);
  const y = (ms: number) => {
    const share = Math.log10(Math.min(mostMs, Math.max(leastMs, ms)) / leastMs) / Math.log10(mostMs / leastMs);
    return bottom - share * (panelHeight - 70);
  };
  const grid = [0.1, 1, 10, 100, 1_000].map(
    (ms) =>
      `<line x1="${left}" x2="${width - right}" y1="${y(ms)}" y2="${y(ms)}" stroke="#ddd"/><text x="${left - 6}" y="${y(ms) + 4}" text-anchor="end">${ms}</text>`,
  );
  const lines = percentiles.map(({ at, name: label, colour }) => {
    const values = seconds.map((second) => quantile(bySecond.get(second)!, at));
    const points = seconds.map((second, i) => `${x(second).toFixed(1)},${y(values[i]!).toFixed(1)}`);
    const end = `<text x="${width - right + 6}" y="${y(values.at(-1) ?? leastMs) + 4}" fill="${colour}">${label}</text>`;
    return `<polyline points="${points.join(' ')}" fill="none" stroke="${colour}" stroke-width="1.5"/>${end}`;
  });
  const counts = seconds.slice(1, -1).map((second) => bySecond.get(second)!.length);
  const rate = Math.round(counts.reduce((sum, count) => sum + count, 0) / Math.max(1, counts.length));
  const head = `<text x="16" y="${top + 12}" font-weight="bold">${name}: ${rate} a second</text>`;
  const axis = `<text x="${left}" y="${bottom + 18}">0 s</text><text x="${width - right}" y="${bottom + 18}" text-anchor="end">${last - first} s</text>`;
  return [head, ...grid, ...lines, axis].join('\n');
}

function quantile(values: readonly number[], at: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(at * sorted.length))]!;
}
