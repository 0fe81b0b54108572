/** PoPs held down on purpose (`ufes fail`), each until its own time or until it is taken back. */
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock } from '@ufes/core/ports.ts';

export interface Rehearsal {
  /** Throws NOT_FOUND, naming the PoPs there are, and REQUEST_INVALID for a time out of bounds. */
  fail(pop: string, forMs: number | undefined): void;
  undo(pop: string): void;
}

export interface RehearsalInit {
  readonly clock: Clock;
  /** Ids of PoPs whose edges run here. */
  readonly pops: () => readonly string[];
  readonly hold: (pop: string, down: boolean) => void;
}

export function createRehearsal({ clock, pops, hold }: RehearsalInit): Rehearsal {
  const ends = new Map<string, () => void>();
  const known = (pop: string) => {
    const all = pops();
    if (all.includes(pop)) return;
    throw new OperatingError('NOT_FOUND', `no PoP "${pop}" runs here; there are ${all.join(', ')}`);
  };
  const undo = (pop: string) => {
    known(pop);
    ends.get(pop)?.();
    ends.delete(pop);
    hold(pop, false);
  };
  return {
    undo,
    fail(pop, forMs) {
      known(pop);
      if (forMs !== undefined && !(forMs > 0 && forMs <= limits.supervisor.failMsMax)) {
        const hours = limits.supervisor.failMsMax / 3_600_000;
        throw new OperatingError(
          'REQUEST_INVALID',
          `a PoP is failed for at most ${hours} h; leave --for out to hold it down until --undo`,
        );
      }
      ends.get(pop)?.();
      ends.delete(pop);
      hold(pop, true);
      if (forMs !== undefined)
        ends.set(
          pop,
          clock.after(forMs, () => undo(pop)),
        );
    },
  };
}
