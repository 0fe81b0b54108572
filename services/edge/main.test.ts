/** The service as the tree sees it: desired state in, admin socket, live state and requests out. */
import type { DesiredState } from '@ufes/core/desired.ts';
import { publishArtefact } from '@ufes/io/artefact.ts';
import { ensureInternalCa } from '@ufes/io/internal-ca.ts';
import { type TestContext, testContext } from '@ufes/io/testing.ts';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { main } from './main.ts';
import { ask1, desiredState, freePort, host, prefix, startOrigin, type TestEdge, type TestOrigin } from './testing.ts';

let context: TestContext;
let origin: TestOrigin;
let edge: Pick<TestEdge, 'ca' | 'httpsPort' | 'httpPort'>;
let state: DesiredState;
beforeEach(async () => {
  context = await testContext({ node: 'edge-lon' });
  origin = await startOrigin((request, response) => void response.end(request.url));
  const ca = await ensureInternalCa(context.state);
  edge = { ca, httpsPort: await freePort(), httpPort: await freePort() };
  const hosts = [host('www.shop.example', prefix('/', 'eu'))];
  state = desiredState({ origins: { eu: [origin.endpoint] }, hosts }, edge.httpsPort, edge.httpPort);
  for (const name of ['www.shop.example', '*.probe.example']) {
    await context.store.secrets.put(`certificate/${name}`, Buffer.from(JSON.stringify(await ca.issue([name]))));
  }
});
afterEach(async () => {
  await origin.close();
  await context.dispose();
});

const publish = (desired: object) => publishArtefact(context, 'desired', Buffer.from(JSON.stringify(desired)));
const ask = (path: string, name = 'www.shop.example') => ask1(edge as TestEdge, { path, host: name });
const admin = async (method: 'GET' | 'POST', url: string) => {
  const answer = await context.admin.inject({ method, url });
  return { status: answer.statusCode, body: answer.json() as Record<string, unknown> };
};

it('serves what the desired state says, tells load and versions, drains and comes back, and restarts without the store', async () => {
  const service = main(context);
  await service.start();
  expect(await admin('GET', '/readyz')).toMatchObject({
    status: 503,
    body: { message: 'waiting for a desired state' },
  });
  await publish(state);
  await vi.waitFor(async () => expect((await admin('GET', '/readyz')).status).toBe(200));
  expect((await ask('/a')).body).toBe('/a');
  expect((await ask('/p', 'id1-lon.probe.example')).status).toBe(200);

  expect((await admin('GET', '/state')).body).toMatchObject({
    pop: 'lon',
    plane: 'node',
    draining: false,
    hosts: ['www.shop.example'],
    listeners: [{ state: 'listening' }, { state: 'listening' }],
    origins: { eu: [{ health: 'unknown', inFlight: 0 }] },
    certificates: [
      { name: 'certificate/www.shop.example', expiresInDays: 89 },
      { name: 'certificate/*.probe.example' },
    ],
    certificateProblems: {},
  });
  await vi.waitFor(async () =>
    expect((await admin('GET', '/probe-names')).body).toMatchObject({
      seen: { id1: ['127.0.0.0/24', expect.any(Number)] },
    }),
  );
  await vi.waitFor(
    async () => expect((await context.store.live.list('load/lon'))[0]?.value).toHaveProperty('requestsPerSecond'),
    3_000,
  );
  await vi.waitFor(async () => expect(await context.store.live.list('applied/edge-lon/desired')).toHaveLength(1));

  await admin('POST', '/drain');
  expect((await ask('/readyz', 'health.ufes.internal')).headers['ufes-reason']).toBe('draining');
  expect((await ask('/b')).body).toBe('/b');
  expect((await admin('GET', '/readyz')).body).toMatchObject({ message: 'draining' });
  await admin('POST', '/undrain');
  expect((await ask('/readyz', 'health.ufes.internal')).status).toBe(200);

  await publish({
    ...state,
    hosts: [...state.hosts, { ...host('late.example', prefix('/', 'eu')), secret: 'certificate/late.example' }],
  });
  await vi.waitFor(async () =>
    expect((await admin('GET', '/state')).body['certificateProblems']).toHaveProperty('late.example'),
  );
  await publish({ format: 99 });
  expect((await ask('/c')).body).toBe('/c');
  await service.stop();

  const again = await testContext({ node: 'edge-lon', state: context.state });
  await again.store.close();
  const restarted = main(again);
  await restarted.start();
  await vi.waitFor(async () => expect((await ask('/d')).body).toBe('/d'));
  await restarted.stop();
  await again.dispose();
});
