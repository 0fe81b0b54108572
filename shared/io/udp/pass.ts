/**
 * Open sockets from one process to another: SCM_RIGHTS over a Unix datagram socket (unix(7)). The taker binds a path,
 * asks for the sockets by other means, and finds them in its inbox; nobody blocks.
 */
import { rmSync } from 'node:fs';
import { OperatingError } from '@ufes/core/errors.ts';
import * as c from './libc.ts';

/** The kernel passes at most 253 at once (SCM_MAX_FD). */
export const passedAtOnce = 128;
/** Of one message. */
export const textBytes = 60_000;
const controlBytes = 16 + 8 * Math.ceil((passedAtOnce * 4) / 8);
/** struct msghdr on 64-bit Linux: name, namelen, iov, iovlen, control, controllen, flags. */
const msghdrWords = 7;

/** A message under way or awaited: memory that the kernel reads or fills. */
class Message {
  readonly data: Uint8Array;
  readonly control: Uint8Array;
  readonly header = new BigUint64Array(msghdrWords);
  readonly #vector = new BigUint64Array(2);

  constructor(data: Uint8Array, control: Uint8Array, name?: Uint8Array) {
    const libc = c.libc();
    this.data = data;
    this.control = control;
    this.#vector[0] = libc.address(data);
    this.#vector[1] = BigInt(data.length);
    if (name !== undefined) {
      this.header[0] = libc.address(name);
      this.header[1] = BigInt(name.length);
    }
    this.header[2] = libc.address(this.#vector);
    this.header[3] = 1n;
    this.header[4] = control.length === 0 ? 0n : libc.address(control);
    this.header[5] = BigInt(control.length);
  }
}

function unixName(path: string): Uint8Array {
  const text = new TextEncoder().encode(path);
  const name = new Uint8Array(2 + text.length + 1);
  name[0] = c.AF_UNIX;
  name.set(text, 2);
  return name;
}

function openUnix(): number {
  const fd = c.libc().socket(c.AF_UNIX, c.SOCK_DGRAM | c.SOCK_CLOEXEC, 0);
  if (fd < 0) throw failed('no Unix socket');
  return fd;
}

function failed(what: string): OperatingError {
  return new OperatingError('ADDRESS_UNAVAILABLE', `${what}: errno ${c.libc().errno()}`);
}

/** Sends them, with a text, to the inbox at `path`. They stay open here too. */
export function passSockets(path: string, fds: readonly number[], text: string): void {
  for (let at = 0; at === 0 || at < fds.length; at += passedAtOnce) {
    sendTo(path, fds.slice(at, at + passedAtOnce), at === 0 ? text : ' ', 0);
  }
}

/** The same in one message, of at most `passedAtOnce` sockets. False: the inbox is full, and nothing was sent. */
export function offerSockets(path: string, fds: readonly number[], text: string): boolean {
  return sendTo(path, fds, text, c.MSG_DONTWAIT);
}

function sendTo(path: string, fds: readonly number[], text: string, flags: number): boolean {
  const fd = openUnix();
  try {
    const message = new Message(new TextEncoder().encode(text), rightsOf(fds), unixName(path));
    if (c.libc().sendmsg(fd, message.header, flags) >= 0) return true;
    if (flags !== 0 && c.libc().errno() === c.EAGAIN) return false;
    throw failed(`cannot pass sockets to ${path}`);
  } finally {
    c.libc().close(fd);
  }
}

/** struct cmsghdr: length, level, type; then the descriptors. */
function rightsOf(fds: readonly number[]): Uint8Array {
  if (fds.length === 0) return new Uint8Array(0);
  const control = new Uint8Array(16 + 8 * Math.ceil((fds.length * 4) / 8));
  const view = new DataView(control.buffer);
  view.setBigUint64(0, BigInt(16 + 4 * fds.length), true);
  view.setInt32(8, c.SOL_SOCKET, true);
  view.setInt32(12, c.SCM_RIGHTS, true);
  for (const [i, fd] of fds.entries()) view.setInt32(16 + 4 * i, fd, true);
  return control;
}

export interface Passed {
  readonly text: string;
  readonly fds: readonly number[];
}

/** Where sockets arrive. */
export class SocketInbox {
  readonly #fd = openUnix();
  readonly #path: string;
  readonly #message = new Message(new Uint8Array(textBytes), new Uint8Array(controlBytes));

  /** Binds `path`; one left behind there is replaced. */
  constructor(path: string) {
    this.#path = path;
    rmSync(path, { force: true });
    const name = unixName(path);
    if (c.libc().bind(this.#fd, name, name.length) === 0) return;
    const error = failed(`cannot make ${path}`);
    c.libc().close(this.#fd);
    throw error;
  }

  /** What has arrived; undefined: nothing. The sockets are the taker's to close. */
  take(): Passed | undefined {
    const first = this.takeOne();
    if (first === undefined) return undefined;
    const fds = [...first.fds];
    for (let next = this.takeOne(); next !== undefined; next = this.takeOne()) fds.push(...next.fds);
    return { text: first.text, fds };
  }

  /** The next message alone. */
  takeOne(): Passed | undefined {
    const { header, data, control } = this.#message;
    header[5] = BigInt(controlBytes);
    const length = Number(c.libc().recvmsg(this.#fd, header, c.MSG_DONTWAIT | c.MSG_CMSG_CLOEXEC));
    if (length < 0) return undefined;
    const text = new TextDecoder().decode(data.subarray(0, length));
    return { text, fds: passedIn(control, Number(header[5])) };
  }

  close(): void {
    c.libc().close(this.#fd);
    rmSync(this.#path, { force: true });
  }
}

function passedIn(control: Uint8Array, length: number): number[] {
  if (length < 16) return [];
  const view = new DataView(control.buffer);
  const count = (Number(view.getBigUint64(0, true)) - 16) / 4;
  return Array.from({ length: count }, (_, i) => view.getInt32(16 + 4 * i, true));
}
