/**
 * What a service is given, and what it gives back. `main` wires; the parts do the work.
 * Started by services/ufes, one process a service (edge: one a PoP).
 */
import type { Config } from '@ufes/core/config/schema.ts';
import type { Bus, Clock, Component, Log, Queue, Rng, Store } from '@ufes/core/ports.ts';
import type { FastifyInstance } from 'fastify';
import type { Registry } from 'prom-client';

export interface ServiceContext {
  /** Validated, with defaults. */
  readonly config: Config;
  /** Folder that relative paths in the configuration are relative to. */
  readonly configFolder: string;
  /** File or folder the configuration was read from, absolute; absent in tests that make one up. Read again when it changes. */
  readonly configPath?: string;
  /** Absolute state folder. Sockets are STATE/run/NODE.sock, kept artefacts STATE/nodes/NODE/. */
  readonly state: string;
  /** This process's name: `dns`, `probe`, `mapper`, `edge-lon`, `controller`, `dashboard`. */
  readonly node: string;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly bus: Bus;
  readonly store: Store;
  readonly queue: Queue;
  readonly registry: Registry;
  /**
   * Local socket of this node, already with /healthz, /readyz, /metrics; a service adds its own routes before `start`
   * and says through `ready` when it serves.
   */
  readonly admin: FastifyInstance;
  readonly ready: (ok: boolean, why?: string) => void;
  /** Takes the place of a running process of this node (`ufes dns replace`): its sockets are asked for, not bound. */
  readonly replaces?: boolean;
  /** Stops this process: another one has taken its place. Absent where it cannot. */
  readonly leave?: (() => void) | undefined;
}

export type ServiceMain = (context: ServiceContext) => Component;
