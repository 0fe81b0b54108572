import { expect, test } from 'vitest';
import { formatEndpoint, parseEndpoint } from './address.ts';

test.each([
  ['127.0.0.1:5300', { address: '127.0.0.1', port: 5300 }],
  ['[::1]:53', { address: '::1', port: 53 }],
  ['[2001:db8::1]:0', { address: '2001:db8::1', port: 0 }],
])('%s', (text, endpoint) => {
  expect(parseEndpoint(text)).toEqual(endpoint);
  expect(formatEndpoint(endpoint)).toBe(text);
});

test.each([
  '',
  '127.0.0.1',
  ':53',
  '::1:53',
  '[127.0.0.1]:53',
  '127.0.0.1:65536',
  '256.0.0.1:53',
  'localhost:53',
  '127.0.0.1:5 ',
])('"%s" is refused', (text) => {
  expect(() => parseEndpoint(text)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
});
