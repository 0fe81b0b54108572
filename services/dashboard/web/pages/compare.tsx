/** Compare: what the same users would wait for directly, over the nearest edge, and over the steered edge. */
import type { CompareGroup, ComparePath, CompareSeries, CompareState } from '@ufes/core/dashboard.ts';
import { Cdf } from '../cdf.tsx';
import { paths } from '../colours.ts';
import { countryText, countText, msNumber, msText, percentText } from '../format.ts';
import type { PageProps } from '../page.ts';
import { setQuery } from '../route.ts';
import { TrendCard } from '../trend.tsx';
import { Card, Empty, MissingParts } from '../ui.tsx';

export function Page({ live, route }: PageProps) {
  const answer = live.compare;
  if (answer === undefined) return <div class="loading" aria-busy="true" />;
  const { compare, missing } = answer;
  if (compare === undefined || compare.all.count === 0) {
    return (
      <div class="compare">
        <MissingParts missing={missing} />
        <Card title="Compare">
          {compare === undefined ? (
            <Empty title="The comparison is not there">The mapper makes it and does not answer; see above.</Empty>
          ) : (
            <Empty title="No measurements yet">
              {
                'The comparison is of measured users. Add the beacon (`/rum.js` of a probe listener) to a page, or run `ufes up --demo`.'
              }
            </Empty>
          )}
        </Card>
      </div>
    );
  }
  const country = route.query.get('country') ?? '';
  const group = compare.countries.find((one) => one.country === country) ?? compare.all;
  return (
    <div class="compare">
      <MissingParts missing={missing} />
      <Headline compare={compare} group={group} />
      <Card
        class="plot-card"
        title="Response time"
        note={<CountrySelect compare={compare} country={group.country ?? ''} />}
      >
        <Cdf group={group} />
      </Card>
      <Card class="figures-card" title="Figures" note={`${countText(group.count)} users; ms, and difference to direct`}>
        <Figures group={group} />
        <Model compare={compare} group={group} />
      </Card>
      <Card class="by-country-card" title="By country" note={<MedianKey />}>
        <ByCountry compare={compare} chosen={group.country ?? ''} />
      </Card>
      <TrendCard service={compare.service} />
    </div>
  );
}

function seriesOf(group: CompareGroup, path: ComparePath): CompareSeries | undefined {
  return group.series.find((one) => one.path === path && one.count > 0);
}

function Headline({ compare, group }: { compare: CompareState; group: CompareGroup }) {
  const steered = seriesOf(group, 'steered');
  if (steered === undefined) return null;
  const against = (key: 'p50Ms' | 'p95Ms') =>
    [[seriesOf(group, 'direct'), 'direct'] as const, [seriesOf(group, 'geo'), 'the geo edge'] as const]
      .flatMap(([series, title]) => (series === undefined ? [] : `${saved(steered[key], series[key])} ${title}`))
      .join(', ');
  return (
    <p class="headline">
      <strong>{msText(steered.p50Ms)}</strong> for the median user of <span class="mono">{compare.service}</span>
      {group.country === undefined ? '' : ` in ${countryText(group.country)}`} over the steered edge: {against('p50Ms')}
      . At the 95th percentile <strong>{msText(steered.p95Ms)}</strong>: {against('p95Ms')}.
    </p>
  );
}

function saved(ms: number, thanMs: number): string {
  const percent = Math.round((1 - ms / thanMs) * 100);
  if (percent === 0) return 'the same as';
  return percent > 0 ? `${percent}% less than` : `${-percent}% more than`;
}

function CountrySelect({ compare, country }: { compare: CompareState; country: string }) {
  return (
    <label class="select">
      <span class="hidden">Country</span>
      <select value={country} onChange={(event) => setQuery('country', event.currentTarget.value)}>
        <option value="">All countries ({countText(compare.all.count)})</option>
        {compare.countries
          .filter((one) => one.country !== undefined)
          .map((one) => (
            <option key={one.country} value={one.country}>
              {countryText(one.country)} ({countText(one.count)})
            </option>
          ))}
      </select>
    </label>
  );
}

const columns = [
  { key: 'p50Ms', text: 'p50' },
  { key: 'p95Ms', text: 'p95' },
  { key: 'p99Ms', text: 'p99' },
  { key: 'meanMs', text: 'Mean' },
] as const;

function Figures({ group }: { group: CompareGroup }) {
  const direct = seriesOf(group, 'direct');
  return (
    <table class="figures">
      <thead>
        <tr>
          <th>Path</th>
          {columns.map(({ key, text }) => (
            <th key={key} class="number">
              {text}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {paths.map(({ path, title, variable }) => {
          const series = seriesOf(group, path);
          return (
            <tr key={path} class={path === 'steered' ? 'steered-row' : ''}>
              <th scope="row">
                <span class="with-icon">
                  <Line path={path} variable={variable} />
                  <span>{title}</span>
                </span>
              </th>
              {columns.map(({ key }) => (
                <td key={key} class="number">
                  {series === undefined ? '–' : msNumber(series[key])}
                  {series !== undefined && direct !== undefined && path !== 'direct' && (
                    <Difference ms={series[key]} thanMs={direct[key]} />
                  )}
                </td>
              ))}
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function Difference({ ms, thanMs }: { ms: number; thanMs: number }) {
  const fraction = thanMs > 0 ? ms / thanMs - 1 : 0;
  const better = fraction < -0.005 ? 'better' : fraction > 0.005 ? 'worse' : '';
  return <span class={`sub ${better}`}>{percentText(fraction)}</span>;
}

function Line({ path, variable }: { path: ComparePath; variable: string }) {
  const dash = path === 'direct' ? '2 3' : path === 'geo' ? '7 3' : undefined;
  return (
    <svg class="line" width="24" height="10" aria-hidden="true">
      <path d="M1 5H23" stroke={`var(${variable})`} stroke-width={path === 'geo' ? 4.5 : 2} stroke-dasharray={dash} />
    </svg>
  );
}

const backboneText: Readonly<Record<CompareState['backbone'], string>> = {
  configured: 'as configured',
  measured: 'as measured',
  estimated: 'estimated from distance where it is not configured',
};

/** What is measured here and what is modelled: these are no response times of real requests. */
function Model({ compare, group }: { compare: CompareState; group: CompareGroup }) {
  const shares = paths
    .map(({ path, title }) => ({ title, series: seriesOf(group, path) }))
    .filter(({ series }) => series !== undefined)
    .map(({ title, series }) => `${title.toLowerCase()} ${Math.round((100 * series!.measured) / series!.count)}%`);
  return (
    <div class="model">
      <p>
        <strong>Modelled:</strong> response time = {Number(compare.k.toFixed(2))} × client round trip + backbone round
        trip to origin <span class="mono">{compare.origin}</span> ({backboneText[compare.backbone]}). Direct has no
        backbone leg: its client round trips go to the origin.
      </p>
      <p>
        <strong>From:</strong> {compare.sources.length > 0 ? compare.sources.join(', ') : 'no source'}; one vote for
        each measured prefix. Client round trips measured, not estimated: {shares.join(', ')}.
      </p>
    </div>
  );
}

const countryRows = 24;

function ByCountry({ compare, chosen }: { compare: CompareState; chosen: string }) {
  const rows = compare.countries.filter((one) => one.country !== undefined && one.count > 0).slice(0, countryRows);
  if (rows.length === 0)
    return <Empty title="No countries">The places of the measured prefixes are not known: is GeoIP data there?</Empty>;
  const mostMs = Math.max(1, ...rows.flatMap((row) => row.series.map((one) => one.p50Ms)));
  return (
    <ul class="country-rows">
      {rows.map((row) => (
        <li key={row.country}>
          <button
            type="button"
            aria-pressed={row.country === chosen}
            onClick={() => setQuery('country', row.country === chosen ? '' : (row.country ?? ''))}
          >
            <span class="cut">
              {countryText(row.country)} <span class="sub-inline">{countText(row.count)}</span>
            </span>
            <Medians row={row} mostMs={mostMs} />
            <span class="number">{msText(seriesOf(row, 'steered')?.p50Ms ?? 0)}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}

function MedianKey() {
  return (
    <span class="median-key">
      median of
      {paths.map(({ path, title }) => (
        <span key={path} class="with-icon">
          <i class={`mark ${path}`} /> {title.toLowerCase()}
        </span>
      ))}
    </span>
  );
}

/** The three medians of a country on one axis that all rows share. */
function Medians({ row, mostMs }: { row: CompareGroup; mostMs: number }) {
  const marks = paths.flatMap(({ path, title }) => {
    const ms = seriesOf(row, path)?.p50Ms;
    return ms === undefined ? [] : [{ path, title, ms, percent: (100 * ms) / mostMs }];
  });
  const label = marks.map(({ title, ms }) => `${title} ${msText(ms)}`).join(', ');
  const left = Math.min(...marks.map(({ percent }) => percent));
  const right = Math.max(...marks.map(({ percent }) => percent));
  return (
    <span class="medians" role="img" aria-label={label} title={label}>
      <i class="span" style={{ left: `${left}%`, width: `${right - left}%` }} />
      {marks.map(({ path, percent }) => (
        <i key={path} class={`mark ${path}`} style={{ left: `${percent}%` }} />
      ))}
    </span>
  );
}
