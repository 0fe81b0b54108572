import { describe, expect, it } from 'vitest';
import { checkRequestHeaders, cleanRequest, cleanResponse, cleanTrailers } from './headers.ts';

const facts = {
  scheme: 'https',
  clientAddress: '203.0.113.9',
  authority: 'shop.example',
  httpVersion: '1.1',
  requestId: 'made-1',
  via: 'ufes',
};

function cleaned(...raw: string[]): Record<string, string> {
  const { headers } = cleanRequest(raw, facts);
  const record: Record<string, string> = {};
  for (let i = 0; i < headers.length; i += 2) record[headers[i]!] = headers[i + 1]!;
  return record;
}

describe('requests', () => {
  it('strips hop-by-hop headers and those that Connection names', () => {
    const out = cleaned(
      'Connection',
      'keep-alive, X-Secret',
      'X-Secret',
      '1',
      'Keep-Alive',
      'x',
      'Upgrade',
      'h2c',
      'HTTP2-Settings',
      'x',
      'Proxy-Authorization',
      'x',
      'TE',
      'gzip',
      'Transfer-Encoding',
      'chunked',
      'Expect',
      '100-continue',
      'Trailer',
      'x',
      'Accept',
      'a',
    );
    expect(Object.keys(out).sort()).toEqual([
      'accept',
      'host',
      'via',
      'x-forwarded-for',
      'x-forwarded-host',
      'x-forwarded-proto',
      'x-request-id',
    ]);
  });

  it('naming Content-Length in Connection does not unframe the body', () => {
    expect(cleaned('Connection', 'content-length', 'Content-Length', '5')['content-length']).toBe('5');
  });

  it('lets TE say trailers and nothing else', () => {
    expect(cleaned('TE', 'gzip;q=0.5, trailers')['te']).toBe('trailers');
    expect(cleaned('TE', 'x-trailers')['te']).toBeUndefined();
  });

  it('appends to X-Forwarded-For and Via, overwrites what only the edge may say', () => {
    const out = cleaned(
      'X-Forwarded-For',
      '192.0.2.1',
      'x-forwarded-for',
      '192.0.2.2',
      'X-Forwarded-Proto',
      'http',
      'X-Forwarded-Host',
      'evil.example',
      'Forwarded',
      'for=1',
      'Via',
      '1.0 a',
      'ufes-hop',
      '3',
      'Host',
      'evil.example',
    );
    expect(out).toMatchObject({
      'x-forwarded-for': '192.0.2.1, 192.0.2.2, 203.0.113.9',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'shop.example',
      via: '1.0 a, 1.1 ufes',
      host: 'shop.example',
    });
    expect(out['forwarded']).toBeUndefined();
    expect(out['ufes-hop']).toBeUndefined();
  });

  it('continues a well-formed request ID and replaces any other', () => {
    expect(cleaned('X-Request-Id', 'abc-1')['x-request-id']).toBe('abc-1');
    expect(cleaned('X-Request-Id', 'a b"')['x-request-id']).toBe('made-1');
  });

  it('joins the cookie crumbs of h2 (RFC 9113 §8.2.3) and drops pseudo-headers', () => {
    const out = cleaned(':path', '/', 'cookie', 'a=1', 'cookie', 'b=2');
    expect(out['cookie']).toBe('a=1; b=2');
    expect(out[':path']).toBeUndefined();
  });

  it.each([
    [['Host', 'a', 'host', 'a'], 'bad-host'],
    [['Content-Length', '1', 'Transfer-Encoding', 'chunked'], 'bad-header'],
    [['Content-Length', '1', 'Content-Length', '1'], 'bad-header'],
    [['Content-Length', '+1'], 'bad-header'],
    [['Content-Length', '9'.repeat(15)], undefined],
    [['Content-Length', '1'.repeat(16)], 'bad-header'],
    [['Transfer-Encoding', 'chunked', 'Transfer-Encoding', 'chunked'], 'bad-header'],
    [['Transfer-Encoding', 'gzip, chunked'], 'transfer-coding'],
    [['Transfer-Encoding', 'identity'], 'transfer-coding'],
    [['X_Forwarded_For', '1'], 'bad-header'],
    [Array<string>(258).fill('x'), 'headers-too-large'],
    [['Host', 'a', 'Transfer-Encoding', 'Chunked'], undefined],
  ])('%j: %s', (raw, reason) => {
    expect(checkRequestHeaders(raw)).toBe(reason);
  });
});

describe('responses', () => {
  it('keeps what belongs to the client', () => {
    const out = cleanResponse({
      connection: 'close, x-hop',
      'x-hop': '1',
      'keep-alive': '1',
      'transfer-encoding': 'chunked',
      'ufes-reason': 'x',
      'set-cookie': ['a', 'b'],
      etag: '"1"',
      'content-length': '3',
    });
    expect(out).toEqual({ 'set-cookie': ['a', 'b'], etag: '"1"', 'content-length': '3' });
  });

  it('lets no trailer change framing', () => {
    expect(cleanTrailers({ 'grpc-status': '0', 'content-length': '3', 'transfer-encoding': 'x' })).toEqual({
      'grpc-status': '0',
    });
    expect(cleanTrailers({ 'content-length': '3' })).toBeUndefined();
  });
});
