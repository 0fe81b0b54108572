/** Explain: the whole decision for a name and a client, now or in the past, made by the code that answers. */
import {
  type Explanation,
  guardTexts,
  type HealthExplanation,
  type PopExplanation,
} from '@ufes/core/steering/explanation.ts';
import type { ComponentChildren, TargetedSubmitEvent } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { clockText, dateText, durationText, loadText, msText } from '../format.ts';
import { IntervalBar, IntervalScale, scaleOf } from '../interval.tsx';
import type { PageProps } from '../page.ts';
import { go } from '../route.ts';
import { Card, Empty, Prose, StateIcon } from '../ui.tsx';

type Explained = Explanation & { readonly asn?: number };
type Answer = { explanation: Explained } | { error: string };

const fields = ['name', 'client', 'resolver', 'type', 'at'] as const;
type Field = (typeof fields)[number];

async function ask(query: string): Promise<Answer> {
  try {
    const response = await fetch(`/api/explain?${query}`);
    const body: unknown = await response.json();
    if (response.ok) return { explanation: body as Explained };
    const { message } = body as { message?: unknown };
    return { error: typeof message === 'string' ? message : `the answer was ${response.status}` };
  } catch {
    return { error: 'the dashboard does not answer; is its process running?' };
  }
}

export function Page({ live, route }: PageProps) {
  const given = (field: Field) => route.query.get(field) ?? '';
  const [answer, setAnswer] = useState<Answer>();
  const query = queryOf((field) => given(field) || (field === 'type' ? 'A' : ''));
  const isAsked = given('name') !== '' && (given('client') !== '' || given('resolver') !== '');
  useEffect(() => {
    setAnswer(undefined);
    if (!isAsked) return;
    let current = true;
    void ask(query).then((got) => current && setAnswer(got));
    return () => {
      current = false;
    };
  }, [query, isAsked]);
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    go(`/explain?${queryOf((field) => textOf(field, String(data.get(field) ?? '').trim()))}`);
  };
  return (
    <div class="explain">
      <Card title="Explain an answer">
        <form class="ask" onSubmit={submit} key={query}>
          <label>
            Name
            <input
              name="name"
              list="services"
              required
              maxLength={254}
              value={given('name') || (live.world?.services[0] ?? '')}
            />
          </label>
          <datalist id="services">
            {live.world?.services.map((service) => (
              <option key={service} value={service} />
            ))}
          </datalist>
          <label>
            Client address or prefix
            <input name="client" maxLength={49} value={given('client')} placeholder="192.0.2.7" />
          </label>
          <label>
            Resolver, if it is another
            <input name="resolver" maxLength={45} value={given('resolver')} placeholder="198.51.100.53" />
          </label>
          <label class="narrow">
            Type
            <select name="type" value={given('type') || 'A'}>
              {['A', 'AAAA', 'HTTPS'].map((type) => (
                <option key={type}>{type}</option>
              ))}
            </select>
          </label>
          <label class="time">
            Time, up to 7 days ago
            <input name="at" type="datetime-local" step="1" value={localTime(given('at'))} title="Empty: now" />
          </label>
          <button type="submit" class="primary">
            Explain
          </button>
        </form>
      </Card>
      <Result answer={answer} isAsked={isAsked} />
    </div>
  );
}

function queryOf(of: (field: Field) => string): string {
  return new URLSearchParams(fields.flatMap((field) => (of(field) === '' ? [] : [[field, of(field)]]))).toString();
}

/** Times travel in milliseconds since the epoch, so that a link says the same everywhere. */
function textOf(field: Field, text: string): string {
  if (field !== 'at' || text === '') return text;
  const ms = new Date(text).getTime();
  return Number.isNaN(ms) ? '' : String(ms);
}

function localTime(at: string): string {
  if (!/^\d+$/.test(at)) return '';
  const ms = Number(at);
  return new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

function Result({ answer, isAsked }: { answer: Answer | undefined; isAsked: boolean }) {
  if (!isAsked) {
    return (
      <Card title="Answer">
        <Empty title="Ask first">
          Give a steered name, and a client or a resolver. A client under “Recent answers” leads here, too.
        </Empty>
      </Card>
    );
  }
  if (answer === undefined) return <div class="loading" aria-busy="true" />;
  if ('error' in answer) {
    return (
      <Card title="No explanation">
        <p class="error" role="alert">
          <Prose text={answer.error} />
        </p>
      </Card>
    );
  }
  const { explanation } = answer;
  return (
    <>
      <Decision explained={explanation} />
      <Ranking pops={explanation.pops} past={explanation.past !== undefined} />
      <Checks pops={explanation.pops} />
      {explanation.message !== undefined && <Message message={explanation.message} />}
    </>
  );
}

function Decision({ explained: e }: { explained: Explained }) {
  const chosen = e.pops.filter((pop) => pop.chosen).map(({ pop }) => pop);
  const of = e.resolver === e.client ? e.client : `${e.client}, through ${e.resolver}`;
  return (
    <Card
      title={e.past === undefined ? 'Answer' : 'Answer then'}
      note={`${e.name.replace(/\.$/, '')} ${e.type} for ${of}`}
    >
      {e.past !== undefined && (
        <p class="then">
          {dateText(e.atMs)} {clockText(e.atMs)}, by {e.node}, from what was kept. Live state had stayed so for{' '}
          {durationText((e.atMs - e.past.sinceMs) / 1000)}. What the mapper estimates now is left out.
        </p>
      )}
      <p class="headline">
        <span class="mono">{e.answers.length > 0 ? e.answers.join('  ') : 'an empty answer'}</span>
        {chosen.length > 0 && <strong class="at-pop"> {chosen.join(', ')}</strong>}
      </p>
      <dl class="facts">
        <Fact name="Why">{whyText(e)}</Fact>
        <Fact name="Placed">
          {e.placed}, by the {e.evidence}
        </Fact>
        <Fact name="Place">
          {e.place ?? 'not known'}
          {e.asn !== undefined && `, AS${e.asn}`}
          {e.isDisputed === true && ' (disputed: edges time it faster than light from there)'}
          {e.quarantined !== undefined && ` (clients say what cannot be from there: kept apart)`}
        </Fact>
        <Fact name="Matched">
          {e.prefix}, scope /{e.scope}
        </Fact>
        <Fact name="Own evidence">{e.cell ?? 'none: estimated from its surroundings'}</Fact>
        <Fact name="TTL">{ttlText(e)}</Fact>
        <Fact name="Service">
          {e.service} in {e.zone}, owned by {e.owner}
        </Fact>
        <Fact name="Map">
          {e.map === undefined
            ? 'none yet: the default list ranks'
            : `${e.map.version}, ${durationText(e.map.ageSeconds)} old, from ${e.map.sources.join(', ') || 'no measurements'}`}
        </Fact>
        <Fact name="Names and routes">
          {e.desired.version}, {durationText(e.desired.ageSeconds)} old
        </Fact>
      </dl>
    </Card>
  );
}

/** The rule that decided, and those that reached the client. */
function whyText(e: Explained): string {
  const { force, override, share, only, control } = e;
  return [
    e.why,
    ...(force ? [`force to ${force.pop}${force.reason ? ` (${force.actor ?? ''}: ${force.reason})` : ''}`] : []),
    ...(override ? [`override to ${override.pops.join(', ')}${override.pin ? ', pinned' : ''}`] : []),
    ...(share ? [`${share.percent}% share to ${share.pop}`] : []),
    ...(only ? [`only ${only.join(', ')}`] : []),
    ...(control ? ['control arm'] : []),
  ].join('; ');
}

function ttlText({ ttlSeconds, ttl }: Explained): string {
  const why = ttl === undefined ? '' : `: ${ttl.why}${ttl.pop === undefined ? '' : ` (${ttl.pop})`}`;
  return `${ttlSeconds} s${why}`;
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Ranking({ pops, past }: { pops: readonly PopExplanation[]; past: boolean }) {
  const scale = scaleOf(pops.flatMap(({ estimate }) => (estimate ? [estimate] : [])));
  return (
    <Card title="Ranking" note={`round trip of the client, 95% interval${past ? ', as the map had it then' : ''}`}>
      <div class="scroll">
        <table class="ranking">
          <thead>
            <tr>
              <th class="number wide">#</th>
              <th>PoP</th>
              <th>
                <span class="wide">State</span>
              </th>
              <th class="interval">
                <IntervalScale scale={scale} />
              </th>
              <th class="number">Client</th>
              <th class="number wide">n</th>
              <th class="wide">Evidence</th>
              <th class="number wide">Backbone</th>
              <th class="number wide">Cost</th>
              <th class="number wide">Load</th>
              <th>Outcome</th>
            </tr>
          </thead>
          <tbody>
            {pops.map((pop) => (
              <Row key={pop.pop} pop={pop} scale={scale} />
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function Row({ pop: one, scale }: { pop: PopExplanation; scale: number }) {
  const { pop, rank, chosen, state, estimate, loadPerMille } = one;
  return (
    <tr class={chosen ? 'chosen' : ''}>
      <td class="number wide">{rank}</td>
      <td class="strong">{pop}</td>
      <td>
        <span class="with-icon">
          <StateIcon state={state} /> <span class="wide">{state}</span>
        </span>
      </td>
      <td class="interval">
        {estimate === undefined ? (
          <span class="sub-inline">no estimate</span>
        ) : (
          <IntervalBar estimate={estimate} scale={scale} chosen={chosen} />
        )}
      </td>
      <td class="number">{estimate ? msText(estimate.clientMs) : '–'}</td>
      <td class="number wide">{estimate ? Math.round(estimate.n) : '–'}</td>
      <td class="wide">{estimate?.tier ?? '–'}</td>
      <td class="number wide">{estimate?.backboneMs === undefined ? '–' : msText(estimate.backboneMs)}</td>
      <td class="number wide">{estimate?.costMs === undefined ? '–' : msText(estimate.costMs)}</td>
      <td class="number wide">{loadText(loadPerMille)}</td>
      <td>
        <Outcome pop={one} />
      </td>
    </tr>
  );
}

function Outcome({ pop }: { pop: PopExplanation }) {
  const { chosen, by, passed, keeps, forced, drain, said, guard } = pop;
  const more = [
    ...(guard ? [guardTexts[guard]] : []),
    ...(keeps < 1 ? [`full: keeps ${Math.round(100 * keeps)}% of its clients`] : []),
    ...(forced ? [`forced${forced.reason ? `: ${forced.reason}` : ''}`] : []),
    ...(drain ? [`drains, by ${drain.by}: ${drain.reason}`] : []),
    ...(said ? [`said to be ${said.state}, by ${said.by}: ${said.reason}`] : []),
  ];
  return (
    <>
      {chosen ? (
        <strong>answered{by === '' ? '' : ` by ${by}`}</strong>
      ) : passed === '' ? (
        <span class="sub-inline">not reached</span>
      ) : (
        `passed over: ${passed}`
      )}
      {more.map((text) => (
        <span class="sub" key={text}>
          {text}
        </span>
      ))}
    </>
  );
}

/** How the state of each PoP is known. */
function Checks({ pops }: { pops: readonly PopExplanation[] }) {
  const checked = pops.flatMap(({ pop, health, serviceHealth }) => [
    ...(health ? [{ pop, of: 'its edge', health }] : []),
    ...(serviceHealth ? [{ pop, of: 'the service there', health: serviceHealth }] : []),
  ]);
  if (checked.length === 0) return null;
  return (
    <details class="card more">
      <summary>How health is known</summary>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>PoP</th>
              <th>Checked</th>
              <th>Verdict</th>
              <th>Votes</th>
            </tr>
          </thead>
          <tbody>
            {checked.map(({ pop, of, health }) => (
              <tr key={`${pop} ${of}`}>
                <td class="strong">{pop}</td>
                <td>{of}</td>
                <td>{verdictText(health)}</td>
                <td>{health.votes.map(({ vantage, state }) => `${vantage} ${state}`).join(', ') || 'none'}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

function verdictText({ state, sinceMs, counted }: HealthExplanation): string {
  const since = sinceMs > 0 ? ` since ${dateText(sinceMs)} ${clockText(sinceMs)}` : '';
  return `${state}${since}${counted === 0 ? '; nobody could say, this was known last' : ''}`;
}

function Message({ message }: { message: NonNullable<Explanation['message']> }) {
  return (
    <details class="card more">
      <summary>The answer, byte for byte ({message.rcode})</summary>
      <pre class="mono bytes">{hexDump(message.answer)}</pre>
    </details>
  );
}

/** Sixteen bytes a line. */
function hexDump(base64: string): string {
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const part = [...bytes.subarray(at, at + 16)];
    const hex = part.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = part.map((byte) => (byte > 32 && byte < 127 ? String.fromCharCode(byte) : '·')).join('');
    lines.push(`${at.toString(16).padStart(4, '0')}  ${hex.padEnd(47)}  ${text}`);
  }
  return lines.join('\n');
}
