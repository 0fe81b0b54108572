/** The plot of the distributions. uPlot draws on a canvas; it is made anew when colours or width change. */
import type { CompareGroup } from '@ufes/core/dashboard.ts';
import { useEffect, useRef, useState } from 'preact/hooks';
import UPlot from 'uplot';
import { cdfData } from './cdf-data.ts';
import { colourNow, paths } from './colours.ts';
import { msText } from './format.ts';
import { onThemeChange } from './theme.ts';

/** Tall where there is room. */
const heightOf = (width: number) => (width < 560 ? 290 : 370);

export function Cdf({ group }: { group: CompareGroup }) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot | undefined>(undefined);
  const [drawn, redraw] = useState(0);
  const [readout, setReadout] = useState<string>();
  const data = cdfData(
    group,
    paths.map(({ path }) => path),
  );
  useEffect(() => onThemeChange(() => redraw((n) => n + 1)), []);
  useEffect(() => {
    const { current } = frame;
    if (current === null || data === undefined) return;
    const made = new UPlot(options(current.clientWidth, setReadout), [data.x, ...data.y], current);
    plot.current = made;
    const observer = new ResizeObserver(() =>
      made.setSize({ width: current.clientWidth, height: heightOf(current.clientWidth) }),
    );
    observer.observe(current);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [drawn, data === undefined]);
  useEffect(() => {
    if (data !== undefined) plot.current?.setData([data.x, ...data.y]);
  }, [group]);
  return (
    <>
      <div
        class="cdf"
        ref={frame}
        role="img"
        aria-label="Share of users by response time, for each path; the table has the figures"
      />
      <p class="readout" aria-live="off">
        {readout ?? 'Share of users answered within a time. Further left is faster. Point at the plot to read it.'}
      </p>
    </>
  );
}

function options(width: number, readout: (text: string | undefined) => void): UPlot.Options {
  const font = '12px system-ui, sans-serif';
  const axis = {
    stroke: colourNow('--muted'),
    grid: { stroke: colourNow('--line'), width: 1 },
    ticks: { stroke: colourNow('--line'), width: 1 },
    font,
    labelFont: font,
    labelSize: 20,
  };
  return {
    width,
    height: heightOf(width),
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    scales: { x: { time: false }, y: { range: [0, 100] } },
    axes: [
      { ...axis, size: 32, label: 'Response time, ms' },
      { ...axis, size: 46, values: (_plot, ticks) => ticks.map((tick) => `${tick}%`) },
    ],
    series: [
      {},
      ...paths.map(({ path, title, variable }) => ({
        label: title,
        stroke: colourNow(variable),
        // Geo is the widest, below: where the two edges are one, it shows as a rim.
        width: path === 'geo' ? 4.5 : 2,
        ...(path === 'direct' ? { dash: [3, 4] } : path === 'geo' ? { dash: [9, 4] } : {}),
        points: { show: false },
      })),
    ],
    hooks: {
      setCursor: [
        (plot) => {
          const index = plot.cursor.idx;
          const ms = index === null || index === undefined ? undefined : plot.data[0][index];
          if (ms === undefined || index === null || index === undefined) return readout(undefined);
          const shares = paths.map(({ title }, i) => `${title} ${Math.round(plot.data[i + 1]![index] ?? 0)}%`);
          readout(`Within ${msText(ms)}: ${shares.join(' · ')}`);
        },
      ],
    },
  };
}
