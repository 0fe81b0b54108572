/** The thread that explains the past: a map of then takes memory and seconds, which the thread that checks health has not. */
import { parentPort, workerData } from 'node:worker_threads';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { systemClock } from '@ufes/io/clock.ts';
import { openStoreOf } from '@ufes/io/context.ts';
import { silentLog } from '@ufes/io/log.ts';
import { Past } from './past.ts';
import type { PastAnswer, PastQuestion, PastWorkerInit } from './past-thread.ts';

const { place, wire } = workerData as PastWorkerInit;
const store = openStoreOf(place, { clock: systemClock, log: silentLog });
const past = new Past({ store, state: place.state, wire });
const port = parentPort!;
let last: Promise<void> = Promise.resolve();

port.on('message', (asked: PastQuestion) => {
  last = last.then(async () => port.postMessage(await answer(asked)));
});

async function answer({ id, question, node, atMs }: PastQuestion): Promise<PastAnswer> {
  try {
    return { id, said: await past.explain(question, node, atMs) };
  } catch (thrown) {
    const code = thrown instanceof OperatingError ? thrown.code : undefined;
    return { id, failed: { ...(code && { code }), message: describeError(thrown) } };
  }
}
