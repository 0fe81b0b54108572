/**
 * Where packets come from. One answer function stands behind every source, so that UDP by node:dgram, UDP by batched
 * system calls and TCP give the same answers and are tested by the same cases.
 */
import type { Peer } from '@ufes/core/ip.ts';

/** Answers one message into `out`; 0: silence. `out` holds the answer until the next call. */
export interface AnswerFunction {
  readonly out: Uint8Array;
  answer(packet: Uint8Array, peer: Peer, overTcp: boolean): number;
}

export interface BatchSource {
  /** `udp 127.0.0.1:5300`, for messages. */
  readonly label: string;
  /** The port bound, once open. */
  readonly port: number;
  /** Binds and begins to answer. Rejects with ADDRESS_IN_USE or ADDRESS_UNAVAILABLE. */
  open(): Promise<void>;
  /** Answers what it has taken in, within a bound, and unbinds. */
  close(): Promise<void>;
}

/** Whoever it is. */
export const noPeer: Peer = { family: 6, hi: 0, lo: 0, tailHi: 0, tailLo: 0 };

/** Addresses of peers repeat; the last one parsed is kept. */
export function peerMemo(parse: (text: string) => Peer | undefined): (text: string) => Peer {
  let lastText = '';
  let last: Peer = noPeer;
  return (text) => {
    if (text === lastText) return last;
    const zone = text.indexOf('%');
    last = parse(zone < 0 ? text : text.slice(0, zone)) ?? noPeer;
    lastText = text;
    return last;
  };
}
