/**
 * What the controller must remember across restarts, STATE/controller/state.json: VIPs and their quarantine, the phase of
 * every host, when an object was first seen, what was published. Written durably before anyone acts on it.
 */
import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { OperatingError } from '@ufes/core/errors.ts';
import type { Log } from '@ufes/core/ports.ts';
import { writeDurably } from '@ufes/io/kept.ts';
import type { Allocations } from './load-balancer.ts';
import type { HostPhase } from './order.ts';
import { stateShape } from './state-shape.ts';

const format = 1;

export interface ControllerState {
  readonly allocations: Allocations;
  /** By host. */
  readonly phases: Readonly<Record<string, HostPhase>>;
  /** By NAMESPACE/NAME: when it was first seen, and in which file last. */
  readonly owners: Readonly<Record<string, { readonly firstSeenMs: number; readonly source: string }>>;
  /** Allocations that no host needs, by their key: since when. */
  readonly unwanted: Readonly<Record<string, number>>;
  /** Hosts whose certificate we put into the secret store. */
  readonly certificates: readonly string[];
  /** The last publication: hash of its content, its version and SOA serial. */
  readonly published?: { readonly hash: string; readonly version: string; readonly serial: number };
  /** Where our status files are, absolute; absent when there are none. */
  readonly statusFolder?: string | undefined;
}

const emptyState: ControllerState = {
  allocations: { held: {}, quarantine: [] },
  phases: {},
  owners: {},
  unwanted: {},
  certificates: [],
};

export class StateFile {
  readonly #path: string;
  #state: ControllerState = emptyState;
  #turn: Promise<void> = Promise.resolve();

  constructor(stateFolder: string) {
    this.#path = join(stateFolder, 'controller', 'state.json');
  }

  get(): ControllerState {
    return this.#state;
  }

  /** A damaged file is set aside, so that the rest goes on; then VIPs may change, which is said in the log. */
  async load(log: Log): Promise<void> {
    let text: string;
    try {
      text = await readFile(this.#path, 'utf8');
    } catch (thrown) {
      if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return;
      throw new OperatingError('STORE_UNAVAILABLE', `${this.#path} cannot be read`, { cause: thrown });
    }
    try {
      const { format: found, ...read } = JSON.parse(text) as ControllerState & { format: number };
      if (found !== format) throw new Error(`format ${found}, expected ${format}`);
      const state = { ...emptyState, ...read };
      const wrong = stateShape(state, '');
      if (wrong !== undefined) throw new Error(`${wrong} is not what we write`);
      this.#state = state;
    } catch (thrown) {
      await rename(this.#path, `${this.#path}.damaged`);
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      log.error({ file: this.#path }, `damaged (${why}), set aside; VIPs of Ingresses may change`);
    }
  }

  /** Durable when it resolves. What is equal is not written. One write at a time. */
  update(change: Partial<ControllerState>): Promise<void> {
    const written = this.#turn.then(() => this.#write(change));
    this.#turn = written.catch(() => {});
    return written;
  }

  async #write(change: Partial<ControllerState>): Promise<void> {
    const next = { ...this.#state, ...change };
    const text = JSON.stringify({ format, ...next });
    if (text === JSON.stringify({ format, ...this.#state })) return;
    await writeDurably(this.#path, Buffer.from(text));
    this.#state = next;
  }
}
