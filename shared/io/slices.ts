/**
 * Long work in slices: a generator that yields where it may be put aside. A thread that answers goes on with it for a
 * moment between two batches; everybody else runs it through.
 */
export type Slices<T> = Generator<undefined, T>;

/** All of it, now. */
export function runThrough<T>(work: Slices<T>): T {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}

/** All of it, in slices of about `ms` between turns of the event loop. */
export async function runGently<T>(work: Slices<T>, ms: number, monotonicMs: () => number): Promise<T> {
  for (;;) {
    const done = runFor(work, ms, monotonicMs);
    if (done !== undefined) return done.value;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** For at most about `ms`; undefined: there is more to do. */
export function runFor<T>(work: Slices<T>, ms: number, monotonicMs: () => number): { readonly value: T } | undefined {
  const endMs = monotonicMs() + ms;
  do {
    const step = work.next();
    if (step.done) return { value: step.value };
  } while (monotonicMs() < endMs);
  return undefined;
}
