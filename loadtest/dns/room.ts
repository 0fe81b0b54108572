/**
 * How a PoP holds its hard limit as more is offered (room-world.ts), written with a plot.
 *
 *     node loadtest/dns/room.ts        → loadtest/results/dns-room.json, .svg
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { jump, type RoomPoint, ramp, simulateRoom, summaryOf } from './room-world.ts';

const folder = join(import.meta.dirname, '../results');
const cases = { ramp, jump, 'ramp, load ±2%': ramp } as const;
const runs = Object.entries(cases).map(([name, offered]) => {
  const points = simulateRoom({ seed: 'room', offered, seconds: 3_600, noise: name.includes('±') ? 0.02 : 0 });
  return { name, ...summaryOf(points), points };
});
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, 'dns-room.json'), `${JSON.stringify(runs, null, 1)}\n`);
writeFileSync(join(folder, 'dns-room.svg'), plot());
for (const { name, step, reversals, settled, peak } of runs) {
  const percent = (value: number) => `${(100 * value).toFixed(1)}%`;
  console.log(
    `${name}: settles at ${percent(settled)}, peak ${percent(peak)}, step ${percent(step)}, ${reversals} reversals`,
  );
}

function plot(): string {
  const [width, height] = [720, 240];
  const panels = runs.map(({ name, points }, i) => {
    const x = (second: number) => 50 + ((width - 70) * second) / 3_600;
    const y = (value: number) => 30 + i * height + ((height - 60) * (1.3 - value)) / 1.3;
    const line = (pick: (point: RoomPoint) => number, colour: string) =>
      `<polyline fill="none" stroke="${colour}" stroke-width="1.5" points="${points.map((point) => `${x(point.second).toFixed(1)},${y(pick(point)).toFixed(1)}`).join(' ')}"/>`;
    const rule = (value: number, text: string) =>
      `<line x1="50" x2="${width - 20}" y1="${y(value)}" y2="${y(value)}" stroke="#bbb" stroke-dasharray="4 3"/><text x="4" y="${y(value) + 4}">${text}</text>`;
    return `<text x="50" y="${18 + i * height}" font-weight="bold">${name}: offered grey, load blue, share orange</text>${rule(0.95, 'hard')}${rule(0.8, 'soft')}${rule(0, '0')}${line((point) => point.offered, '#888')}${line((point) => point.load, '#1f6fb2')}${line((point) => point.share, '#d9822b')}`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height * runs.length}" font-family="sans-serif" font-size="12" fill="#222">\n${panels.join('\n')}\n</svg>\n`;
}
