import { expect, test } from 'vitest';
import { dashboardEndpoint, isLoopbackHost } from './address.ts';

test('the dashboard listens on loopback addresses alone, and says what to do instead', () => {
  expect(dashboardEndpoint('127.0.0.1:8090')).toEqual({ address: '127.0.0.1', port: 8090 });
  expect(dashboardEndpoint('127.9.8.7:0').port).toBe(0);
  expect(dashboardEndpoint('[::1]:8090').address).toBe('::1');
  for (const text of ['0.0.0.0:8090', '[::]:8090', '192.0.2.1:8090', '[2001:db8::1]:8090', '[::2]:8090']) {
    expect(() => dashboardEndpoint(text)).toThrow(/listeners\.dashboard: .* no sign-in; use a loopback address \(127/);
  }
});

test('a Host header names this machine, or the request is not for us', () => {
  const ours = ['localhost', 'LOCALHOST:8090', '127.0.0.1', '127.0.0.1:8090', '[::1]', '[::1]:8090', '127.5.5.5:1'];
  for (const host of ours) expect([host, isLoopbackHost(host)]).toEqual([host, true]);
  const others = ['', 'evil.example', 'evil.example:8090', '192.0.2.1:8090', 'localhost.evil.example', '[::2]:1', '::'];
  for (const host of others) expect([host, isLoopbackHost(host)]).toEqual([host, false]);
});
