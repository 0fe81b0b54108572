/** Messages between the supervisor and its processes, over the channel of fork(). Wake-ups of the bus share it. */
import type { Config } from '@ufes/core/config/schema.ts';

export interface Init {
  readonly ufes: 'init';
  readonly node: string;
  readonly config: Config;
  readonly configFolder: string;
  readonly configPath: string;
  readonly state: string;
  readonly logLevel: string;
  /** Takes the place of the running process of this node. */
  readonly replaces: boolean;
}

export type ToChild = Init | { readonly ufes: 'stop' } | { readonly ufes: 'ping' };

export type FromChild =
  | { readonly ufes: 'pong'; readonly rssBytes: number }
  | { readonly ufes: 'ready'; readonly ok: boolean; readonly why: string }
  /** It has the sockets, answers, and the process before it was told to leave. */
  | { readonly ufes: 'in place' }
  /** An operating error that ended the process; it exits right after. */
  | { readonly ufes: 'fatal'; readonly code: string; readonly message: string; readonly retry: boolean };

/** GET /status of the supervisor. */
export interface ProcessStatus {
  readonly node: string;
  readonly pid: number | undefined;
  readonly state: 'starting' | 'ready' | 'not ready' | 'restarting' | 'failed on purpose';
  readonly why: string;
  readonly restarts: number;
  readonly upMs: number;
  readonly rssBytes: number;
}
