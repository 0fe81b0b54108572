import { createServer } from 'node:net';
import { OperatingError } from '@ufes/core/errors.ts';
import { afterEach, expect, test } from 'vitest';
import { createHttp, listenTcp } from './http.ts';
import { silentLog } from './log.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

function app() {
  const http = createHttp(silentLog, { bodyBytes: 100 });
  cleanups.push(() => http.close());
  const body = {
    type: 'object',
    properties: { name: { type: 'string' } },
    required: ['name'],
    additionalProperties: false,
  };
  http.post<{ Body: { name: string } }>('/echo', { schema: { body } }, (request) => ({ name: request.body.name }));
  http.get('/gone', () => {
    throw new OperatingError('STORE_UNAVAILABLE', 'the store is gone');
  });
  http.get('/bug', () => {
    throw new TypeError('x is not a function');
  });
  return http;
}

test('errors have one format', async () => {
  const http = app();
  const answers = await Promise.all([
    http.inject({ method: 'POST', url: '/echo', payload: { name: 'a' } }),
    http.inject({ method: 'POST', url: '/echo', payload: { name: 1 } }),
    http.inject({ method: 'POST', url: '/echo', payload: { name: 'a', nam: 'b' } }),
    http.inject({ method: 'POST', url: '/echo', payload: '{"na', headers: { 'content-type': 'application/json' } }),
    http.inject({ method: 'POST', url: '/echo', payload: { name: 'a'.repeat(200) } }),
    http.inject('/gone'),
    http.inject('/bug'),
    http.inject('/nowhere'),
    http.inject('/%'),
  ]);
  expect(answers.map((answer) => [answer.statusCode, answer.json().code])).toEqual([
    [200, undefined],
    [400, 'REQUEST_INVALID'],
    [400, 'REQUEST_INVALID'],
    [400, 'REQUEST_INVALID'],
    [413, 'BODY_TOO_LARGE'],
    [503, 'STORE_UNAVAILABLE'],
    [500, 'INTERNAL'],
    [404, 'NOT_FOUND'],
    [400, 'REQUEST_INVALID'],
  ]);
  expect(answers[6]!.body).not.toContain('function');
});

test('a port in use and an address that is not ours are named', async () => {
  const first = createServer();
  cleanups.push(() => first.close());
  const bound = await listenTcp(first, '127.0.0.1:0');
  expect(bound.port).toBeGreaterThan(0);
  for (const listener of [app(), createServer()]) {
    await expect(listenTcp(listener, bound)).rejects.toMatchObject({
      code: 'ADDRESS_IN_USE',
      message: expect.stringContaining(`127.0.0.1:${bound.port}`),
    });
  }
  await expect(listenTcp(createServer(), '192.0.2.1:0')).rejects.toMatchObject({
    code: 'ADDRESS_UNAVAILABLE',
    message: expect.stringContaining('192.0.2.1'),
  });
});
