/**
 * Colours that colour-blind people tell apart (Okabe and Ito). Their values are in style.css, once for light and once
 * for dark; here are the names. Vermillion is kept for "down" and "slow", so no PoP has it.
 */
import type { ComparePath, PopState } from '@ufes/core/dashboard.ts';

const popColours = 6;

/** By the place of the PoP in the configuration; they repeat after six, and labels tell them apart. */
export function popColour(index: number): string {
  return index < 0 ? 'var(--unknown)' : `var(--pop-${index % popColours})`;
}

export const latencySteps = [
  { below: 25, colour: 'var(--ms-0)', text: '< 25 ms' },
  { below: 50, colour: 'var(--ms-1)', text: '25–50' },
  { below: 100, colour: 'var(--ms-2)', text: '50–100' },
  { below: 200, colour: 'var(--ms-3)', text: '100–200' },
  { below: Number.POSITIVE_INFINITY, colour: 'var(--ms-4)', text: '≥ 200 ms' },
] as const;

export function latencyColour(ms: number | undefined): string {
  return latencySteps.find((step) => ms !== undefined && ms < step.below)?.colour ?? 'var(--unknown)';
}

export const stateColours: Readonly<Record<PopState, string>> = {
  up: 'var(--up)',
  down: 'var(--down)',
  draining: 'var(--draining)',
  unknown: 'var(--unknown)',
};

export const paths: readonly { readonly path: ComparePath; readonly title: string; readonly variable: string }[] = [
  { path: 'direct', title: 'Direct', variable: '--direct' },
  { path: 'geo', title: 'Geo edge', variable: '--geo' },
  { path: 'steered', title: 'Steered edge', variable: '--steered' },
];

/** What a CSS colour variable comes to now, for drawing on a canvas. */
export function colourNow(variable: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(${variable})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
