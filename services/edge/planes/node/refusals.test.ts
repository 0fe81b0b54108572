/** Requests that come to nothing: the reason that the client is told, over HTTP/1.1 and HTTP/2 alike. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Ask, ask1, ask2, openH2, type TestEdge } from '../../testing.ts';
import { type Shop, startShop } from './shop.fixture.ts';

let shop: Shop;
let edge: TestEdge;
beforeAll(async () => {
  shop = await startShop();
  edge = shop.edge;
});
afterAll(() => shop.close());

describe('refusals say why', () => {
  it.each<[Ask, number, string]>([
    [{ host: 'nowhere.example', servername: '' }, 404, 'no-host'],
    [{ host: 'api.shop.example', path: '/v2' }, 404, 'no-path'],
    [{ host: 'a.b.tenant.example', servername: '' }, 404, 'no-host'],
    [{ path: '/missing' }, 500, 'backend-missing'],
    [{ path: '/refusing' }, 502, 'origin-connect'],
    [{ path: '/resetting', method: 'POST', body: 'x' }, 502, 'origin-reset'],
    [{ path: '/garbage' }, 502, 'origin-invalid'],
    [{ path: '/empty' }, 503, 'no-endpoint'],
    [{ path: '/silent' }, 504, 'origin-timeout'],
    [{ path: '/a%2fb' }, 400, 'bad-path'],
    [{ headers: { x_y: '1' } }, 400, 'bad-header'],
    [{ host: 'api.shop.example', servername: 'www.shop.example' }, 421, 'misdirected'],
    [{ servername: '' }, 421, 'misdirected'],
  ])('%j: %i %s', async (ask, status, reason) => {
    const session = await openH2(edge, ask.servername ?? ask.host ?? 'www.shop.example');
    for (const answer of [await ask1(edge, ask), await ask2(session, ask)]) {
      expect({ status: answer.status, reason: answer.headers['ufes-reason'] }).toEqual({ status, reason });
      expect(answer.body).toContain(reason);
      if (status === 503) expect(answer.headers['retry-after']).toBe('1');
    }
    session.close();
  });

  it('a wildcard covers one label', async () => {
    expect(await ask1(edge, { host: 'a.tenant.example' })).toMatchObject({ status: 200, body: 'other' });
  });

  it('retries once at another endpoint, without the client noticing', async () => {
    for (let i = 0; i < 12; i++) {
      expect((await ask1(edge, { path: '/half' })).status).toBe(200);
      expect((await ask1(edge, { path: '/half', method: 'POST', body: 'sent whole' })).status).toBe(200);
      expect((await ask1(edge, { path: '/flaky' })).status).toBe(200);
    }
  });

  it('does not send a POST twice', async () => {
    const before = shop.resets();
    await ask1(edge, { path: '/resetting', method: 'POST', body: 'x' });
    expect(shop.resets() - before).toBe(1);
  });

  it('resets when the origin fails after its headers, never ends quietly', async () => {
    const session = await openH2(edge);
    for (const path of ['/cutting', '/cutting/chunked']) {
      await expect(ask1(edge, { path })).rejects.toThrow(/aborted|hang up|reset/i);
      await expect(ask2(session, { path })).rejects.toThrow('NGHTTP2_INTERNAL_ERROR');
    }
    session.close();
    expect(await edge.registry.metrics()).toContain('ufes_edge_responses_total{class="2xx",http="2.0",reason="cut"} 2');
  });
});
