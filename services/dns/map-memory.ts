/**
 * Memory of maps that went out of service. Shared memory goes back to the system when every thread has collected its
 * garbage, and the engine counts none of it as the thread's: one that makes little garbage would keep dozens of maps.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { limits } from '@ufes/core/limits.ts';

let collect: (() => void) | undefined;
let outOfServiceBytes = 0;

/** A map of this size went out of service in this thread: collects, some milliseconds, once enough of them have. */
export function mapLeft(bytes: number): void {
  outOfServiceBytes += bytes;
  if (outOfServiceBytes < limits.dns.mapsLeftBytes) return;
  outOfServiceBytes = 0;
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
}
