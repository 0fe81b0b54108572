/** World: where the PoPs are and how they do, who is measured and sent where, what was answered lately. */
import type { WorldAnswers, WorldPop, WorldUser } from '@ufes/core/dashboard.ts';
import { latencySteps, popColour } from '../colours.ts';
import { clockText, countryText, countText, durationText, loadText } from '../format.ts';
import { type Colouring, WorldMap } from '../map/map.tsx';
import type { PageProps } from '../page.ts';
import { setQuery } from '../route.ts';
import { Card, Choices, Empty, Link, Meter, MissingParts, Prose, StateIcon } from '../ui.tsx';

const colourings = [
  { value: 'pop', text: 'By PoP' },
  { value: 'latency', text: 'By latency' },
] as const;

export function Page({ live, route }: PageProps) {
  const { world, users = [] } = live;
  const colouring: Colouring = route.query.get('colour') === 'latency' ? 'latency' : 'pop';
  if (world === undefined) return <div class="loading" aria-busy="true" />;
  const { pops, answers, missing } = world;
  return (
    <div class="world">
      <MissingParts missing={missing} />
      <Card
        class="map-card"
        title="World"
        note={
          <Choices
            label="Colour of users"
            value={colouring}
            choices={colourings}
            choose={(value) => setQuery('colour', value === 'pop' ? '' : value)}
          />
        }
      >
        <WorldMap world={world} users={users} colouring={colouring} />
        <Legend
          colouring={colouring}
          pops={pops}
          users={users}
          total={world.usersTotal}
          isMapperMissing={missing.some((one) => one.node === 'mapper')}
        />
      </Card>
      <Card class="pops-card" title="PoPs" note={popSummary(pops)}>
        <Pops pops={pops} />
      </Card>
      <Card class="countries-card" title="Answers by country" note={`last ${durationText(answers.windowSeconds)}`}>
        <Countries answers={answers} pops={pops} />
      </Card>
      <Card class="recent-card" title="Recent answers" note={rateText(answers)}>
        <Recent answers={answers} pops={pops} service={world.services[0]} />
      </Card>
    </div>
  );
}

function popSummary(pops: readonly WorldPop[]): string {
  const counts = (['up', 'down', 'draining', 'unknown'] as const)
    .map((state) => [pops.filter((pop) => pop.state === state).length, state] as const)
    .filter(([n]) => n > 0);
  return counts.map(([n, state]) => `${n} ${state}`).join(', ');
}

function rateText(answers: WorldAnswers): string {
  const rate = answers.total / answers.windowSeconds;
  const text = `${countText(answers.total)} in ${durationText(answers.windowSeconds)} (${rate < 10 ? rate.toFixed(1) : countText(rate)}/s)`;
  return answers.unseen > 0 ? `${text}, ${countText(answers.unseen)} of them not listed` : text;
}

function Legend(props: {
  colouring: Colouring;
  pops: readonly WorldPop[];
  users: readonly WorldUser[];
  total: number;
  isMapperMissing: boolean;
}) {
  const { colouring, pops, users, total, isMapperMissing } = props;
  if (users.length === 0) {
    const text =
      total > 0
        ? `${countText(total)} measured prefixes, but the place of none of them is known: is GeoIP data there?`
        : isMapperMissing
          ? 'No users to show: the mapper does not answer.'
          : 'No measurements yet: add the beacon (`/rum.js` of a probe listener) to a page, or run `ufes up --demo`.';
    return (
      <p class="legend prose">
        <Prose text={text} />
      </p>
    );
  }
  const shown = users.length < total ? `${countText(users.length)} of ${countText(total)}` : countText(total);
  return (
    <div class="legend">
      <span>{shown} measured prefixes</span>
      {colouring === 'latency'
        ? latencySteps.map(({ text, colour }) => (
            <span key={text} class="key">
              <Swatch colour={colour} /> {text}
            </span>
          ))
        : pops.slice(0, 12).map((pop, index) => (
            <span key={pop.id} class="key">
              <Swatch colour={popColour(index)} /> {pop.title}{' '}
              <b>{countText(users.filter((user) => user.pop === pop.id).length)}</b>
            </span>
          ))}
      <span class="key">
        <svg width="11" height="11" viewBox="-6 -6 12 12" aria-hidden="true">
          <rect class="origin-key" x="-3.6" y="-3.6" width="7.2" height="7.2" transform="rotate(45)" />
        </svg>{' '}
        origin
      </span>
    </div>
  );
}

function Swatch({ colour }: { colour: string }) {
  return (
    <svg class="swatch" width="10" height="10" aria-hidden="true">
      <circle cx="5" cy="5" r="5" fill={colour} />
    </svg>
  );
}

function Pops({ pops }: { pops: readonly WorldPop[] }) {
  if (pops.length === 0) return <Empty title="No PoPs">Add one under `pops:` in ufes.yaml.</Empty>;
  return (
    <table class="pops-table">
      <thead>
        <tr>
          <th>PoP</th>
          <th>State</th>
          <th class="number">Load</th>
        </tr>
      </thead>
      <tbody>
        {pops.map((pop, index) => (
          <tr key={pop.id} data-pop={pop.id}>
            <td>
              <div class="with-icon">
                <StateIcon state={pop.state} colour={popColour(index)} />
                <span>
                  <span class="strong">{pop.title}</span>
                  <span class="sub mono">{pop.vips.join(' ')}</span>
                </span>
              </div>
            </td>
            <td>
              <span class={`state ${pop.state}`}>{pop.state}</span>
              {pop.sinceMs !== undefined && <span class="sub">{durationText((Date.now() - pop.sinceMs) / 1000)}</span>}
            </td>
            <td class="number load">
              {pop.loadPerMille === undefined ? (
                <span class="sub">not known</span>
              ) : (
                <>
                  {loadText(pop.loadPerMille)}
                  <Meter
                    share={pop.loadPerMille / 1000}
                    colour={pop.loadPerMille >= 800 ? 'var(--down)' : popColour(index)}
                    label={`load ${Math.round(pop.loadPerMille / 10)}% of ${pop.capacity} requests a second`}
                  />
                </>
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const countryRows = 18;

function Countries({ answers, pops }: { answers: WorldAnswers; pops: readonly WorldPop[] }) {
  if (answers.byCountry.length === 0) {
    return (
      <Empty title="No answers yet">
        {`Nobody asked for a steered name in the last ${durationText(answers.windowSeconds)}. Try one with \`ufes dig NAME\`.`}
      </Empty>
    );
  }
  const most = answers.byCountry[0]!.total;
  const rest = answers.byCountry.slice(countryRows);
  return (
    <table class="countries-table">
      <colgroup>
        <col />
        <col />
        <col />
      </colgroup>
      <thead class="hidden">
        <tr>
          <th>Country</th>
          <th>Answers by PoP</th>
          <th>Answers</th>
        </tr>
      </thead>
      <tbody>
        {answers.byCountry.slice(0, countryRows).map((row) => (
          <tr key={row.country ?? ''}>
            <td class="cut">{countryText(row.country)}</td>
            <td class="bar">
              <Stack byPop={row.byPop} pops={pops} most={most} />
            </td>
            <td class="number">{countText(row.total)}</td>
          </tr>
        ))}
        {rest.length > 0 && (
          <tr class="rest">
            <td colSpan={2}>{rest.length} more countries</td>
            <td class="number">{countText(rest.reduce((sum, row) => sum + row.total, 0))}</td>
          </tr>
        )}
      </tbody>
    </table>
  );
}

function Stack({
  byPop,
  pops,
  most,
}: {
  byPop: Readonly<Record<string, number>>;
  pops: readonly WorldPop[];
  most: number;
}) {
  let x = 0;
  const parts = [
    ...pops.map((pop, index) => ({ id: pop.id, title: pop.title, colour: popColour(index) })),
    { id: '', title: 'no PoP', colour: 'var(--unknown)' },
  ]
    .map((part) => ({ ...part, n: byPop[part.id] ?? 0 }))
    .filter((part) => part.n > 0);
  const label = parts.map((part) => `${part.title} ${part.n}`).join(', ');
  return (
    <svg class="stack" role="img" aria-label={label} viewBox="0 0 100 10" preserveAspectRatio="none">
      <title>{label}</title>
      {parts.map((part) => {
        const width = (part.n / most) * 100;
        const left = x;
        x += width;
        return <rect key={part.id} x={left} width={width} height="10" fill={part.colour} />;
      })}
    </svg>
  );
}

function Recent(props: { answers: WorldAnswers; pops: readonly WorldPop[]; service: string | undefined }) {
  const { answers, pops, service } = props;
  if (answers.recent.length === 0) {
    return <Empty title="No answers yet">{`Ask for a steered name: \`ufes dig ${service ?? 'NAME'}\`.`}</Empty>;
  }
  return (
    <table class="recent-table">
      <thead>
        <tr>
          <th>Time</th>
          <th class="wide">Name</th>
          <th>Client</th>
          <th>Country</th>
          <th>Answer</th>
        </tr>
      </thead>
      <tbody>
        {answers.recent.map((answer) => {
          const index = pops.findIndex((pop) => pop.id === answer.pop);
          const query = new URLSearchParams({ name: answer.name, client: answer.client });
          return (
            <tr key={answer.seq}>
              <td class="mono">{clockText(answer.atMs)}</td>
              <td class="wide cut">{answer.name}</td>
              <td class="mono cut">
                <Link href={`/explain?${query}`}>{answer.client}</Link>
              </td>
              <td class="cut">{countryText(answer.country)}</td>
              <td>
                <div class="with-icon">
                  <Swatch colour={popColour(index)} />
                  <span class="cut">{pops[index]?.title ?? answer.pop ?? 'none'}</span>
                </div>
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
