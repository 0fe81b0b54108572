/**
 * What the server sends, held for all pages. One event stream; when it breaks the browser connects again by itself, and
 * when it was refused (too many pages, server away) we do, every few seconds. The last state stays on the screen.
 */
import type { CompareAnswer, LiveEvent, WorldState, WorldUser } from '@ufes/core/dashboard.ts';
import { useEffect, useState } from 'preact/hooks';

export interface Live {
  readonly world: Omit<WorldState, 'users'> | undefined;
  readonly users: readonly WorldUser[] | undefined;
  readonly compare: CompareAnswer | undefined;
  readonly connected: boolean;
  /** performance.now() of the last event. */
  readonly heardAtMs: number | undefined;
}

const retryMs = 3_000;
let live: Live = { world: undefined, users: undefined, compare: undefined, connected: false, heardAtMs: undefined };
const listeners = new Set<() => void>();

function set(change: Partial<Live>): void {
  live = { ...live, ...change };
  for (const listener of listeners) listener();
}

export function connect(): void {
  const source = new EventSource('/api/events');
  const on = <T extends LiveEvent['type']>(
    type: T,
    take: (data: Extract<LiveEvent, { type: T }>['data']) => Partial<Live>,
  ) =>
    source.addEventListener(type, (event: MessageEvent<string>) => {
      set({ ...take(JSON.parse(event.data)), connected: true, heardAtMs: performance.now() });
    });
  on('world', (world) => ({ world }));
  on('users', (users) => ({ users }));
  on('compare', (compare) => ({ compare }));
  source.addEventListener('error', () => {
    set({ connected: false });
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, retryMs);
  });
}

export function useLive(): Live {
  const [, draw] = useState(0);
  useEffect(() => {
    const listener = () => draw((n) => n + 1);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return live;
}

/** Draws again every `everyMs`, for ages. */
export function useTick(everyMs: number): void {
  const [, draw] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => draw((n) => n + 1), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
}
