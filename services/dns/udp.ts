/** UDP by node:dgram: works everywhere node does. One socket an address, never shared: a second instance gets EADDRINUSE. */
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { headerBytes } from '@ufes/core/dns/message.ts';
import { parsePeer } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Log } from '@ufes/core/ports.ts';
import { type Endpoint, formatEndpoint } from '@ufes/io/address.ts';
import { bindError } from './bind-error.ts';
import { type AnswerFunction, type BatchSource, peerMemo } from './source.ts';

export function createDgramSource(endpoint: Endpoint, answerer: AnswerFunction, log: Log): BatchSource {
  const label = `udp ${formatEndpoint(endpoint)}`;
  const peerOf = peerMemo(parsePeer);
  let socket: Socket | undefined;
  let port = endpoint.port;

  function open(): Promise<void> {
    const type = isIPv6(endpoint.address) ? 'udp6' : 'udp4';
    socket = createSocket({
      type,
      ipv6Only: type === 'udp6',
      // Peers are addresses already; without this node would queue a name look-up for each answer.
      lookup: (host, _options, done) => done(null, host, type === 'udp6' ? 6 : 4),
      recvBufferSize: limits.dns.socketBufferBytes,
    });
    const bound = socket;
    bound.on('message', (packet, from) => {
      // Of one that is too long the header alone is taken, as the threads do.
      const whole = packet.length > limits.dns.queryBytes ? packet.subarray(0, headerBytes) : packet;
      const length = answerer.answer(whole, peerOf(from.address), false);
      // Copied: a send may be queued, and `out` belongs to the next query.
      if (length > 0) bound.send(Buffer.from(answerer.out.subarray(0, length)), from.port, from.address, ignore);
    });
    return new Promise((resolve, reject) => {
      bound.once('error', (cause) => reject(bindError(label, cause)));
      bound.bind({ address: endpoint.address, port: endpoint.port, exclusive: true }, () => {
        bound.removeAllListeners('error');
        bound.on('error', (error) => log.warn({ listener: label, error: error.message }, 'dns: socket error'));
        port = bound.address().port;
        resolve();
      });
    });
  }

  return {
    label,
    get port() {
      return port;
    },
    open,
    close: () =>
      new Promise((resolve) => {
        if (socket === undefined) return resolve();
        socket.close(() => resolve());
        socket = undefined;
      }),
  };
}

/** An answer that could not be sent is a lost packet: the resolver asks again. */
function ignore(): void {}
