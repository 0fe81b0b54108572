/** Plots as SVG: distributions (share of users at or below a value) and series over time. */

const width = 760;
const height = 420;
const margin = { left: 60, right: 190, top: 44, bottom: 46 };
const colours = [
  '#3b6ea8',
  '#c2703d',
  '#5a9367',
  '#7d5ba6',
  '#b8494f',
  '#8a8f98',
  '#2f8f9d',
  '#a68a2e',
  '#d06fa0',
  '#555',
];

interface Line {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

interface Axis {
  readonly label: string;
  readonly ticks: readonly (readonly [at: number, text: string])[];
  /** Value → 0 to 1. */
  readonly scale: (value: number) => number;
}

/** Milliseconds on a logarithmic axis that begins with zero. */
export function plotCdf(title: string, byName: Readonly<Record<string, readonly number[]>>, label: string): string {
  const most = Math.max(1, ...Object.values(byName).map((values) => values.reduce((a, b) => Math.max(a, b), 0)));
  const scale = (value: number) => Math.log1p(Math.max(0, value)) / Math.log1p(most);
  const ticks = [0, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500].filter((tick) => tick <= most);
  const lines = Object.entries(byName).map(([name, values]) => {
    const sorted = Float64Array.from(values).sort();
    const steps = Math.min(200, sorted.length);
    const points = Array.from({ length: steps + 1 }, (_, i) => {
      const rank = Math.round((i / steps) * (sorted.length - 1));
      return [sorted[rank]!, (rank + 1) / sorted.length] as const;
    });
    return { name, points };
  });
  const x: Axis = { label, ticks: ticks.map((tick) => [tick, String(tick)]), scale };
  const shares = [0, 0.25, 0.5, 0.75, 0.9, 1];
  const y: Axis = {
    label: 'share of prefixes',
    ticks: shares.map((share) => [share, `${100 * share}%`]),
    scale: (value) => value,
  };
  return plotLines(title, lines, x, y);
}

/** Values of each name at these hours. */
export function plotSeries(
  title: string,
  hours: readonly number[],
  byName: Readonly<Record<string, readonly number[]>>,
  label: string,
): string {
  const first = hours[0] ?? 0;
  const span = Math.max(1e-9, (hours.at(-1) ?? 1) - first);
  const most = Object.values(byName).reduce((max, values) => values.reduce((a, b) => Math.max(a, b), max), 1e-9) * 1.05;
  const nice = 10 ** Math.floor(Math.log10(most));
  const step = most / nice > 5 ? 2 * nice : most / nice > 2 ? nice : nice / 2;
  const lines = Object.entries(byName).map(([name, values]) => ({
    name,
    points: values.map((value, i) => [hours[i]!, value] as const),
  }));
  const xTicks = Array.from({ length: 7 }, (_, i) => first + (i * span) / 6);
  const yTicks = Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
  const text = (value: number) => String(Math.round(value * 100) / 100);
  return plotLines(
    title,
    lines,
    { label: 'hours', ticks: xTicks.map((t) => [t, text(t)]), scale: (hour) => (hour - first) / span },
    { label, ticks: yTicks.map((t) => [t, text(t)]), scale: (value) => value / most },
  );
}

function plotLines(title: string, lines: readonly Line[], xAxis: Axis, yAxis: Axis): string {
  const x = (value: number) => margin.left + xAxis.scale(value) * (width - margin.left - margin.right);
  const y = (value: number) => height - margin.bottom - yAxis.scale(value) * (height - margin.top - margin.bottom);
  const [right, bottom] = [width - margin.right, height - margin.bottom];
  const grid = [
    ...xAxis.ticks.map(
      ([at, text]) =>
        `<line x1="${px(x(at))}" y1="${margin.top}" x2="${px(x(at))}" y2="${bottom}" stroke="#e5e5e5"/><text x="${px(x(at))}" y="${bottom + 16}" text-anchor="middle">${escapeText(text)}</text>`,
    ),
    ...yAxis.ticks.map(
      ([at, text]) =>
        `<line x1="${margin.left}" y1="${px(y(at))}" x2="${right}" y2="${px(y(at))}" stroke="#e5e5e5"/><text x="${margin.left - 6}" y="${px(y(at) + 4)}" text-anchor="end">${escapeText(text)}</text>`,
    ),
  ];
  const drawn = lines.map(({ name, points }, i) => {
    const colour = colours[i % colours.length]!;
    const dash = i >= colours.length ? ' stroke-dasharray="4 3"' : '';
    const key = margin.top + 8 + 18 * i;
    const path = points.map(([a, b]) => `${px(x(a))},${px(y(b))}`).join(' ');
    return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="1.6"${dash}/><line x1="${right + 12}" y1="${key}" x2="${right + 30}" y2="${key}" stroke="${colour}" stroke-width="3"${dash}/><text x="${right + 36}" y="${key + 4}">${escapeText(name)}</text>`;
  });
  const tall = Math.max(height, margin.top + 18 * lines.length + 20);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${tall}" viewBox="0 0 ${width} ${tall}" font-family="sans-serif" font-size="11" fill="#222">
<rect width="100%" height="100%" fill="#fff"/>
<text x="16" y="26" font-size="15" font-weight="bold">${escapeText(title)}</text>
${grid.join('\n')}
${drawn.join('\n')}
<text x="${(margin.left + right) / 2}" y="${height - 8}" text-anchor="middle">${escapeText(xAxis.label)}</text>
<text x="16" y="${margin.top - 6}">${escapeText(yAxis.label)}</text>
</svg>
`;
}

function px(value: number): string {
  return value.toFixed(1);
}

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
