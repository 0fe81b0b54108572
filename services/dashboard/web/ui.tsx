/** Small pieces that all pages use. */
import type { Missing, PopState } from '@ufes/core/dashboard.ts';
import type { ComponentChildren, TargetedMouseEvent } from 'preact';
import { stateColours } from './colours.ts';
import { clockText, durationText } from './format.ts';
import { go } from './route.ts';

export function Link({ href, children, current }: { href: string; children: ComponentChildren; current?: boolean }) {
  const follow = (event: TargetedMouseEvent<HTMLAnchorElement>) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go(href);
  };
  return (
    <a href={href} onClick={follow} aria-current={current ? 'page' : undefined}>
      {children}
    </a>
  );
}

export function Card(props: { title: string; note?: ComponentChildren; class?: string; children: ComponentChildren }) {
  return (
    <section class={`card ${props.class ?? ''}`}>
      <header>
        <h2>{props.title}</h2>
        {props.note !== undefined && <div class="note">{props.note}</div>}
      </header>
      {props.children}
    </section>
  );
}

/** Nothing to show, why, and what to do about it. */
export function Empty({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      <p>{typeof children === 'string' ? <Prose text={children} /> : children}</p>
    </div>
  );
}

/** Text in which `…` is something to type. */
export function Prose({ text }: { text: string }) {
  return <>{text.split('`').map((part, i) => (i % 2 === 1 ? <code key={part}>{part}</code> : part))}</>;
}

/** Parts that another process has and does not give. */
export function MissingParts({ missing }: { missing: readonly Missing[] }) {
  if (missing.length === 0) return null;
  const nodes = [...new Set(missing.map((one) => one.node))];
  return (
    <div class="banners" role="status">
      {nodes.map((node) => {
        const parts = missing.filter((one) => one.node === node);
        const since = Math.min(...parts.map((one) => one.sinceMs));
        return (
          <div class="banner" key={node}>
            <strong>
              {parts.map((one) => one.part).join(', ')}: not current since {clockText(since)} (
              {durationText((Date.now() - since) / 1000)})
            </strong>
            <p>
              <Prose text={`${parts[0]!.why}. ${parts[0]!.todo}`} />
            </p>
          </div>
        );
      })}
    </div>
  );
}

/** A state has a shape as well as a colour: ● up, ✕ down, ▲ draining, ◌ unknown. `colour` replaces that of "up". */
export function StateShape({ state, size, colour }: { state: PopState; size: number; colour?: string }) {
  const fill = state === 'up' ? (colour ?? stateColours.up) : stateColours[state];
  const r = size / 2;
  if (state === 'down') {
    const a = r * 0.62;
    return (
      <g class="shape" data-state={state}>
        <rect
          x={-r}
          y={-r}
          width={size}
          height={size}
          rx={r * 0.3}
          fill={fill}
          stroke="var(--card)"
          stroke-width="1.5"
        />
        <path
          d={`M${-a} ${-a}L${a} ${a}M${a} ${-a}L${-a} ${a}`}
          stroke="var(--card)"
          stroke-width={r * 0.36}
          stroke-linecap="round"
        />
      </g>
    );
  }
  if (state === 'draining') {
    return (
      <g class="shape" data-state={state}>
        <path
          d={`M0 ${-r * 1.15}L${r * 1.1} ${r * 0.85}H${-r * 1.1}Z`}
          fill={fill}
          stroke="var(--card)"
          stroke-width="1.5"
          stroke-linejoin="round"
        />
      </g>
    );
  }
  if (state === 'unknown') {
    return (
      <g class="shape" data-state={state}>
        <circle r={r - 1} fill="var(--card)" stroke={fill} stroke-width="2" stroke-dasharray="3 2.4" />
      </g>
    );
  }
  return (
    <g class="shape" data-state={state}>
      <circle r={r} fill={fill} stroke="var(--card)" stroke-width="1.5" />
    </g>
  );
}

export function StateIcon({ state, colour }: { state: PopState; colour?: string }) {
  return (
    <svg class="icon" width="16" height="16" viewBox="-8 -8 16 16" aria-hidden="true">
      <StateShape state={state} size={11} {...(colour === undefined ? {} : { colour })} />
    </svg>
  );
}

export interface Choice {
  readonly value: string;
  readonly text: string;
}

/** A few exclusive choices side by side. */
export function Choices(props: {
  label: string;
  value: string;
  choices: readonly Choice[];
  choose: (value: string) => void;
}) {
  return (
    <fieldset class="choices">
      <legend class="hidden">{props.label}</legend>
      {props.choices.map(({ value, text }) => (
        <button key={value} type="button" aria-pressed={value === props.value} onClick={() => props.choose(value)}>
          {text}
        </button>
      ))}
    </fieldset>
  );
}

/** A small horizontal bar, 0–1. */
export function Meter({ share, colour, label }: { share: number; colour: string; label: string }) {
  return (
    <svg class="meter" role="img" aria-label={label} preserveAspectRatio="none" viewBox="0 0 100 6">
      <rect width="100" height="6" fill="var(--track)" />
      <rect width={Math.min(100, Math.max(0, share * 100))} height="6" fill={colour} />
    </svg>
  );
}
