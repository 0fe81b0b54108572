import { statSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { listenAdmin } from './admin.ts';
import { adminRequest } from './admin-client.ts';
import { localBus } from './bus.ts';
import { type TestContext, type TestContextInit, testContext } from './testing.ts';

const contexts: TestContext[] = [];
afterEach(async () => {
  for (const context of contexts.splice(0).reverse()) await context.dispose();
});
async function make(init?: TestContextInit): Promise<TestContext> {
  const context = await testContext(init);
  contexts.push(context);
  return context;
}

test('a context has metrics of its process, labelled with the node', async () => {
  const context = await make({ node: 'edge-lon' });
  await listenAdmin(context);
  const { text } = await adminRequest(context.state, 'edge-lon', 'GET', '/metrics');
  expect(text).toMatch(/process_cpu_seconds_total\{service="edge-lon"\}/);
  expect(statSync(context.state).mode & 0o777).toBe(0o700);
});

test('contexts on one state folder share store and queue', async () => {
  const bus = localBus();
  const a = await make({ node: 'probe', bus });
  const b = await make({ node: 'dns', state: a.state, bus });
  await a.store.live.put([{ key: 'vote/dns/lon', value: { state: 'up' }, ttlMs: 10_000 }]);
  expect(await b.store.live.list('vote/')).toMatchObject([{ key: 'vote/dns/lon', value: { state: 'up' } }]);
  let woken = 0;
  bus.on('samples', () => woken++);
  await a.queue.samples.append(3, 'c1', [{ seq: 1, bytes: Uint8Array.of(7) }]);
  expect(await b.queue.samples.read(3, 'c1', 0, 10)).toEqual([{ seq: 1, bytes: Uint8Array.of(7) }]);
  expect(woken).toBe(1);
});

test('the configuration of a test context has the defaults', async () => {
  const { config } = await make();
  expect(config.listeners.dns).toEqual(['127.0.0.1:5300']);
  expect(config.probes.health.failures).toBe(3);
});
