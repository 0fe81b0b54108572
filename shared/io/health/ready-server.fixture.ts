/** A process that answers every https request with 200 and prints its port; for tests that stop it. */
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { testCertificate } from './certificate.fixture.ts';

const server = createServer({ key: testCertificate.key, cert: testCertificate.certificate }, (_, response) => {
  response.end('ready');
});
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
