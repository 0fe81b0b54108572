/**
 * A UDP socket that receives and sends in batches: one recvmmsg(2) for up to `batch` datagrams, one sendmmsg(2) for
 * their answers. All memory is laid out once; a round allocates nothing.
 *
 *     in     [slot 0 | slot 1 | …]      datagram i is in.subarray(i·inBytes, i·inBytes + length[i])
 *     names  [sockaddr 0 | …]           who sent it; the answer goes back there
 *     control[cmsg 0 | …]               which of our addresses it came to, when bound to all (IP_PKTINFO, RFC 3542 §6.1)
 *     out    [slot 0 | slot 1 | …]      the answer, outLength[i] bytes; 0: none
 *
 * `receive` blocks until at least one datagram or the time-out; meant for a thread of its own.
 */
import { OperatingError } from '@ufes/core/errors.ts';
import { addressBytes } from '@ufes/core/ip.ts';
import { type Endpoint, formatEndpoint } from '../address.ts';
import * as c from './libc.ts';

export interface MmsgOptions {
  /** Opened by `openUdp`, perhaps in another thread or process; whoever opened it closes it. */
  readonly fd: number;
  /** What it is bound to. */
  readonly address: string;
  readonly batch: number;
  /** Multiples of 8. A longer datagram is cut, and said to be. */
  readonly inBytes: number;
  readonly outBytes: number;
}

export class MmsgSocket {
  readonly fd: number;
  /** Bytes of a sender's sockaddr: 16 for IPv4, 28 for IPv6. */
  readonly nameBytes: number;
  readonly in: Uint8Array;
  readonly out: Uint8Array;
  /** Bytes received, by slot. */
  readonly length: Int32Array;
  /** Bytes to send, by slot; 0: no answer. Set for each received slot before `send`. */
  readonly outLength: Int32Array;
  /** Sender addresses: slot i at i · sockaddrBytes, struct sockaddr_in or sockaddr_in6. */
  readonly names: Uint8Array;
  /** Answers that the kernel refused. */
  sendErrors = 0;
  readonly #libc = c.libc();
  readonly #options: MmsgOptions;
  readonly #wildcard: boolean;
  readonly #control: Uint8Array;
  readonly #inHeaders: Int32Array;
  readonly #inVectors: BigUint64Array;
  readonly #outHeaders: Int32Array;
  readonly #outVectors: BigUint64Array;
  /** Header i of `out` as laid out for slot i, to copy when a slot before it has no answer. */
  readonly #outTemplate: Int32Array;
  #received = 0;
  #shifted = false;

  constructor(options: MmsgOptions) {
    const { batch, inBytes, outBytes, fd } = options;
    this.#options = options;
    const bytes = addressBytes(options.address)!;
    this.#wildcard = bytes.every((byte) => byte === 0);
    this.nameBytes = bytes.length === 4 ? 16 : 28;
    this.in = new Uint8Array(batch * inBytes);
    this.out = new Uint8Array(batch * outBytes);
    this.length = new Int32Array(batch);
    this.outLength = new Int32Array(batch);
    this.names = new Uint8Array(batch * c.sockaddrBytes);
    this.#control = new Uint8Array(batch * c.controlBytes);
    this.#inVectors = this.#vectors(this.in, inBytes);
    this.#outVectors = this.#vectors(this.out, outBytes);
    this.#inHeaders = this.#headers(this.#inVectors);
    this.#outHeaders = this.#headers(this.#outVectors);
    this.#outTemplate = this.#outHeaders.slice();
    this.fd = fd;
  }

  /** Number of datagrams received into slots 0 …; 0 after the socket's time-out, or at once when it is not to wait. */
  receive(wait = true): number {
    const { batch } = this.#options;
    const headers = this.#inHeaders;
    // The kernel wrote lengths over capacities; only the slots it used.
    for (let i = 0; i < this.#received; i++) {
      headers[i * 16 + 2] = c.sockaddrBytes;
      headers[i * 16 + 10] = this.#wildcard ? c.controlBytes : 0;
      headers[i * 16 + 12] = 0;
    }
    const count = this.#libc.recvmmsg(this.fd, headers, batch, wait ? c.MSG_WAITFORONE : c.MSG_DONTWAIT, null);
    this.#received = Math.max(count, 0);
    for (let i = 0; i < this.#received; i++) {
      // A datagram longer than its slot was cut: -1, so that nobody takes a part for the whole.
      this.length[i] = (headers[i * 16 + 12]! & c.MSG_TRUNC) === 0 ? headers[i * 16 + 14]! : -1;
    }
    return this.#received;
  }

  /** Sends the answers of the slots received last. One that cannot be sent is counted and skipped. */
  send(): void {
    const total = this.#layOut();
    const headers = this.#outHeaders;
    let at = 0;
    while (at < total) {
      const sent = this.#libc.sendmmsg(this.fd, at === 0 ? headers : headers.subarray(at * 16), total - at, 0);
      if (sent > 0) at += sent;
      else {
        if (this.#libc.errno() === c.EINTR) continue;
        this.sendErrors++;
        at++;
      }
    }
  }

  /** Header j ← slot i for the j-th slot with an answer; returns how many. */
  #layOut(): number {
    const headers = this.#outHeaders;
    if (this.#shifted) headers.set(this.#outTemplate);
    this.#shifted = false;
    let j = 0;
    for (let i = 0; i < this.#received; i++) {
      const length = this.outLength[i]!;
      if (length === 0) continue;
      if (j !== i) {
        headers.copyWithin(j * 16, i * 16, i * 16 + 16);
        this.#shifted = true;
      }
      this.#outVectors[i * 2 + 1] = lengths[length] ?? BigInt(length);
      if (this.#wildcard) this.#answerFrom(i, headers, j);
      j++;
    }
    return j;
  }

  /** Answers leave from the address they were asked at: the control message goes back, without its interface. */
  #answerFrom(slot: number, headers: Int32Array, at: number): void {
    const used = this.#inHeaders[slot * 16 + 10]!;
    headers[at * 16 + 10] = used;
    // struct cmsghdr is 16 bytes; in_pktinfo starts with ipi_ifindex, in6_pktinfo ends with it (and link-local needs it).
    if (used > 0 && this.nameBytes === 16)
      this.#control.fill(0, slot * c.controlBytes + 16, slot * c.controlBytes + 20);
  }

  #vectors(buffer: Uint8Array, slotBytes: number): BigUint64Array {
    const base = this.#libc.address(buffer);
    const vectors = new BigUint64Array(this.#options.batch * 2);
    for (let i = 0; i < this.#options.batch; i++) {
      vectors[i * 2] = base + BigInt(i * slotBytes);
      vectors[i * 2 + 1] = BigInt(slotBytes);
    }
    return vectors;
  }

  /** struct mmsghdr: name, namelen, iov, iovlen, control, controllen, flags, len. 16 words each. */
  #headers(vectors: BigUint64Array): Int32Array {
    const { batch } = this.#options;
    const headers = new BigUint64Array(batch * 8);
    const words = new Int32Array(headers.buffer);
    const names = this.#libc.address(this.names);
    const iov = this.#libc.address(vectors);
    const control = this.#libc.address(this.#control);
    for (let i = 0; i < batch; i++) {
      headers[i * 8] = names + BigInt(i * c.sockaddrBytes);
      words[i * 16 + 2] = vectors === this.#outVectors ? this.nameBytes : c.sockaddrBytes;
      headers[i * 8 + 2] = iov + BigInt(i * c.iovecBytes);
      headers[i * 8 + 3] = 1n;
      headers[i * 8 + 4] = this.#wildcard ? control + BigInt(i * c.controlBytes) : 0n;
      headers[i * 8 + 5] = this.#wildcard ? BigInt(c.controlBytes) : 0n;
    }
    return words;
  }
}

export interface UdpOptions {
  /** Several sockets share the port; the kernel spreads clients over them. */
  readonly reusePort: boolean;
  /** Longest wait of a `receive`. */
  readonly timeoutMs: number;
  readonly socketBufferBytes: number;
}

/** A bound UDP socket: its descriptor and port. Throws ADDRESS_IN_USE or ADDRESS_UNAVAILABLE. */
export function openUdp(endpoint: Endpoint, { reusePort, timeoutMs, socketBufferBytes }: UdpOptions): Bound {
  const address = addressBytes(endpoint.address)!;
  const libc = c.libc();
  const v4 = address.length === 4;
  const fd = openSocket(endpoint, c.SOCK_DGRAM);
  const set = (level: number, name: number, value = 1) => libc.setsockopt(fd, level, name, Int32Array.of(value), 4);
  if (reusePort) set(c.SOL_SOCKET, c.SO_REUSEPORT);
  if (address.every((byte) => byte === 0)) {
    set(v4 ? c.IPPROTO_IP : c.IPPROTO_IPV6, v4 ? c.IP_PKTINFO : c.IPV6_RECVPKTINFO);
  }
  // Answers are short enough for any path; and without fragments the kernel has no identification to draw for each.
  set(v4 ? c.IPPROTO_IP : c.IPPROTO_IPV6, v4 ? c.IP_MTU_DISCOVER : c.IPV6_MTU_DISCOVER, c.PMTUDISC_PROBE);
  // Beyond net.core.rmem_max, which holds a few hundred queries, where we may (CAP_NET_ADMIN).
  if (set(c.SOL_SOCKET, c.SO_RCVBUFFORCE, socketBufferBytes) !== 0) set(c.SOL_SOCKET, c.SO_RCVBUF, socketBufferBytes);
  if (set(c.SOL_SOCKET, c.SO_SNDBUFFORCE, socketBufferBytes) !== 0) set(c.SOL_SOCKET, c.SO_SNDBUF, socketBufferBytes);
  const timeout = BigInt64Array.of(BigInt(Math.floor(timeoutMs / 1000)), BigInt((timeoutMs % 1000) * 1000));
  libc.setsockopt(fd, c.SOL_SOCKET, c.SO_RCVTIMEO, timeout, 16);
  return bindSocket(fd, endpoint, 'udp');
}

export interface TcpOptions {
  readonly backlog: number;
  /** Of each connection: the kernel keeps as much again beside it, and would let it grow to megabytes. */
  readonly receiveBytes: number;
  readonly sendBytes: number;
}

/** A listening TCP socket, to be given to node:net. Throws ADDRESS_IN_USE or ADDRESS_UNAVAILABLE. */
export function openTcp(endpoint: Endpoint, { backlog, receiveBytes, sendBytes }: TcpOptions): Bound {
  const fd = openSocket(endpoint, c.SOCK_STREAM);
  const set = (name: number, value: number) => c.libc().setsockopt(fd, c.SOL_SOCKET, name, Int32Array.of(value), 4);
  set(c.SO_REUSEADDR, 1);
  set(c.SO_SNDBUF, sendBytes);
  set(c.SO_RCVBUF, receiveBytes);
  const bound = bindSocket(fd, endpoint, 'tcp');
  if (c.libc().listen(fd, backlog) === 0) return bound;
  const errno = c.libc().errno();
  c.libc().close(fd);
  throw bindError(endpoint, 'tcp', errno);
}

/** Another descriptor of the same socket. */
export function duplicateSocket(fd: number): number {
  return c.libc().dup(fd);
}

export function closeSocket(fd: number): void {
  c.libc().close(fd);
}

/** Whether sockets can be opened and batches made here. */
export function whyNoBatches(): string | undefined {
  try {
    c.libc();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Waits for datagrams on several sockets, by poll(2). */
export class Poller {
  readonly #libc = c.libc();
  /** struct pollfd: fd, events and revents. */
  readonly #fds: Int32Array;
  readonly #count: number;

  constructor(fds: readonly number[]) {
    this.#count = fds.length;
    this.#fds = Int32Array.from(fds.flatMap((fd) => [fd, c.POLLIN]));
  }

  /** False after the time-out. */
  wait(timeoutMs: number): boolean {
    return this.#libc.poll(this.#fds, this.#count, timeoutMs) > 0;
  }

  /** Whether the socket at `index` has something; valid until the next `wait`. */
  isReadable(index: number): boolean {
    return this.#fds[index * 2 + 1]! >>> 16 !== 0;
  }
}

export interface Bound {
  readonly fd: number;
  readonly port: number;
}

function openSocket(endpoint: Endpoint, type: number): number {
  const libc = c.libc();
  const v4 = addressBytes(endpoint.address)!.length === 4;
  const fd = libc.socket(v4 ? c.AF_INET : c.AF_INET6, type | c.SOCK_CLOEXEC, 0);
  if (fd < 0) throw bindError(endpoint, type === c.SOCK_DGRAM ? 'udp' : 'tcp', libc.errno());
  if (!v4) libc.setsockopt(fd, c.IPPROTO_IPV6, c.IPV6_V6ONLY, Int32Array.of(1), 4);
  return fd;
}

function bindSocket(fd: number, endpoint: Endpoint, transport: Transport): Bound {
  const libc = c.libc();
  const name = sockaddr(addressBytes(endpoint.address)!, endpoint.port);
  if (libc.bind(fd, name, name.length) === 0) {
    libc.getsockname(fd, name, Uint32Array.of(name.length));
    return { fd, port: (name[2]! << 8) | name[3]! };
  }
  const errno = libc.errno();
  libc.close(fd);
  throw bindError(endpoint, transport, errno);
}

/** BigInts of answer lengths, made once: storing one in a BigUint64Array then allocates nothing. */
const lengths = Array.from({ length: 4097 }, (_, i) => BigInt(i));

function sockaddr(address: Uint8Array, port: number): Uint8Array {
  const v4 = address.length === 4;
  const bytes = new Uint8Array(v4 ? 16 : 28);
  new DataView(bytes.buffer).setUint16(0, v4 ? c.AF_INET : c.AF_INET6, true);
  new DataView(bytes.buffer).setUint16(2, port);
  bytes.set(address, v4 ? 4 : 8);
  return bytes;
}

type Transport = 'udp' | 'tcp';

function bindError(endpoint: Endpoint, transport: Transport, errno: number): OperatingError {
  const label = `cannot listen on ${transport} ${formatEndpoint(endpoint)}`;
  if (errno === c.EADDRINUSE) {
    return new OperatingError(
      'ADDRESS_IN_USE',
      `${label}: another process has it; stop that one, or give another address in listeners.dns`,
    );
  }
  const why =
    errno === c.EADDRNOTAVAIL
      ? 'no interface of this machine has the address'
      : errno === c.EACCES
        ? 'ports below 1024 need root or CAP_NET_BIND_SERVICE'
        : `the system refused it (errno ${errno})`;
  return new OperatingError('ADDRESS_UNAVAILABLE', `${label}: ${why}; see listeners.dns`);
}
