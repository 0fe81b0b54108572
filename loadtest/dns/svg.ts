/** A page of small plots: for each case, the samples of each server as dots and their median as a bar. */
import type { CaseResult } from './bench.ts';

const width = 760;
const left = 130;
const right = 90;
const rowHeight = 26;
const headHeight = 46;
const colours = ['#3b6ea8', '#8a8f98', '#c2703d', '#5a9367', '#7d5ba6'];

/** `key`: which of a case's values is drawn. */
export function plot(title: string, cases: readonly { readonly result: CaseResult; readonly key: string }[]): string {
  let y = 44;
  const parts: string[] = [];
  for (const { result, key } of cases) {
    parts.push(panel(result, key, y));
    y += headHeight + rowHeight * Object.keys(result.medians).length + 18;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y}" viewBox="0 0 ${width} ${y}" font-family="sans-serif" font-size="12" fill="#222">
<rect width="100%" height="100%" fill="#fff"/>
<text x="16" y="26" font-size="15" font-weight="bold">${escapeText(title)}</text>
${parts.join('\n')}
</svg>
`;
}

function panel({ title, medians, samples }: CaseResult, key: string, top: number): string {
  const values = samples.map((sample) => sample.values[key] ?? Number.NaN).filter(Number.isFinite);
  const most = Math.max(...values, Number.MIN_VALUE) * 1.05;
  const x = (value: number) => left + (value / most) * (width - left - right);
  const rows = Object.entries(medians).map(([server, found], i) => {
    const y = top + headHeight + i * rowHeight;
    const value = found[key] ?? 0;
    const colour = colours[i % colours.length];
    const dots = samples
      .filter((sample) => sample.server === server)
      .map(
        (sample) => `<circle cx="${x(sample.values[key]!).toFixed(1)}" cy="${y}" r="2.5" fill="#222" opacity="0.6"/>`,
      );
    return [
      `<text x="${left - 8}" y="${y + 4}" text-anchor="end">${escapeText(server)}</text>`,
      `<rect x="${left}" y="${y - 8}" width="${(x(value) - left).toFixed(1)}" height="16" fill="${colour}" opacity="0.75"/>`,
      ...dots,
      `<text x="${width - right + 8}" y="${y + 4}">${value}</text>`,
    ].join('\n');
  });
  const head = `<text x="16" y="${top + 20}" font-weight="bold">${escapeText(title)}</text>`;
  return `${head}\n${rows.join('\n')}\n<line x1="${left}" y1="${top + 30}" x2="${left}" y2="${top + headHeight + rowHeight * rows.length - 12}" stroke="#222"/>`;
}

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
