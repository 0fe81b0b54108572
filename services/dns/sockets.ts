/**
 * The sockets behind listeners.dns: of each address one TCP socket and a UDP one a thread, which share the port.
 *
 * Each address is first bound alone: EADDRINUSE is then the port-in-use error. Bound as a member of the group at once, a
 * second instance would take half the queries in silence.
 */
import { limits } from '@ufes/core/limits.ts';
import { type Endpoint, parseEndpoint } from '@ufes/io/address.ts';
import { closeSocket, openTcp, openUdp } from '@ufes/io/udp/mmsg.ts';

export interface OpenSockets {
  /** As configured. */
  readonly listener: string;
  readonly address: string;
  readonly port: number;
  /** By thread. */
  readonly udp: readonly number[];
  readonly tcp: number;
}

/** All of them or none. Throws ADDRESS_IN_USE or ADDRESS_UNAVAILABLE. */
export function openSockets(listeners: readonly string[], threads: number): OpenSockets[] {
  const open: OpenSockets[] = [];
  try {
    for (const listener of listeners) open.push(openListener(listener, threads));
  } catch (error) {
    closeSockets(open);
    throw error;
  }
  return open;
}

export function closeSockets(sockets: readonly OpenSockets[]): void {
  for (const { udp, tcp } of sockets) for (const fd of [...udp, tcp]) closeSocket(fd);
}

function openListener(listener: string, threads: number): OpenSockets {
  const endpoint = parseEndpoint(listener);
  const udp: number[] = [];
  try {
    const alone = openUdp(endpoint, udpOptions(false));
    const bound: Endpoint = { address: endpoint.address, port: alone.port };
    if (threads === 1) udp.push(alone.fd);
    else closeSocket(alone.fd);
    while (udp.length < threads) udp.push(openUdp(bound, udpOptions(true)).fd);
    const { fd: tcp } = openTcp(bound, {
      backlog: limits.dns.tcpConnections,
      receiveBytes: limits.dns.tcpReceiveBytes,
      sendBytes: limits.dns.tcpSendBytes,
    });
    return { listener, ...bound, udp, tcp };
  } catch (error) {
    for (const fd of udp) closeSocket(fd);
    throw error;
  }
}

function udpOptions(reusePort: boolean) {
  return { reusePort, timeoutMs: limits.dns.idleThreadMs, socketBufferBytes: limits.dns.socketBufferBytes };
}
