/**
 * The system calls of batched UDP, by FFI. Structures are laid out by hand in plain buffers as Linux has them on 64-bit
 * machines (x86-64 and arm64 agree). Loading fails on other systems; callers fall back to node:dgram.
 */
import koffi from 'koffi';

export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_UNIX = 1;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const SO_RCVBUF = 8;
export const SO_RCVBUFFORCE = 33;
export const SO_SNDBUFFORCE = 32;
export const SO_SNDBUF = 7;
export const SO_REUSEADDR = 2;
export const SO_REUSEPORT = 15;
export const SO_RCVTIMEO = 20;
export const IPPROTO_IP = 0;
export const IP_PKTINFO = 8;
export const IP_MTU_DISCOVER = 10;
export const IPV6_MTU_DISCOVER = 23;
/** Do not fragment, and believe no message about the path: nobody can have our answers cut (RFC 9715 §3.1). */
export const PMTUDISC_PROBE = 3;
export const IPPROTO_IPV6 = 41;
export const IPV6_V6ONLY = 26;
export const IPV6_RECVPKTINFO = 49;
export const IPV6_PKTINFO = 50;
export const SCM_RIGHTS = 1;
export const POLLIN = 1;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_WAITFORONE = 0x10000;
export const MSG_CMSG_CLOEXEC = 0x40000000;

export const EINTR = 4;
export const EAGAIN = 11;
export const EACCES = 13;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;

/** sizeof: struct mmsghdr, struct iovec, struct sockaddr_in6 rounded up, room for one packet-info control message. */
export const mmsghdrBytes = 64;
export const iovecBytes = 16;
export const sockaddrBytes = 32;
export const controlBytes = 48;

type Bytes = ArrayBufferView;

export interface Libc {
  socket(family: number, type: number, protocol: number): number;
  bind(fd: number, address: Bytes, length: number): number;
  setsockopt(fd: number, level: number, name: number, value: Bytes, length: number): number;
  getsockname(fd: number, address: Bytes, length: Bytes): number;
  recvmmsg(fd: number, messages: Bytes, count: number, flags: number, timeout: null): number;
  sendmmsg(fd: number, messages: Bytes, count: number, flags: number): number;
  listen(fd: number, backlog: number): number;
  poll(fds: Bytes, count: number, timeoutMs: number): number;
  sendmsg(fd: number, message: Bytes, flags: number): number;
  recvmsg(fd: number, message: Bytes, flags: number): number;
  close(fd: number): number;
  dup(fd: number): number;
  errno(): number;
  address(bytes: Bytes): bigint;
}

let loaded: Libc | undefined;

/** Throws where there is no glibc or musl of this kind. Once a thread. */
export function libc(): Libc {
  if (loaded !== undefined) return loaded;
  if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'arm64')) {
    throw new Error(`batched UDP needs Linux on x64 or arm64; this is ${process.platform} on ${process.arch}`);
  }
  const library = koffi.load('libc.so.6');
  loaded = {
    socket: library.func('int socket(int, int, int)'),
    bind: library.func('int bind(int, void *, uint32_t)'),
    setsockopt: library.func('int setsockopt(int, int, int, void *, uint32_t)'),
    getsockname: library.func('int getsockname(int, void *, void *)'),
    recvmmsg: library.func('int recvmmsg(int, void *, uint32_t, int, void *)'),
    sendmmsg: library.func('int sendmmsg(int, void *, uint32_t, int)'),
    listen: library.func('int listen(int, int)'),
    poll: library.func('int poll(void *, uint64_t, int)'),
    sendmsg: library.func('int64_t sendmsg(int, void *, int)'),
    recvmsg: library.func('int64_t recvmsg(int, void *, int)'),
    close: library.func('int close(int)'),
    dup: library.func('int dup(int)'),
    errno: () => koffi.errno(),
    address: (bytes) => koffi.address(bytes) as bigint,
  };
  return loaded;
}
