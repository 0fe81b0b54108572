/**
 * DataPlane: what carries the requests of a PoP. It is told whole states and puts each in force at once; it never asks.
 * `planes/node` is the reference: TypeScript on node's own HTTP parser and TLS. Others translate the same state for
 * another program.
 */
import type { Component } from '@ufes/core/ports.ts';
import type { RouteTable } from '@ufes/core/routing/route-table.ts';

/** Checked: both parse and belong together. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
  /** SHA-256 of the certificate: tells whether a pair is a new one. */
  readonly fingerprint: string;
  readonly expiresAtMs: number;
}

/** By name in the secret store. */
export type KeyPairs = ReadonlyMap<string, KeyPair>;

export interface ListenAddress {
  readonly address: string;
  readonly port: number;
  /** False: clear text, redirects to https. */
  readonly secure: boolean;
}

export interface PlaneState {
  readonly table: RouteTable;
  readonly keyPairs: KeyPairs;
  readonly listen: readonly ListenAddress[];
  /** Where redirects to https lead. */
  readonly httpsPort: number;
}

export interface ListenerStats extends ListenAddress {
  readonly state: 'listening' | 'closing' | 'failed';
  /** Why it failed and what to do. */
  readonly problem?: string;
  readonly connections: number;
}

export interface EndpointStats {
  readonly endpoint: string;
  readonly health: 'unknown' | 'up' | 'down';
  readonly error?: string;
  readonly inFlight: number;
}

export interface PlaneStats {
  readonly listeners: readonly ListenerStats[];
  readonly origins: Readonly<Record<string, readonly EndpointStats[]>>;
  readonly inFlight: number;
  /** Since the start. */
  readonly requests: number;
}

/** A connection on which this PoP was asked for a probe name. */
export interface SeenProbe {
  readonly id: string;
  /** Its address: whoever takes this cuts it to a prefix. */
  readonly client: string;
  readonly atMs: number;
  /** Undefined where the plane timed none. */
  readonly handshake: HandshakeTime | undefined;
}

/** What a plane times of a TLS 1.3 handshake: from our flight to the client's Finished. */
export interface HandshakeTime {
  readonly rttMs: number;
  /** By a ticket. As far away, but there is less to compute for either side: kept apart. */
  readonly isResumed: boolean;
  /** Of our flight; beyond the initial window it waits for acknowledgements, and two round trips are timed. */
  readonly flightBytes: number;
}

export interface DataPlane extends Component {
  readonly name: string;
  /** New requests see this state from now on; open ones end as they began. Addresses are bound in the background. */
  apply(state: PlaneState): void;
  /** While true, /readyz fails on every address and everything else is served as before. */
  setDraining(draining: boolean): void;
  stats(): PlaneStats;
  /** Requests by client address since this was last asked; of more clients than are counted, the first ones. */
  takeClients(): ReadonlyMap<string, number>;
  /** Since this was last asked, oldest first; of more than are remembered, the first ones. */
  takeProbes(): readonly SeenProbe[];
  /** Called when an address was bound or could not be. */
  onListening(fn: () => void): void;
}
