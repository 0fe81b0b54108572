/**
 * Which of a process's own threads goes first when there are fewer cores than work. On Linux a nice value is a thread's,
 * and whoever has no privilege (CAP_SYS_NICE, or LimitNICE= of systemd) can only step back.
 */
import { getPriority, setPriority } from 'node:os';
import koffi from 'koffi';

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

/** Number of the system call sched_setattr(2) by processor. */
const schedSetattr: Partial<Record<NodeJS.Architecture, number>> = { x64: 314, arm64: 274 };
/** sizeof(struct sched_attr), first version. */
const schedAttrBytes = 48;

/**
 * Turns of this length for the calling thread, which lets it in at once before threads whose turns are longer, when it
 * has been asleep: Linux 6.12 and newer. Nothing happens elsewhere.
 */
export function takeShortTurns(turnUs: number): void {
  const number = schedSetattr[process.arch];
  if (process.platform !== 'linux' || number === undefined) return;
  const attributes = new DataView(new ArrayBuffer(schedAttrBytes));
  attributes.setUint32(0, schedAttrBytes, true);
  try {
    // Policy and flags stay 0 (SCHED_OTHER); niceness is set along with the turn.
    attributes.setInt32(16, getPriority(0), true);
    attributes.setBigUint64(24, BigInt(turnUs) * 1000n, true);
    const call = koffi.load('libc.so.6').func('int64_t syscall(int64_t, int64_t, void *, uint64_t)');
    call(number, 0, attributes.buffer, 0);
  } catch {
    // Then the kernel's turns it is.
  }
}
