/**
 * The threads that answer UDP (worker.ts), as the main thread sees them: it starts them, hands them what is in service
 * and their sockets, gathers what they saw, and starts a failed one again. A new thread gets everything from the start;
 * until it answers, another one reads the sockets of the failed one beside its own, so that what queues there is answered.
 */
import { Worker } from 'node:worker_threads';
import type { DesiredState } from '@ufes/core/desired.ts';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { LiveView } from '@ufes/core/live.ts';
import type { Clock, Component, Log } from '@ufes/core/ports.ts';
import { Counters } from './counters.ts';
import {
  controlWord,
  type FromThread,
  type MapInService,
  ordersOf,
  type ThreadSocket,
  type ToThread,
  type WorkerInit,
} from './hand-over.ts';
import { drainRing, type RingReaders, ringBuffer } from './ring.ts';
import type { WireOptions, WireShared } from './wire.ts';

export interface ThreadsInit {
  readonly count: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly wire: WireOptions;
  readonly shared: WireShared;
  readonly logEvery: number;
  readonly readers: RingReaders;
}

export interface Threads extends Component {
  readonly count: number;
  /** Beside what is in service, swapped by each thread when ready. */
  serveDesired(desired: DesiredState, live: LiveView): void;
  serveMap(map: MapInService): void;
  /** Number of the oldest map that a thread may still read; Infinity when there is no thread. */
  oldestMap(): number;
  /** By thread. Resolves once all answer, with what they were given before. */
  open(sockets: readonly (readonly ThreadSocket[])[]): Promise<void>;
  /** Brings what the threads saw to its readers; done every moment anyway. */
  gather(): void;
  /** What each has counted. */
  counters(): readonly Counters[];
  /** Threads that ended by themselves so far, and how many answer now. */
  failures(): number;
  answering(): number;
}

export function createThreads(init: ThreadsInit): Threads {
  let desired: { state: DesiredState; live: LiveView } | undefined;
  let map: MapInService | undefined;
  const threads = Array.from({ length: init.count }, (_, number) => new Thread(number, init, share));
  let cancel = () => {};
  /** Those of failed threads go to the next that answers, and back. */
  function share(): void {
    const answering = threads.filter((thread) => thread.isAnswering);
    const lent = new Map<Thread, ThreadSocket[]>();
    for (const [i, failed] of threads.entries()) {
      if (!failed.hasFailed || answering.length === 0) continue;
      const standIn = answering.find((thread) => threads.indexOf(thread) > i) ?? answering[0]!;
      lent.set(standIn, [...(lent.get(standIn) ?? []), ...failed.sockets]);
    }
    for (const thread of answering) thread.standIn(lent.get(thread) ?? []);
  }
  const gather = () => {
    for (const thread of threads) thread.gather();
  };
  return {
    count: init.count,
    async start() {
      for (const thread of threads) thread.start(() => ({ map: map?.number ?? 0, orders: stateOrders(desired, map) }));
      cancel = init.clock.every(limits.dns.gatherMs, gather);
    },
    async stop() {
      cancel();
      await Promise.all(threads.map((thread) => thread.stop()));
      gather();
    },
    serveDesired(state, live) {
      desired = { state, live };
      for (const thread of threads) thread.order(ordersOf(state, live));
    },
    serveMap(next) {
      map = next;
      for (const thread of threads) thread.order([{ order: 'map', map: next }]);
    },
    oldestMap: () => Math.min(...threads.map((thread) => thread.oldestMap)),
    async open(sockets) {
      await Promise.all(threads.map((thread, i) => thread.open(sockets[i]!)));
    },
    gather,
    counters: () => threads.map((thread) => thread.counters),
    failures: () => threads.reduce((sum, thread) => sum + thread.failures, 0),
    answering: () => threads.filter((thread) => thread.isAnswering).length,
  };
}

function* stateOrders(
  desired: { state: DesiredState; live: LiveView } | undefined,
  map: MapInService | undefined,
): Generator<ToThread> {
  if (map !== undefined) yield { order: 'map', map };
  if (desired !== undefined) yield* ordersOf(desired.state, desired.live);
}

/** What a thread begins with. */
interface State {
  /** Number of the map in it; 0: there is none. */
  readonly map: number;
  readonly orders: Iterable<ToThread>;
}

class Thread {
  readonly #number: number;
  readonly #init: ThreadsInit;
  readonly #onChange: () => void;
  readonly #countersBuffer: SharedArrayBuffer;
  readonly counters: Counters;
  #control = new Int32Array(new SharedArrayBuffer(8));
  #ring = ringBuffer();
  #worker: Worker | undefined;
  #state: () => State = () => ({ map: 0, orders: [] });
  #sockets: readonly ThreadSocket[] | undefined;
  #onAnswering: ((failed?: OperatingError) => void)[] = [];
  #error = '';
  #stopping = false;
  #cancelRestart = () => {};
  /** Of failed threads, read here meanwhile. */
  #borrowed: readonly ThreadSocket[] = [];
  /** Doubled when it does not last. */
  #restartMs: number = limits.dns.threadRestartMs / 2;
  #answeringSinceMs = 0;
  isAnswering = false;
  /** Since it ended by itself, until it answers again. */
  hasFailed = false;
  failures = 0;

  /** `onChange`: it began to answer, or ended by itself. */
  constructor(number: number, init: ThreadsInit, onChange: () => void) {
    this.#number = number;
    this.#init = init;
    this.#onChange = onChange;
    this.counters = new Counters();
    this.#countersBuffer = this.counters.cells.buffer as SharedArrayBuffer;
  }

  start(state: () => State): void {
    this.#state = state;
    const { map, orders } = state();
    this.#control = new Int32Array(new SharedArrayBuffer(8));
    Atomics.store(this.#control, controlWord.map, map);
    this.#ring = ringBuffer();
    // A thread that is started again counts on from where its fore-runner was.
    const workerData: WorkerInit = {
      control: this.#control.buffer as SharedArrayBuffer,
      counters: this.#countersBuffer,
      ring: this.#ring,
      wire: this.#init.wire,
      shared: this.#init.shared,
      logEvery: this.#init.logEvery,
    };
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData, name: `dns-${this.#number}` });
    this.#worker = worker;
    worker.on('message', (report: FromThread) => this.#heard(report));
    worker.on('error', (error) => {
      this.#error = describeError(error);
      this.#init.log.error({ thread: this.#number, error: this.#error }, 'dns: thread failed');
    });
    worker.on('exit', () => this.#ended(worker));
    this.order(orders);
    if (this.#sockets !== undefined) this.order([{ order: 'sockets', sockets: this.#sockets }]);
  }

  order(orders: Iterable<ToThread>): void {
    for (const order of orders) {
      this.#worker?.postMessage(order);
      Atomics.add(this.#control, controlWord.orders, 1);
      Atomics.notify(this.#control, controlWord.orders);
    }
  }

  /** One that ended reads nothing. */
  get oldestMap(): number {
    return this.#worker === undefined ? Number.POSITIVE_INFINITY : Atomics.load(this.#control, controlWord.map);
  }

  get sockets(): readonly ThreadSocket[] {
    return this.#sockets ?? [];
  }

  /** Reads these beside its own; none: its own alone. */
  standIn(sockets: readonly ThreadSocket[]): void {
    const isSame = sockets.length === this.#borrowed.length && sockets.every((one, i) => one === this.#borrowed[i]);
    if (isSame) return;
    this.#borrowed = sockets;
    this.order([{ order: 'sockets', sockets: [...this.sockets, ...sockets] }]);
  }

  open(sockets: readonly ThreadSocket[]): Promise<void> {
    this.#sockets = sockets;
    this.order([{ order: 'sockets', sockets }]);
    return new Promise((resolve, reject) => {
      const cancel = this.#init.clock.after(limits.dns.threadStartMs, () =>
        reject(new OperatingError('NOT_RUNNING', `thread ${this.#number} of dns does not start; its log says why`)),
      );
      this.#onAnswering.push((failed) => {
        cancel();
        if (failed === undefined) resolve();
        else reject(failed);
      });
    });
  }

  gather(): void {
    drainRing(this.#ring, this.#init.readers);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#cancelRestart();
    const worker = this.#worker;
    if (worker === undefined) return;
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    this.order([{ order: 'stop' }]);
    await ended;
  }

  #heard(report: FromThread): void {
    if (report.report === 'answering') this.#answers();
    else this.counters.answers.replace(report.values, report.labels);
  }

  #answers(): void {
    for (const tell of this.#onAnswering.splice(0)) tell();
    if (this.isAnswering) return;
    this.isAnswering = true;
    this.#answeringSinceMs = this.#init.clock.monotonicMs();
    if (this.hasFailed) this.#init.log.info({ thread: this.#number }, 'dns: thread answers again');
    this.hasFailed = false;
    this.#onChange();
  }

  #ended(worker: Worker): void {
    if (this.#worker !== worker) return;
    this.gather();
    this.#worker = undefined;
    const failed = new OperatingError('NOT_RUNNING', `thread ${this.#number} of dns ended: ${this.#error}`);
    for (const tell of this.#onAnswering.splice(0)) tell(failed);
    if (this.#stopping) return;
    this.counters.answers.settle();
    this.failures++;
    this.#init.log.warn({ thread: this.#number }, 'dns: thread ended; starting it again, and others read its sockets');
    const hasLasted =
      this.isAnswering && this.#init.clock.monotonicMs() - this.#answeringSinceMs > limits.dns.threadRestartMsMax;
    this.#restartMs = hasLasted
      ? limits.dns.threadRestartMs
      : Math.min(2 * this.#restartMs, limits.dns.threadRestartMsMax);
    this.#cancelRestart = this.#init.clock.after(this.#restartMs, () => this.start(this.#state));
    this.isAnswering = false;
    this.hasFailed = true;
    this.#borrowed = [];
    this.#onChange();
  }
}
