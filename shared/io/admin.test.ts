import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Gauge, Registry } from 'prom-client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createAdmin, listenAdmin, socketPath } from './admin.ts';
import { adminGet, adminPost, adminRequest } from './admin-client.ts';
import { silentLog } from './log.ts';

let state: string;
const cleanups: (() => unknown)[] = [];
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'ufes-admin-'));
  cleanups.push(() => rmSync(state, { recursive: true, force: true }));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function started(node: string, at = state) {
  const registry = new Registry();
  new Gauge({ name: 'ufes_test', help: 'test', registers: [registry] }).set(7);
  const { app, ready } = createAdmin(silentLog, registry);
  cleanups.push(() => app.close());
  app.post('/double', (request) => ({ value: 2 * (request.body as { value: number }).value }));
  await listenAdmin({ state: at, node, admin: app });
  return { app, ready };
}

test('health, readiness with its reason, metrics and own routes', async () => {
  const { ready } = await started('dns');
  expect(await adminGet(state, 'dns', '/healthz')).toEqual({ status: 'ok' });
  expect((await adminRequest(state, 'dns', 'GET', '/readyz')).status).toBe(503);
  ready(false, 'no map yet');
  expect(JSON.parse((await adminRequest(state, 'dns', 'GET', '/readyz')).text).message).toBe('no map yet');
  ready(true);
  expect((await adminRequest(state, 'dns', 'GET', '/readyz')).status).toBe(200);
  expect((await adminRequest(state, 'dns', 'GET', '/metrics')).text).toContain('ufes_test 7');
  expect(await adminPost(state, 'dns', '/double', { value: 21 })).toEqual({ value: 42 });
  await expect(adminGet(state, 'dns', '/nowhere')).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('the socket is private, and gone after close', async () => {
  const { app } = await started('dns');
  const path = socketPath(state, 'dns');
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(dirname(path)).mode & 0o777).toBe(0o700);
  await app.close();
  expect(existsSync(path)).toBe(false);
  await expect(adminGet(state, 'dns', '/healthz')).rejects.toMatchObject({
    code: 'NOT_RUNNING',
    message: expect.stringContaining('no ufes dns runs'),
  });
});

test('a second node of the same name is refused and the first one is unharmed', async () => {
  await started('dns');
  await expect(started('dns')).rejects.toMatchObject({
    code: 'ADDRESS_IN_USE',
    message: expect.stringContaining(state),
  });
  expect(await adminGet(state, 'dns', '/healthz')).toEqual({ status: 'ok' });
});

test('the socket of a killed process is replaced', async () => {
  const path = socketPath(state, 'dns');
  mkdirSync(dirname(path));
  const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.stdout.write('up'))`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  await expect(started('dns')).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' });
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(existsSync(path)).toBe(true);
  await started('dns');
  expect(await adminGet(state, 'dns', '/healthz')).toEqual({ status: 'ok' });
});

test('a file in the way is left alone', async () => {
  const path = socketPath(state, 'dns');
  mkdirSync(dirname(path));
  writeFileSync(path, 'mine');
  await expect(started('dns')).rejects.toMatchObject({ code: 'ADDRESS_UNAVAILABLE' });
  expect(existsSync(path)).toBe(true);
});

test('a state folder too deep for a socket gets one under the temporary folder', async () => {
  const deep = join(state, 'd'.repeat(100));
  mkdirSync(deep);
  const path = socketPath(deep, 'dns');
  expect(Buffer.byteLength(path)).toBeLessThanOrEqual(100);
  expect(socketPath(`${deep}x`, 'dns')).not.toBe(path);
  cleanups.push(() => rmSync(dirname(path), { recursive: true, force: true }));
  await started('dns', deep);
  expect(await adminGet(deep, 'dns', '/healthz')).toEqual({ status: 'ok' });
  expect(() => socketPath(deep, 'n'.repeat(90))).toThrow(/shorter state folder/);
});

test('a node that hangs is reported within the time-out', async () => {
  const { app } = await started('edge-lon');
  await app.close();
  const registry = new Registry();
  const hanging = createAdmin(silentLog, registry).app;
  cleanups.push(() => hanging.close());
  let arrived = () => {};
  const arrival = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  let answer = () => {};
  hanging.get('/slow', () => {
    arrived();
    return new Promise((resolve) => {
      answer = () => resolve({});
    });
  });
  await listenAdmin({ state, node: 'edge-lon', admin: hanging });
  const asked = adminGet(state, 'edge-lon', '/slow', { timeoutMs: 200 });
  await arrival;
  await expect(asked).rejects.toMatchObject({
    code: 'NOT_RUNNING',
    message: expect.stringContaining('does not answer'),
  });
  answer();
});
