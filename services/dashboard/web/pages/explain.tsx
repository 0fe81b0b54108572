/** Explain: the whole decision for a name and a client, made by the code that answers. */
import type { Explanation, PopExplanation } from '@ufes/core/steering/explanation.ts';
import type { ComponentChildren, TargetedSubmitEvent } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { durationText, msText } from '../format.ts';
import type { PageProps } from '../page.ts';
import { go } from '../route.ts';
import { Card, Empty, StateIcon } from '../ui.tsx';

type Answer = { explanation: Explanation } | { error: string };

async function ask(query: string): Promise<Answer> {
  try {
    const response = await fetch(`/api/explain?${query}`);
    const body: unknown = await response.json();
    if (response.ok) return { explanation: body as Explanation };
    const { message } = body as { message?: unknown };
    return { error: typeof message === 'string' ? message : `the answer was ${response.status}` };
  } catch {
    return { error: 'the dashboard does not answer; is its process running?' };
  }
}

export function Page({ live, route }: PageProps) {
  const name = route.query.get('name') ?? '';
  const client = route.query.get('client') ?? '';
  const type = route.query.get('type') ?? 'A';
  const [answer, setAnswer] = useState<Answer>();
  const query = new URLSearchParams({ name, client, type }).toString();
  useEffect(() => {
    setAnswer(undefined);
    if (name === '' || client === '') return;
    let current = true;
    void ask(query).then((got) => current && setAnswer(got));
    return () => {
      current = false;
    };
  }, [query]);
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const text = (key: string) => String(data.get(key) ?? '').trim();
    go(`/explain?${new URLSearchParams({ name: text('name'), client: text('client'), type: text('type') })}`);
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
              value={name || (live.world?.services[0] ?? '')}
            />
          </label>
          <datalist id="services">
            {live.world?.services.map((service) => (
              <option key={service} value={service} />
            ))}
          </datalist>
          <label>
            Client address or prefix
            <input name="client" required maxLength={49} value={client} placeholder="192.0.2.7" />
          </label>
          <label>
            Type
            <select name="type" value={type}>
              <option>A</option>
              <option>AAAA</option>
            </select>
          </label>
          <button type="submit" class="primary">
            Explain
          </button>
        </form>
      </Card>
      <Result answer={answer} asked={name !== '' && client !== ''} />
    </div>
  );
}

function Result({ answer, asked }: { answer: Answer | undefined; asked: boolean }) {
  if (!asked) {
    return (
      <Card title="Answer">
        <Empty title="Ask first">
          Give a steered name and a client. A client under “Recent answers” leads here, too.
        </Empty>
      </Card>
    );
  }
  if (answer === undefined) return <div class="loading" aria-busy="true" />;
  if ('error' in answer) {
    return (
      <Card title="No explanation">
        <p class="error" role="alert">
          {answer.error}
        </p>
      </Card>
    );
  }
  const { explanation } = answer;
  return (
    <Card title="Answer" note={`${explanation.name} ${explanation.type} for ${explanation.client}`}>
      <p class="headline mono">{explanation.answers.length > 0 ? explanation.answers.join('  ') : 'an empty answer'}</p>
      <dl class="facts">
        <Fact name="Why">{explanation.why}</Fact>
        <Fact name="Matched">
          {explanation.prefix}, scope /{explanation.scope}
        </Fact>
        <Fact name="Place">{explanation.place ?? 'not known'}</Fact>
        <Fact name="Own evidence">{explanation.cell ?? 'none: estimated from its surroundings'}</Fact>
        <Fact name="TTL">{explanation.ttlSeconds} s</Fact>
        <Fact name="Service">
          {explanation.service}, owned by {explanation.owner}
        </Fact>
        <Fact name="Map">
          {explanation.map === undefined
            ? 'none yet: the default list ranks'
            : `${explanation.map.version}, ${durationText(explanation.map.ageSeconds)} old, from ${explanation.map.sources.join(', ') || 'no measurements'}`}
        </Fact>
        <Fact name="Names and routes">
          {explanation.desired.version}, {durationText(explanation.desired.ageSeconds)} old
        </Fact>
      </dl>
      <div class="scroll">
        <Ranking pops={explanation.pops} />
      </div>
    </Card>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Ranking({ pops }: { pops: readonly PopExplanation[] }) {
  return (
    <table>
      <thead>
        <tr>
          <th class="number">#</th>
          <th>PoP</th>
          <th>State</th>
          <th class="number">Client</th>
          <th class="number">Interval</th>
          <th class="number">n</th>
          <th>Evidence</th>
          <th class="number">Backbone</th>
          <th class="number">Cost</th>
          <th>Outcome</th>
        </tr>
      </thead>
      <tbody>
        {pops.map(({ pop, rank, chosen, passed, state, estimate }) => (
          <tr key={pop} class={chosen ? 'chosen' : ''}>
            <td class="number">{rank}</td>
            <td class="strong">{pop}</td>
            <td>
              <span class="with-icon">
                <StateIcon state={state} /> {state}
              </span>
            </td>
            <td class="number">{estimate ? msText(estimate.clientMs) : '–'}</td>
            <td class="number">{estimate ? `${Math.round(estimate.lowMs)}–${Math.round(estimate.highMs)}` : '–'}</td>
            <td class="number">{estimate ? Math.round(estimate.n) : '–'}</td>
            <td>{estimate?.tier ?? '–'}</td>
            <td class="number">{estimate?.backboneMs === undefined ? '–' : msText(estimate.backboneMs)}</td>
            <td class="number">{estimate?.costMs === undefined ? '–' : msText(estimate.costMs)}</td>
            <td>{chosen ? 'answered' : passed === '' ? '' : `passed over: ${passed}`}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
