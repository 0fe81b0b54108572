/**
 * Which of a process's own threads goes first when there are fewer cores than work. On Linux a nice value is a thread's,
 * and whoever has no privilege (CAP_SYS_NICE, or LimitNICE= of systemd) can only step back.
 */
import { getPriority, setPriority } from 'node:os';

const first = -20;
const last = 19;

let hasSteppedBack = false;

/** Steps of nice that the main thread gives up, once however often it is asked. */
export function stepBack(steps: number): void {
  if (!hasSteppedBack) stepForward(-steps);
  hasSteppedBack = true;
}

/** Steps of nice that the calling thread gains; nothing happens where that is not allowed. */
export function stepForward(steps: number): void {
  if (process.platform !== 'linux') return;
  try {
    setPriority(0, Math.max(first, Math.min(last, getPriority(0) - steps)));
  } catch {
    // Then all threads are equal.
  }
}
