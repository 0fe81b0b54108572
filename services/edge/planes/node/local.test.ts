/** What the edge answers itself, over real sockets. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask1, raw, type TestEdge } from '../../testing.ts';
import { type Shop, startShop } from './shop.fixture.ts';

let shop: Shop;
let edge: TestEdge;
beforeAll(async () => {
  shop = await startShop();
  edge = shop.edge;
});
afterAll(() => shop.close());

describe('what the edge answers itself', () => {
  it('health, on every address', async () => {
    const ask = { host: 'health.ufes.internal', path: '/readyz' };
    expect(await ask1(edge, ask)).toMatchObject({ status: 200, body: 'ready\n' });
    expect((await ask1(edge, { ...ask, plain: true })).status).toBe(200);
    edge.plane.setDraining(true);
    expect(await ask1(edge, ask)).toMatchObject({ status: 503, headers: { 'ufes-reason': 'draining' } });
    expect((await ask1(edge)).status).toBe(200);
    edge.plane.setDraining(false);
    expect((await ask1(edge, ask)).status).toBe(200);
  });

  it('probe names of this PoP, and remembers who asked', async () => {
    const answer = await ask1(edge, { host: 'abc123-lon.probe.example', path: '/p' });
    expect(answer).toMatchObject({
      status: 200,
      headers: { 'timing-allow-origin': '*', 'access-control-allow-origin': '*', 'cache-control': 'no-store' },
    });
    expect(answer.headers['server-timing']).toContain('pop;desc="lon"');
    expect(edge.plane.takeProbes().at(-1)).toMatchObject({ id: 'abc123', client: '127.0.0.1' });
    expect(edge.plane.takeProbes()).toEqual([]);
    expect((await ask1(edge, { host: 'abc123-iad.probe.example', path: '/p' })).status).toBe(404);
  });

  it('redirects clear text to https with method and path, for its own hosts alone', async () => {
    expect(await ask1(edge, { plain: true, path: '/a/./b?q=1', method: 'POST' })).toMatchObject({
      status: 308,
      headers: { location: `https://www.shop.example:${edge.httpsPort}/a/b?q=1` },
    });
    expect((await ask1(edge, { plain: true, host: 'evil.example' })).status).toBe(404);
  });

  it('OPTIONS *', async () => {
    expect(await raw(edge, 'OPTIONS * HTTP/1.1\r\nHost: www.shop.example\r\nConnection: close\r\n\r\n')).toMatch(
      /^HTTP\/1\.1 204 /,
    );
  });
});
