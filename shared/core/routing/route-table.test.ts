import { describe, expect, it } from 'vitest';
import type { DesiredHost, DesiredPath, DesiredState } from '../desired.ts';
import { compileRouteTable, match, matchHost, type RouteTable } from './route-table.ts';

function desired(hosts: readonly DesiredHost[]): DesiredState {
  return {
    format: 1,
    version: { ms: 1, writer: 'a' },
    createdAtMs: 1,
    pops: [],
    origins: [{ id: 'eu', endpoints: [{ address: '192.0.2.1', port: 80 }] }],
    zones: [],
    services: [],
    hosts,
    vips: [],
    probe: { sources: [], zone: 'Probe.example.' },
  };
}

/** `prefix:/a` and `exact:/a`, all to origin eu. */
function table(...rules: string[]): RouteTable {
  const paths = rules.map((rule): DesiredPath => {
    const [kind, path] = rule.split(':') as ['prefix' | 'exact', string];
    return { path, match: kind, origin: 'eu', timeoutMs: 1000 };
  });
  return compileRouteTable(desired([{ host: 'shop.example', owner: 'config', paths }]));
}

function chosen(routes: RouteTable, path: string): string {
  const found = match(routes, 'shop.example', path);
  return typeof found === 'string' ? found : `${found.match}:${found.path}`;
}

describe('the examples of the Kubernetes Ingress specification', () => {
  it.each([
    ['prefix:/', '/anything/at/all', true],
    ['exact:/foo', '/foo', true],
    ['exact:/foo', '/bar', false],
    ['exact:/foo', '/foo/', false],
    ['exact:/foo/', '/foo', false],
    ['prefix:/foo', '/foo', true],
    ['prefix:/foo', '/foo/', true],
    ['prefix:/foo/', '/foo', true],
    ['prefix:/foo/', '/foo/', true],
    ['prefix:/aaa/bb', '/aaa/bbb', false],
    ['prefix:/aaa/bbb', '/aaa/bbb', true],
    ['prefix:/aaa/bbb/', '/aaa/bbb', true],
    ['prefix:/aaa/bbb', '/aaa/bbb/', true],
    ['prefix:/aaa/bbb', '/aaa/bbb/ccc', true],
    ['prefix:/aaa/bbb', '/aaa/bbbxyz', false],
    ['prefix:/aaa', '/ccc', false],
    ['exact:/FOO', '/foo', false],
    ['prefix:/FOO', '/foo', false],
  ])('%s and %s: %s', (rule, path, matches) => {
    expect(chosen(table(rule), path)).toBe(matches ? rule : 'no-path');
  });

  it.each([
    [['prefix:/', 'prefix:/aaa'], '/aaa/ccc', 'prefix:/aaa'],
    [['prefix:/', 'prefix:/aaa', 'prefix:/aaa/bbb'], '/aaa/bbb', 'prefix:/aaa/bbb'],
    [['prefix:/aaa', 'prefix:/'], '/ccc', 'prefix:/'],
    [['prefix:/foo', 'exact:/foo'], '/foo', 'exact:/foo'],
    [['prefix:/foo', 'exact:/foo'], '/foo/', 'prefix:/foo'],
    [['prefix:/a/', 'prefix:/a/b/c/'], '/a/b', 'prefix:/a/'],
    [['prefix:/a', 'prefix:/a//b'], '/a//b/c', 'prefix:/a//b'],
    [['prefix:/a', 'prefix:/a//b'], '/a/b', 'prefix:/a'],
  ])('of %j, %s takes %s', (rules, path, expected) => {
    expect(chosen(table(...rules), path)).toBe(expected);
  });
});

describe('hosts', () => {
  const paths: DesiredPath[] = [{ path: '/', match: 'prefix', origin: 'eu', timeoutMs: 1000 }];
  const routes = compileRouteTable(
    desired([
      { host: 'foo.bar.example', owner: 'config', paths: [{ ...paths[0]!, path: '/only' }] },
      { host: '*.bar.example', owner: 'config', secret: 'certificate/*.bar.example', paths },
      {
        host: 'gone.example',
        owner: 'config',
        paths: [{ path: '/', match: 'prefix', origin: 'nowhere', timeoutMs: 1 }],
      },
      { host: 'none.example', owner: 'config', paths: [{ path: '/', match: 'prefix', timeoutMs: 1 }] },
    ]),
  );

  it.each([
    ['foo.bar.example', 'foo.bar.example'],
    ['baz.bar.example', '*.bar.example'],
    ['baz.foo.bar.example', undefined],
    ['bar.example', undefined],
    ['.bar.example', undefined],
  ])('%s is served by %s', (host, expected) => {
    expect(matchHost(routes, host)?.host).toBe(expected);
  });

  it('a precise host does not fall through to the wildcard', () => {
    expect(match(routes, 'foo.bar.example', '/other')).toBe('no-path');
  });

  it('a missing or unknown backend is told from a missing route', () => {
    expect(match(routes, 'gone.example', '/')).toBe('backend-missing');
    expect(match(routes, 'none.example', '/')).toBe('backend-missing');
    expect(match(routes, 'elsewhere.example', '/')).toBe('no-host');
  });

  it('knows the probe zone without its dot', () => {
    expect(routes.probeZone).toBe('probe.example');
  });
});

it('a path of very many elements costs no more than the deepest prefix', () => {
  const routes = table('prefix:/a/b/c');
  const path = '/x'.repeat(16_000);
  const startMs = performance.now();
  for (let i = 0; i < 1000; i++) match(routes, 'shop.example', path);
  expect(performance.now() - startMs).toBeLessThan(1000);
});
