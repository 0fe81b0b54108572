/**
 * DNS cookies (RFC 7873) with the server cookie that all implementations share (RFC 9018), so that anycast nodes with
 * one key believe each other's, whatever software they run.
 *
 *     option 10    client cookie 8 | server cookie 8–32, absent the first time
 *     server cookie    version 1 | reserved 0 0 0 | made at, seconds 4 | SipHash-2-4(client cookie … made at, client address) 8
 *
 * The keys lie in shared memory: the one in use, the one before it (whose cookies are good for another hour) and the
 * one that comes next (another node may have changed over already).
 *
 *     word 0           generation; its lowest bit names the bank in force
 *     word 1 + 12·bank current, previous, next: four little-endian words each
 */
import type { Peer } from '../ip.ts';
import { sipHash24 } from './siphash.ts';

/** The option of a query, reused. */
export interface Cookie {
  present: boolean;
  /** Client cookie, then the server cookie. */
  readonly bytes: Uint8Array;
  /** Bytes of the server cookie, 0: the client has none yet. */
  serverBytes: number;
}

export const clientCookieBytes = 8;
export const serverCookieBytes = 16;
const serverBytesMin = 8;
const serverBytesMax = 32;
const version = 1;
/** RFC 9018 §4.3: what is older than an hour or more than five minutes ahead is no longer believed. */
const validSeconds = 3_600;
const aheadSeconds = 300;
/** RFC 9018 §4.3: after half its life a cookie is renewed. */
const freshSeconds = 1_800;

export function createCookie(): Cookie {
  return { present: false, bytes: new Uint8Array(clientCookieBytes + serverBytesMax), serverBytes: 0 };
}

/** Reads the option's data; false means FORMERR (RFC 7873 §5.2.2). */
export function readCookie(packet: Uint8Array, at: number, length: number, out: Cookie): boolean {
  const server = length - clientCookieBytes;
  if (server !== 0 && (server < serverBytesMin || server > serverBytesMax)) return false;
  out.present = true;
  out.serverBytes = server;
  for (let i = 0; i < length; i++) out.bytes[i] = packet[at + i]!;
  return true;
}

const keyWords = 4;
const bankWords = 3 * keyWords;

export interface CookieKeys {
  readonly words: Int32Array;
}

export function createCookieKeys(buffer = new SharedArrayBuffer(4 * (1 + 2 * bankWords))): CookieKeys {
  return { words: new Int32Array(buffer) };
}

/** 16 bytes each. One writer; readers go on with the other bank until this one is whole. */
export function setCookieKeys(keys: CookieKeys, current: Uint8Array, previous: Uint8Array, next: Uint8Array): void {
  const generation = Atomics.load(keys.words, 0) + 1;
  let word = 1 + (generation & 1) * bankWords;
  for (const key of [current, previous, next]) {
    for (let i = 0; i < 16; i += 4) keys.words[word++] = littleEndian(key, i);
  }
  Atomics.store(keys.words, 0, generation);
}

/** What a query says about who sends it. */
export const CookieState = {
  /** No cookie option. */
  none: 0,
  /** A client that has no server cookie yet. */
  client: 1,
  /** A server cookie that is not ours, too old, or another address's. */
  bad: 2,
  /** The sender really has the address it writes. */
  valid: 3,
} as const;
export type CookieState = (typeof CookieState)[keyof typeof CookieState];

const message = new Int32Array(10);
const hash = new Int32Array(2);

/**
 * Checks the cookie of a query and writes the server cookie of its answer to `out`: the same while it is fresh, else a
 * new one. No allocation; one hash for a new or fresh cookie, four at most.
 */
export function checkCookie(
  keys: CookieKeys,
  cookie: Cookie,
  peer: Peer,
  nowSeconds: number,
  out: Uint8Array,
): CookieState {
  if (!cookie.present) return CookieState.none;
  const { words } = keys;
  const current = 1 + (Atomics.load(words, 0) & 1) * bankWords;
  const { bytes } = cookie;
  let state: CookieState = cookie.serverBytes === 0 ? CookieState.client : CookieState.bad;
  if (cookie.serverBytes === serverCookieBytes && bytes[8] === version) {
    const madeAt = bigEndian(bytes, 12);
    // RFC 1982 serial arithmetic.
    const age = (nowSeconds - madeAt) | 0;
    if (age <= validSeconds && age >= -aheadSeconds) {
      const length = compose(bytes, littleEndian(bytes, 8), madeAt, peer);
      for (let key = 0; key < 3; key++) {
        sipHash24(words, current + key * keyWords, message, length, hash);
        if (hash[0] !== littleEndian(bytes, 16) || hash[1] !== littleEndian(bytes, 20)) continue;
        state = CookieState.valid;
        // Reserved bits that another implementation set are its own: the answer has ours.
        if (key === 0 && age <= freshSeconds && age >= 0 && littleEndian(bytes, 8) === version) {
          for (let i = 0; i < serverCookieBytes; i++) out[i] = bytes[clientCookieBytes + i]!;
          return state;
        }
        break;
      }
    }
  }
  sipHash24(words, current, message, compose(bytes, version, nowSeconds, peer), hash);
  putLittleEndian(out, 0, version);
  putLittleEndian(out, 4, swap(nowSeconds));
  putLittleEndian(out, 8, hash[0]!);
  putLittleEndian(out, 12, hash[1]!);
  return state;
}

/** Lays out what is hashed; returns its length. */
function compose(bytes: Uint8Array, head: number, seconds: number, peer: Peer): number {
  message[0] = littleEndian(bytes, 0);
  message[1] = littleEndian(bytes, 4);
  message[2] = head;
  message[3] = swap(seconds);
  message[4] = swap(peer.hi);
  if (peer.family === 4) {
    message[5] = 0;
    return 20;
  }
  message[5] = swap(peer.lo);
  message[6] = swap(peer.tailHi);
  message[7] = swap(peer.tailLo);
  message[8] = 0;
  message[9] = 0;
  return 32;
}

function swap(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

function littleEndian(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

function putLittleEndian(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word;
  bytes[at + 1] = word >> 8;
  bytes[at + 2] = word >> 16;
  bytes[at + 3] = word >> 24;
}

function bigEndian(bytes: Uint8Array, at: number): number {
  return swap(littleEndian(bytes, at));
}
