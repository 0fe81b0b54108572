/**
 * Explanations of the past, asked of a thread of their own (past-worker.ts): started when somebody asks, ended when
 * nobody has for a while.
 */
import { Worker } from 'node:worker_threads';
import { type ErrorCode, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock } from '@ufes/core/ports.ts';
import type { Explanation } from '@ufes/core/steering/explanation.ts';
import type { StorePlace } from '@ufes/io/context.ts';
import type { ExplainQuestion } from './explain-question.ts';
import type { WireOptions } from './wire.ts';

export interface PastWorkerInit {
  readonly place: StorePlace;
  readonly wire: WireOptions;
}

export interface PastQuestion {
  readonly id: number;
  readonly question: ExplainQuestion;
  readonly node: string;
  readonly atMs: number;
}

export type PastAnswer =
  | { readonly id: number; readonly said: Explanation }
  | { readonly id: number; readonly failed: { readonly code?: ErrorCode; readonly message: string } };

interface Waiting {
  resolve(said: Explanation): void;
  reject(error: Error): void;
}

export class PastThread {
  readonly #init: PastWorkerInit;
  readonly #clock: Clock;
  #worker: Worker | undefined;
  #ids = 0;
  readonly #waiting = new Map<number, Waiting>();
  #cancelEnd: () => void = () => {};

  constructor(init: PastWorkerInit, clock: Clock) {
    this.#init = init;
    this.#clock = clock;
  }

  /** Rejects with NOT_FOUND, STORE_UNAVAILABLE, QUEUE_FULL. */
  async explain(question: ExplainQuestion, node: string, atMs: number): Promise<Explanation> {
    const leftMs = atMs - this.#clock.nowMs();
    if (leftMs > 0) throw new OperatingError('REQUEST_INVALID', `${new Date(atMs).toISOString()} is still to come`);
    // The journal is kept a moment after what it tells.
    const soonMs = leftMs + limits.history.liveMs + limits.history.pastMarginMs;
    if (soonMs > 0) await new Promise<void>((resolve) => this.#clock.after(soonMs, resolve));
    if (this.#waiting.size >= limits.history.pastWaiting) {
      throw new OperatingError('QUEUE_FULL', 'too many questions about the past at once; ask again');
    }
    this.#cancelEnd();
    const worker = this.#worker ?? this.#start();
    const id = ++this.#ids;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      worker.postMessage({ id, question, node, atMs } satisfies PastQuestion);
    });
  }

  #start(): Worker {
    const workerData: PastWorkerInit = this.#init;
    const worker = new Worker(new URL('./past-worker.ts', import.meta.url), { workerData, name: 'dns-past' });
    this.#worker = worker;
    worker.unref();
    worker.on('message', (answer: PastAnswer) => this.#heard(answer));
    worker.on('error', (error) => this.#ended(worker, error));
    worker.on('exit', () => this.#ended(worker));
    return worker;
  }

  #heard(answer: PastAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ('said' in answer) waiting?.resolve(answer.said);
    else {
      const { code, message } = answer.failed;
      waiting?.reject(code === undefined ? new Error(message) : new OperatingError(code, message));
    }
    this.#cancelEnd();
    if (this.#waiting.size === 0)
      this.#cancelEnd = this.#clock.after(limits.history.pastIdleMs, () => void this.stop());
  }

  #ended(worker: Worker, cause?: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    const failed = new OperatingError(
      'NOT_RUNNING',
      'the thread that explains the past ended',
      cause === undefined ? undefined : { cause },
    );
    for (const { reject } of this.#waiting.values()) reject(failed);
    this.#waiting.clear();
  }

  async stop(): Promise<void> {
    this.#cancelEnd();
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
    const failed = new OperatingError('NOT_RUNNING', 'dns is stopping');
    for (const { reject } of this.#waiting.values()) reject(failed);
    this.#waiting.clear();
  }
}
