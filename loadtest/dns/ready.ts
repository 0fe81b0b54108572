/**
 * Stands in for the edges of all PoPs: answers /readyz over TLS on every loopback address, with a certificate of the
 * internal CA of a state folder. A program: ready.ts PORT STATE.
 */
import { createServer } from 'node:https';
import { ensureInternalCa } from '@ufes/io/internal-ca.ts';

const [port, state] = process.argv.slice(2);
const ca = await ensureInternalCa(state!);
const { certificate, key } = await ca.issue(['health.ufes.internal']);
const server = createServer({ cert: certificate, key }, (_request, response) => response.end('ready\n'));
server.listen(Number(port), '0.0.0.0', () => process.stdout.write('ready\n'));
process.on('SIGTERM', () => process.exit(0));
