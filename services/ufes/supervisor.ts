/**
 * The process tree: starts a process per node, restarts what exited at once and then with back-off, and what has not
 * answered for limits.supervisor.hungMs. Relays wake-ups between processes. A node failed on purpose stays down.
 */
import type { ChildProcess } from 'node:child_process';
import type { Config } from '@ufes/core/config/schema.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Component, Log } from '@ufes/core/ports.ts';
import { wakeRelay } from '@ufes/io/bus.ts';
import type { FromChild, Init, ProcessStatus, ToChild } from './messages.ts';

const pingMs = 1_000;

interface Process {
  readonly node: string;
  /** What it is to be; what it is, is `state`. */
  wanted: 'up' | 'down' | 'gone';
  child: ChildProcess | undefined;
  /** Under way to take the child's place. */
  successor: ChildProcess | undefined;
  state: ProcessStatus['state'];
  why: string;
  restarts: number;
  startedAtMs: number;
  /** Pings since the last answer. Counted, not timed: a supervisor that stood still itself has sent none. */
  missedPings: number;
  rssBytes: number;
  backoffMs: number;
  cancelRestart: (() => void) | undefined;
}

export interface SupervisorOptions {
  readonly nodes: readonly string[];
  readonly config: Config;
  readonly configFolder: string;
  readonly configPath: string;
  readonly state: string;
  readonly logLevel: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Starts the process of a node, with a channel. */
  readonly fork: (node: string) => ChildProcess;
  /** An operating error that ended a node: shown to the person at the terminal. */
  readonly onFatal: (node: string, code: string, message: string) => void;
}

export class Supervisor implements Component {
  readonly #options: SupervisorOptions;
  readonly #processes = new Map<string, Process>();
  readonly #relay = wakeRelay();
  /** Processes that left the configuration and have not gone yet. */
  readonly #leaving = new Map<string, Promise<void>>();
  #stopping = false;
  #cancelPing: (() => void) | undefined;
  #config: Config;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#config = options.config;
  }

  async start(): Promise<void> {
    for (const node of this.#options.nodes) this.#add(node);
    this.#cancelPing = this.#options.clock.every(pingMs, () => this.#ping());
  }

  /** Starts and stops what a changed configuration asks for; new processes get the new one. */
  update(config: Config, nodes: readonly string[]): void {
    this.#config = config;
    for (const node of nodes) if (!this.#processes.has(node)) this.#add(node);
    for (const [node, process] of this.#processes) {
      if (nodes.includes(node)) continue;
      this.#processes.delete(node);
      process.wanted = 'gone';
      const gone = this.#end(process).finally(() => this.#leaving.delete(node));
      this.#leaving.set(node, gone);
    }
  }

  nodes(): string[] {
    return [...this.#processes.keys()];
  }

  status(): ProcessStatus[] {
    const nowMs = this.#options.clock.nowMs();
    return [...this.#processes.values()].map(
      ({ node, child, wanted, state, why, restarts, startedAtMs, rssBytes }) => ({
        node,
        pid: child?.pid,
        state: wanted === 'down' ? 'failed on purpose' : state,
        why: wanted === 'down' ? 'ufes fail' : why,
        restarts,
        upMs: child ? nowMs - startedAtMs : 0,
        rssBytes,
      }),
    );
  }

  /** Kills a node and holds it down, or lets it live again. False when there is no such node. */
  hold(node: string, down: boolean): boolean {
    const process = this.#processes.get(node);
    if (process === undefined) return false;
    if (down && process.wanted === 'up') {
      process.wanted = 'down';
      process.cancelRestart?.();
      process.child?.kill('SIGKILL');
    }
    if (!down && process.wanted === 'down') {
      process.wanted = 'up';
      // Else its exit, which is on its way, launches it again.
      if (process.child === undefined) this.#launch(process);
    }
    return true;
  }

  /**
   * Starts another process of the node in the place of the running one and adopts it once it is there. Rejects when it
   * does not get there; the one in service then stays. Undefined: there is no such node.
   */
  replace(node: string): Promise<void> | undefined {
    const process = this.#processes.get(node);
    if (process === undefined) return undefined;
    if (process.child === undefined || process.successor !== undefined) {
      const why = process.child === undefined ? 'is not running' : 'is being replaced already';
      return Promise.reject(new OperatingError('NOT_RUNNING', `${node} ${why}`));
    }
    const before = process.child;
    const child = this.#fork(process, true);
    process.successor = child;
    return new Promise((resolve, reject) => {
      let why = '';
      child.on('message', (message: FromChild) => {
        if (message.ufes === 'fatal') why = message.message;
        if (message.ufes !== 'in place') return;
        this.#adopt(process, child, before);
        resolve();
      });
      child.once('exit', (code, signal) => {
        if (process.successor !== child) return;
        process.successor = undefined;
        if (process.child === undefined && !this.#stopping) this.#launch(process);
        reject(new OperatingError('NOT_RUNNING', `the new ${node} ended: ${why || (signal ?? `exit code ${code}`)}`));
      });
    });
  }

  #adopt(process: Process, child: ChildProcess, before: ChildProcess): void {
    const { clock, log } = this.#options;
    process.successor = undefined;
    process.child = child;
    process.state = 'ready';
    process.why = '';
    process.startedAtMs = clock.nowMs();
    process.missedPings = 0;
    log.info({ node: process.node, pid: child.pid, before: before.pid }, 'process replaced');
    const cancel = clock.after(limits.supervisor.stopMs, () => before.kill('SIGKILL'));
    before.once('exit', cancel);
  }

  /** Stops everything within limits.supervisor.stopMs; what has not gone by then is killed. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#cancelPing?.();
    for (const { successor } of this.#processes.values()) successor?.kill('SIGKILL');
    await Promise.all([
      ...this.#leaving.values(),
      ...[...this.#processes.values()].map((process) => this.#end(process)),
    ]);
  }

  /** Says stop, and kills what has not gone when the bound is near. */
  #end(process: Process): Promise<void> {
    process.cancelRestart?.();
    const { child } = process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(limits.supervisor.killMs, () => child.kill('SIGKILL'));
      child.once('exit', () => {
        cancel();
        resolve();
      });
      this.#tell(process, { ufes: 'stop' });
    });
  }

  #add(node: string): void {
    const process: Process = {
      node,
      wanted: 'up',
      child: undefined,
      successor: undefined,
      state: 'starting',
      why: '',
      restarts: 0,
      startedAtMs: 0,
      missedPings: 0,
      rssBytes: 0,
      backoffMs: 0,
      cancelRestart: undefined,
    };
    this.#processes.set(node, process);
    const before = this.#leaving.get(node);
    if (before === undefined) this.#launch(process);
    // One that left a moment ago still has its sockets.
    else void before.then(() => process.wanted === 'up' && !this.#stopping && this.#launch(process));
  }

  #launch(process: Process): void {
    const { clock } = this.#options;
    process.child = this.#fork(process, false);
    process.state = 'starting';
    process.why = '';
    process.startedAtMs = clock.nowMs();
    process.missedPings = 0;
  }

  #fork(process: Process, replaces: boolean): ChildProcess {
    const { configFolder, configPath, state, logLevel } = this.#options;
    const child = this.#options.fork(process.node);
    this.#relay.attach(child);
    child.on('message', (message: FromChild | { ufes: 'wake' }) => {
      if (message.ufes !== 'wake') this.#heard(process, child, message);
    });
    child.on('error', (error) =>
      this.#options.log.error({ node: process.node, error: error.message }, 'process error'),
    );
    child.on('exit', (code, signal) => this.#exited(process, child, code, signal));
    const init: Init = {
      ufes: 'init',
      node: process.node,
      config: this.#config,
      configFolder,
      configPath,
      state,
      logLevel,
      replaces,
    };
    child.send(init, () => {});
    return child;
  }

  #heard(process: Process, child: ChildProcess, message: FromChild): void {
    if (process.child !== child) return;
    if (message.ufes === 'pong') {
      process.missedPings = 0;
      process.rssBytes = message.rssBytes;
    } else if (message.ufes === 'ready') {
      process.state = message.ok ? 'ready' : 'not ready';
      process.why = message.why;
      if (message.ok) process.backoffMs = 0;
    } else if (message.ufes === 'fatal') {
      process.why = message.message;
      this.#options.onFatal(process.node, message.code, message.message);
    }
  }

  #exited(process: Process, child: ChildProcess, code: number | null, signal: string | null): void {
    if (process.child !== child) return;
    process.child = undefined;
    process.rssBytes = 0;
    // Left for its successor, who says so in a moment, or fails.
    if (process.successor !== undefined) return;
    if (this.#stopping || process.wanted !== 'up') return;
    process.restarts++;
    process.state = 'restarting';
    process.why ||= signal ? `killed by ${signal}` : `exited with ${code}`;
    this.#options.log.warn({ node: process.node, code, signal, inMs: process.backoffMs }, 'process ended; restarting');
    const why = process.why;
    process.cancelRestart = this.#options.clock.after(process.backoffMs, () => {
      this.#launch(process);
      process.why = why;
    });
    process.backoffMs = Math.min(limits.supervisor.restartMsMax, Math.max(250, process.backoffMs * 2));
  }

  #ping(): void {
    for (const process of this.#processes.values()) {
      if (process.child === undefined) continue;
      if (++process.missedPings * pingMs > limits.supervisor.hungMs) {
        this.#options.log.error({ node: process.node, pings: process.missedPings }, 'process hangs; killing it');
        process.why = `did not answer for ${limits.supervisor.hungMs / 1000} s`;
        process.child.kill('SIGKILL');
      } else this.#tell(process, { ufes: 'ping' });
    }
  }

  #tell(process: Process, message: ToChild): void {
    if (process.child?.connected) process.child.send(message, () => {});
  }
}
