/** What a page shows, asked for again and again while it is open. */
import { useEffect, useState } from 'preact/hooks';

export interface Polled<T> {
  /** The last that came; undefined: none yet. */
  readonly value: T | undefined;
  /** Why there is nothing newer, for people. */
  readonly error: string | undefined;
}

/** JSON from `path`, `everyMs` after the answer before; another path starts at once, and what there is stays until then. */
export function usePolled<T>(path: string, everyMs: number): Polled<T> {
  const [value, setValue] = useState<T>();
  const [error, setError] = useState<string>();
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    let current = true;
    const look = async () => {
      try {
        const response = await fetch(path);
        if (!response.ok) throw new Error(`the answer was ${response.status}`);
        const got = (await response.json()) as T;
        if (!current) return;
        setValue(got);
        setError(undefined);
      } catch {
        if (current) setError('The dashboard does not answer; is its process running? Trying again.');
      }
      if (current) timer = setTimeout(look, everyMs);
    };
    void look();
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [path, everyMs]);
  return { value, error };
}
