/** Changes: maps that were published, held and rolled back, and plans; what was predicted, and what was measured. */
import type { MapChanges } from '@ufes/core/dashboard.ts';
import type { PlanRecord, Publication, PublicationKind } from '@ufes/core/steering/publication.ts';
import { clockText, countText, dateText, durationText, msText, shareText } from '../format.ts';
import type { PageProps } from '../page.ts';
import { usePolled } from '../poll.ts';
import { setQuery } from '../route.ts';
import { Card, type Choice, Choices, Empty, MissingParts, Prose } from '../ui.tsx';

const everyMs = 5_000;
const choices: readonly Choice[] = [
  { value: '', text: 'All' },
  { value: 'publish', text: 'Published' },
  { value: 'hold', text: 'Held' },
  { value: 'rollback', text: 'Rollbacks' },
  { value: 'plan', text: 'Plans' },
];

export function Page({ route }: PageProps) {
  const kind = route.query.get('kind') ?? '';
  const isAll = route.query.get('all') === '1';
  const { value: changes, error } = usePolled<MapChanges>(`/api/changes?limit=200${isAll ? '&all=1' : ''}`, everyMs);
  if (changes === undefined) {
    return error === undefined ? <div class="loading" aria-busy="true" /> : <Empty title="No changes">{error}</Empty>;
  }
  const shown = changes.publications.filter((one) => isOf(one.kind, kind));
  return (
    <div class="changes">
      <MissingParts missing={changes.missing} />
      {error !== undefined && (
        <p class="error" role="alert">
          {error}
        </p>
      )}
      {changes.held !== undefined && <Held held={changes.held} />}
      <Card
        title="Changes"
        note={
          <span class="filters">
            <Choices label="Show" value={kind} choices={choices} choose={(value) => setQuery('kind', value)} />
            <label class="check">
              <input type="checkbox" checked={isAll} onChange={() => setQuery('all', isAll ? '' : '1')} />
              those that move nobody
            </label>
          </span>
        }
      >
        {shown.length === 0 ? (
          <Nothing kind={kind} missing={changes.missing.length > 0} />
        ) : (
          <List shown={shown} open={route.query.get('at') ?? ''} />
        )}
      </Card>
    </div>
  );
}

function isOf(one: PublicationKind, kind: string): boolean {
  return kind === '' || one === kind || (kind === 'rollback' && one === 'release');
}

function Nothing({ kind, missing }: { kind: string; missing: boolean }) {
  if (missing) return <Empty title="Not known">The mapper keeps what was published; it does not answer.</Empty>;
  if (kind === 'plan') {
    return <Empty title="No plans">`ufes plan FILE` says what a configuration would move, and is listed here.</Empty>;
  }
  if (kind !== '')
    return <Empty title="Nothing of that kind">Seven days are kept. Choose “All” to see the rest.</Empty>;
  return (
    <Empty title="Nothing moved yet">
      Maps that move clients, holds, rollbacks and plans of the last seven days are listed here.
    </Empty>
  );
}

function Held({ held }: { held: NonNullable<MapChanges['held']> }) {
  const isOrdered = held.reasons.every(({ guard }) => guard === 'rolled-back');
  return (
    <section class="held" role="alert" data-ordered={isOrdered}>
      <h2>
        <HeldShape /> {isOrdered ? 'Rolled back: new maps are held' : 'The newest map is held'}
      </h2>
      <p>
        For {durationText((Date.now() - held.sinceMs) / 1000)}, since {dateText(held.sinceMs)} {clockText(held.sinceMs)}
        . It would move {shareText(held.wanted)} of demand. The map in service stays.
      </p>
      <ul>
        {held.reasons.map(({ guard, text }) => (
          <li key={guard}>
            <Prose text={text} />
          </li>
        ))}
      </ul>
    </section>
  );
}

const HeldShape = () => (
  <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
    <path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z" fill="currentColor" />
    <path d="M5 8h6" stroke="var(--card)" stroke-width="2" stroke-linecap="round" />
  </svg>
);

function List({ shown, open }: { shown: readonly Publication[]; open: string }) {
  let day = '';
  return (
    <ol class="change-list">
      {shown.map((one) => {
        const date = dateText(one.atMs);
        const isNewDay = date !== day;
        day = date;
        return (
          <li key={`${one.atMs} ${one.kind} ${one.version ?? ''}`}>
            {isNewDay && <h3 class="day">{date}</h3>}
            <Entry one={one} isOpen={open === String(one.atMs)} />
          </li>
        );
      })}
    </ol>
  );
}

function Entry({ one, isOpen }: { one: Publication; isOpen: boolean }) {
  const toggle = (event: Event) => {
    const { open } = event.currentTarget as HTMLDetailsElement;
    if (open !== isOpen) setQuery('at', open ? String(one.atMs) : '');
  };
  return (
    <details class="change" data-kind={one.kind} open={isOpen} onToggle={toggle}>
      <summary>
        <time dateTime={new Date(one.atMs).toISOString()}>{clockText(one.atMs)}</time>
        <Kind kind={one.kind} />
        <span class="what">
          <Prose text={headline(one)} />
        </span>
        <Effect one={one} />
      </summary>
      {one.plan === undefined ? <MapDetails one={one} /> : <PlanDetails plan={one.plan} by={one.by} />}
    </details>
  );
}

/** A kind has a shape and a word, not a colour alone. */
function Kind({ kind }: { kind: PublicationKind }) {
  const text = { publish: 'published', hold: 'held', rollback: 'rolled back', release: 'released', plan: 'planned' }[
    kind
  ];
  const shapes = {
    publish: 'M2 8l4 4 8-8',
    hold: 'M3 8h10',
    rollback: 'M6 3L2 7l4 4M2 7h8a4 4 0 0 1 0 8H8',
    release: 'M4 3l8 5-8 5z',
    plan: 'M3 3h10M3 8h7M3 13h4',
  };
  return (
    <span class="kind" data-kind={kind}>
      <svg width="14" height="14" viewBox="0 0 16 16" aria-hidden="true">
        <path
          d={shapes[kind]}
          fill="none"
          stroke="currentColor"
          stroke-width="2"
          stroke-linecap="round"
          stroke-linejoin="round"
        />
      </svg>
      {text}
    </span>
  );
}

function headline({ kind, moved, why, by, reasons, restores, plan }: Publication): string {
  const who = by === undefined ? '' : `${by}: `;
  if (plan !== undefined) {
    const drains = plan.drained.length > 0 ? `, ${plan.drained.join(', ')} drained` : '';
    return `${plan.file}${drains}: ${shareText(plan.moved)} of demand would move`;
  }
  if (kind === 'rollback') return `to ${restores ?? 'an older map'}; ${who}${why ?? ''}`;
  if (kind === 'release') return `${who}${why ?? ''}`;
  if (kind === 'hold') return reasons.map(({ text }) => text.split(';')[0]!.split('. ')[0]!).join('; ');
  if (moved === undefined || moved.moved === 0) return why ?? 'new estimates, nobody moved';
  return `${shareText(moved.moved)} of demand moved, ${countText(moved.cells)} ${moved.cells === 1 ? 'cell' : 'cells'}`;
}

/** What it was to bring, and what it brought. */
function Effect({ one: { predicted, measured, plan } }: { one: Publication }) {
  if (plan !== undefined) {
    const { meanBeforeMs, meanAfterMs, measured: shown } = plan;
    return (
      <span class="effect">
        <Gain ms={meanBeforeMs - meanAfterMs} what="predicted" />
        {shown && (
          <span class="sub-inline">
            was {msText(shown.meanAfterMs)}, said {msText(meanAfterMs)}
          </span>
        )}
      </span>
    );
  }
  if (measured !== undefined) {
    return (
      <span class="effect">
        <Gain ms={measured.gainMs} what="measured" />
        <span class="sub-inline">predicted {msText(measured.predictedGainMs)}</span>
      </span>
    );
  }
  if (predicted === undefined) return <span class="effect" />;
  return (
    <span class="effect">
      <Gain ms={predicted.meanBeforeMs - predicted.meanAfterMs} what="predicted" />
    </span>
  );
}

function Gain({ ms, what }: { ms: number; what: string }) {
  if (Math.abs(ms) < 0.05) return <span>no difference {what}</span>;
  return (
    <span class={ms > 0 ? 'better' : 'worse'}>
      {msText(Math.abs(ms))} {ms > 0 ? 'faster' : 'slower'} {what}
    </span>
  );
}

function MapDetails({ one }: { one: Publication }) {
  const { version, moved, predicted, measured, loads = [], reasons, untilMs, why } = one;
  return (
    <div class="change-more">
      <dl class="facts">
        {version !== undefined && <Fact name="Version" text={version} mono />}
        {moved !== undefined && <Fact name="Moved" text={movedText(moved)} />}
        {predicted !== undefined && (
          <Fact
            name={`Round trip, predicted (of ${shareText(predicted.known)} of demand)`}
            text={`mean ${arrow(predicted.meanBeforeMs, predicted.meanAfterMs)}, p95 ${arrow(predicted.p95BeforeMs, predicted.p95AfterMs)}`}
          />
        )}
        {measured !== undefined && (
          <Fact
            name={`Of those that moved, measured by ${clockText(measured.atMs)} (${shareText(measured.known)} of them)`}
            text={`${msText(measured.gainMs)} gained, ${msText(measured.predictedGainMs)} predicted`}
          />
        )}
        {untilMs !== undefined && <Fact name="Holds until" text={`${dateText(untilMs)} ${clockText(untilMs)}`} />}
        {why !== undefined && <Fact name="Why" text={why} />}
      </dl>
      {reasons.map(({ guard, text }) => (
        <p class="reason" key={guard}>
          <Prose text={text} />
        </p>
      ))}
      <Loads rows={loads.map(({ pop, before, after }) => ({ pop, before, after }))} />
    </div>
  );
}

function PlanDetails({ plan, by }: { plan: PlanRecord; by: string | undefined }) {
  const { measured, appliedAtMs } = plan;
  const told = new Map(measured?.loads.map(({ pop, told: load }) => [pop, load]));
  return (
    <div class="change-more">
      <dl class="facts">
        <Fact name="By" text={by ?? 'not known'} />
        <Fact
          name="In service"
          text={appliedAtMs === undefined ? 'not yet' : `since ${dateText(appliedAtMs)} ${clockText(appliedAtMs)}`}
        />
        <Fact name="Harmed" text={`${shareText(plan.harmed)} of demand`} />
        <Fact
          name="Response time, predicted"
          text={`mean ${arrow(plan.meanBeforeMs, plan.meanAfterMs)}, p95 ${arrow(plan.p95BeforeMs, plan.p95AfterMs)}`}
        />
        {measured !== undefined && (
          <>
            <Fact
              name="What happened"
              text={`${shareText(measured.moved)} moved, mean ${msText(measured.meanAfterMs)}, p95 ${msText(measured.p95AfterMs)}`}
            />
            <Fact name="Error of the prediction" text={errorText(plan, measured)} />
          </>
        )}
      </dl>
      {plan.changes.length > 0 && (
        <ul class="plan-changes">
          {plan.changes.map((text) => (
            <li key={text}>{text}</li>
          ))}
        </ul>
      )}
      <Loads rows={plan.loads.map((one) => ({ ...one, ...(told.has(one.pop) && { told: told.get(one.pop)! }) }))} />
    </div>
  );
}

function errorText(plan: PlanRecord, measured: NonNullable<PlanRecord['measured']>): string {
  const points = 100 * (plan.moved - measured.moved);
  const mean = plan.meanAfterMs / Math.max(0.001, measured.meanAfterMs) - 1;
  const signed = (value: number, digits: number) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(digits)}`;
  return `${signed(points, 1)} points of moved demand, ${signed(100 * mean, 1)}% of the mean`;
}

interface LoadRow {
  readonly pop: string;
  readonly before: number;
  readonly after: number;
  /** As edges told it afterwards. */
  readonly told?: number;
}

function Loads({ rows }: { rows: readonly LoadRow[] }) {
  if (rows.length === 0) return null;
  const hasTold = rows.some(({ told }) => told !== undefined);
  return (
    <table class="loads">
      <thead>
        <tr>
          <th>PoP</th>
          <th class="number">Load before</th>
          <th class="number">after, predicted</th>
          {hasTold && <th class="number">told</th>}
        </tr>
      </thead>
      <tbody>
        {rows.map(({ pop, before, after, told }) => (
          <tr key={pop}>
            <td class="strong">{pop}</td>
            <td class="number">{shareText(before)}</td>
            <td class="number">{shareText(after)}</td>
            {hasTold && <td class="number">{told === undefined ? '–' : shareText(told)}</td>}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function movedText(moved: NonNullable<Publication['moved']>): string {
  const parts = (
    [
      ['off PoPs that cannot', moved.exempt],
      ['first estimates', moved.first],
      ['better ones', moved.discretionary],
    ] as const
  ).filter(([, share]) => share > 0);
  const how = parts.map(([text, share]) => `${text} ${shareText(share)}`).join(', ');
  return `${shareText(moved.moved)} of ${shareText(moved.wanted)} wanted${how === '' ? '' : `: ${how}`}`;
}

function arrow(before: number, after: number): string {
  return `${before.toFixed(1)} → ${after.toFixed(1)} ms`;
}

function Fact({ name, text, mono = false }: { name: string; text: string; mono?: boolean }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd class={mono ? 'mono' : ''}>{text}</dd>
    </div>
  );
}
