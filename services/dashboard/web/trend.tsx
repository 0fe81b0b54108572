/** Response times of the last days, an hour a step: the median of each path. */
import type { RollupHour, RollupPath, Trend } from '@ufes/core/dashboard.ts';
import { paths } from './colours.ts';
import { clockText, countText, dateText, msText } from './format.ts';
import { usePolled } from './poll.ts';
import { Card, Empty } from './ui.tsx';

const everyMs = 60_000;
const [width, height] = [1000, 180];
const hourMs = 3_600_000;

export function TrendCard({ service }: { service: string }) {
  const { value: trend } = usePolled<Trend>('/api/trend?hours=168', everyMs);
  if (trend === undefined) return null;
  const hours = trend.hours.filter((hour) => hour.paths.some((one) => one.service === service));
  return (
    <Card class="trend-card" title="The last seven days" note="median response time, by hour">
      {hours.length < 2 ? (
        <Empty title="Not yet">
          {trend.missing[0]?.why ?? 'Each hour is kept by the job `rollup`; a line is drawn once there are two.'}
        </Empty>
      ) : (
        <Lines hours={hours} service={service} />
      )}
    </Card>
  );
}

function Lines({ hours, service }: { hours: readonly RollupHour[]; service: string }) {
  const first = hours[0]!;
  const last = hours.at(-1)!;
  const all = hours.flatMap((hour) => hour.paths.filter((one) => one.service === service).map(({ p50Ms }) => p50Ms));
  const top = Math.max(...all) * 1.1;
  const x = (ms: number) => ((ms - first.hourMs) / Math.max(hourMs, last.hourMs - first.hourMs)) * width;
  const y = (ms: number) => height - (ms / top) * height;
  const samples = samplesOf(last) - samplesOf(first);
  return (
    <figure class="trend">
      <svg
        class="trend-plot"
        viewBox={`0 0 ${width} ${height}`}
        preserveAspectRatio="none"
        role="img"
        aria-label="Median response time by hour"
      >
        {[0.25, 0.5, 0.75].map((share) => (
          <path key={share} class="grid" d={`M0 ${share * height}H${width}`} />
        ))}
        {paths.map(({ path, variable }) => (
          <path key={path} d={lineOf(hours, service, path, x, y)} stroke={`var(${variable})`} class="trend-line" />
        ))}
      </svg>
      <figcaption>
        <span>
          {dateText(first.hourMs)} {clockText(first.hourMs).slice(0, 5)}
        </span>
        {paths.map(({ path, title, variable }) => {
          const now = last.paths.find((one) => one.service === service && one.path === path);
          return (
            <span key={path} class="key">
              <i class="swatch" style={{ background: `var(${variable})` }} />
              {title} {now === undefined ? '–' : msText(now.p50Ms)}
            </span>
          );
        })}
        {samples > 0 && <span>{countText(samples)} samples came</span>}
        <span>{clockText(last.atMs).slice(0, 5)}</span>
      </figcaption>
    </figure>
  );
}

/** A gap where hours are missing. */
function lineOf(
  hours: readonly RollupHour[],
  service: string,
  path: RollupPath['path'],
  x: (ms: number) => number,
  y: (ms: number) => number,
): string {
  let before = Number.NaN;
  let line = '';
  for (const hour of hours) {
    const found = hour.paths.find((one) => one.service === service && one.path === path);
    if (found === undefined) continue;
    line += `${hour.hourMs - before === hourMs ? 'L' : 'M'}${x(hour.hourMs).toFixed(1)} ${y(found.p50Ms).toFixed(1)}`;
    before = hour.hourMs;
  }
  return line;
}

function samplesOf({ pairs }: RollupHour): number {
  return pairs.reduce((sum, one) => sum + one.samples, 0);
}
