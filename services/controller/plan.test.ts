import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LoadedConfig } from '@ufes/io/config-file.ts';
import { ensureInternalCa } from '@ufes/io/internal-ca.ts';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configFrom, ingressText, objectsFrom, serviceText } from './controller.fixture.ts';
import { noObjects, type ObjectSet } from './objects.ts';
import { assemble, finish, type PlanInput, plan } from './plan.ts';

let folder: string;
let loaded: LoadedConfig;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ufes-plan-'));
  loaded = await configFrom(folder);
});
afterAll(() => rm(folder, { recursive: true }));

const vips: Record<string, string> = { lon: '192.0.2.17', iad: '198.51.100.17' };
function planOf(objects: ObjectSet, change: Partial<PlanInput> = {}) {
  return plan({ ...loaded, objects, vip: (_, pop) => ({ address: vips[pop]! }), createdMs: () => 0, ...change });
}

/** Every objection on an Ingress: `CONDITION REASON: message`. */
function objectionsOn(objects: ObjectSet, name = 'web', change: Partial<PlanInput> = {}): string[] {
  const verdict = planOf(objects, change).verdicts.find(({ key }) => key === `shop/${name}`);
  return (verdict?.objections ?? []).map(({ condition, reason, message }) => `${condition} ${reason}: ${message}`);
}

describe('the configuration', () => {
  it('becomes PoPs, origins, services and hosts that are answered at once', () => {
    const desired = assemble(planOf(noObjects), [], []);
    expect(
      desired.pops.map(({ id, title, latitude, vips: own, httpsPort }) => [id, title, latitude, own, httpsPort]),
    ).toEqual([
      ['lon', 'lon', 51.5, { v4: '192.0.2.1' }, 443],
      ['iad', 'iad', 38.9, { v4: '198.51.100.1' }, 443],
    ]);
    expect(desired.origins).toEqual([
      {
        ...{ id: 'eu', latitude: 50.1, longitude: 8.7, healthPath: '/healthz' },
        endpoints: [{ address: '192.0.2.130', port: 80 }],
      },
    ]);
    expect(desired.services).toEqual([
      {
        ...{ id: 'shop', name: 'www.shop.example.', owner: 'config', answered: true, policy: 'latency', only: [1] },
        candidates: [
          { pop: 0, v4: '192.0.2.1' },
          { pop: 1, v4: '198.51.100.1' },
        ],
        ...{
          origin: 'eu',
          controlShare: 0.01,
          k: 3,
          answers: 1,
          ttlSecondsMin: 5,
          ttlSecondsMax: 30,
          allDown: { rule: 'serve-preferred' },
        },
      },
    ]);
    expect(desired.hosts).toEqual([
      {
        ...{ host: 'www.shop.example', owner: 'config', secret: 'certificate/www.shop.example' },
        paths: [{ path: '/', match: 'prefix', origin: 'eu', timeoutMs: 30_000 }],
      },
    ]);
    expect(desired.probe).toEqual({ zone: 'probe.shop.example.', sources: ['rum', 'agent', 'edge'] });
    expect(planOf(noObjects).certificates.map(({ host }) => host)).toEqual([
      'www.shop.example',
      '*.probe.shop.example',
    ]);
  });

  it('gets its SOA serial when it is published', () => {
    const version = { ms: 5, writer: 'a' };
    const state = finish(assemble(planOf(noObjects), [], []), 77, { version, createdAtMs: 5 });
    const soa = state.zones[0]!.records.find(({ type }) => type === 'SOA')!;
    expect(soa.data).toBe('ns1.shop.example. hostmaster.shop.example. 77 7200 900 1209600 5');
    expect(state.version).toEqual(version);
  });
});

describe('an Ingress of our class', () => {
  it('becomes one programme a host: candidates, paths, origins', () => {
    const { programmes, verdicts, classes } = planOf(objectsFrom(ingressText({ path: '/a/../%7euser/' }), serviceText));
    expect(programmes).toEqual([
      {
        ...{ host: 'app.shop.example', owner: 'shop/web', className: 'ufes', ttlSecondsMin: 5, ttlSecondsMax: 20 },
        candidates: [
          { pop: 'lon', address: '192.0.2.17' },
          { pop: 'iad', address: '198.51.100.17' },
        ],
        paths: [{ path: '/~user/', match: 'prefix', origin: 'shop/web:80', timeoutMs: 30_000 }],
        origins: [
          {
            ...{ id: 'shop/web:80', latitude: 50, longitude: 8 },
            endpoints: [
              { address: '192.0.2.201', port: 8080 },
              { address: '192.0.2.202', port: 8080 },
            ],
          },
        ],
      },
    ]);
    expect([verdicts, classes]).toEqual([[{ key: 'shop/web', objections: [], hosts: ['app.shop.example'] }], ['ufes']]);
  });

  it('may have several hosts, a wildcard, a default backend and a port by name', () => {
    const more = `    - host: "*.apps.shop.example"
      http: { paths: [{ path: /x, pathType: Exact, backend: { service: { name: web, port: { name: http } } } }] }
  defaultBackend: { service: { name: web, port: { number: 80 } } }`;
    const { programmes, verdicts } = planOf(objectsFrom(ingressText({ more, path: '/api' }), serviceText));
    expect(verdicts[0]!.objections).toEqual([]);
    expect(programmes.map(({ host, paths }) => [host, paths.map(({ path, match }) => `${match} ${path}`)])).toEqual([
      ['*.apps.shop.example', ['exact /x', 'prefix /']],
      ['app.shop.example', ['prefix /api', 'prefix /']],
    ]);
  });

  it('is ours by IngressClass, by default class, or by the old annotation', () => {
    const ingressClass = (name: string, controller: string, isDefault = false) =>
      `apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: { name: ${name}, annotations: { ingressclass.kubernetes.io/is-default-class: "${isDefault}" } }
spec: { controller: ${controller} }`;
    const count = (...documents: string[]) => planOf(objectsFrom(...documents, serviceText)).programmes.length;
    expect(count(ingressText({ className: 'edge' }), ingressClass('edge', 'ufes.dev/ingress-controller'))).toBe(1);
    expect(count(ingressText({ className: 'edge' }), ingressClass('edge', 'example.com/other'))).toBe(0);
    const without = ingressText().replace('  ingressClassName: ufes\n', '');
    expect(count(without, ingressClass('edge', 'ufes.dev/ingress-controller', true))).toBe(1);
    expect(
      count(without.replace('name: web }', 'name: web, annotations: { kubernetes.io/ingress.class: ufes } }')),
    ).toBe(1);
    expect(
      planOf(objectsFrom(ingressText({ className: 'edge' }), ingressClass('edge', 'example.com/other'))).verdicts,
    ).toEqual([]);
    expect(objectionsOn(objectsFrom(without))).toEqual([
      'Accepted ClassMissing: spec.ingressClassName: missing, and no IngressClass is the default; write "ufes"',
    ]);
  });
});

describe('what is wrong with an Ingress is said on it', () => {
  const field = 'spec.rules[0]';
  const cases: [what: string, documents: string[], expected: string[]][] = [
    [
      'unknown class',
      [ingressText({ className: 'ufoes' }), serviceText],
      ['Accepted ClassUnknown: spec.ingressClassName: there is no class "ufoes"; did you mean "ufes"?'],
    ],
    [
      'missing Service',
      [ingressText({ service: 'wep' }), serviceText],
      [
        `ResolvedRefs ServiceNotFound: ${field}.http.paths[0].backend: there is no Service shop/wep; did you mean "shop/web"?`,
      ],
    ],
    [
      'missing port',
      [ingressText({ port: 'number: 81' }), serviceText],
      [`ResolvedRefs PortNotFound: ${field}.http.paths[0].backend: Service shop/web has no port 81; it has 80 (http)`],
    ],
    [
      'host outside our zones',
      [ingressText({ host: 'app.example.org' }), serviceText],
      [`Accepted HostOutsideZones: ${field}.host: app.example.org is in none of our zones: shop.example`],
    ],
    [
      'host of the configuration',
      [ingressText({ host: 'WWW.shop.example' }), serviceText],
      [`Accepted HostConflict: ${field}.host: www.shop.example is held by service "shop" of the configuration`],
    ],
    [
      'host with a static record',
      [ingressText({ host: 'ns1.shop.example' }), serviceText],
      [
        `Accepted HostConflict: ${field}.host: ns1.shop.example has a static A record (192.0.2.53) in zone shop.example; a name is steered or static`,
      ],
    ],
    [
      'host in the probe zone',
      [ingressText({ host: 'x.probe.shop.example' }), serviceText],
      [`Accepted HostConflict: ${field}.host: x.probe.shop.example is within the probe zone probe.shop.example`],
    ],
    [
      'no host',
      [ingressText({ host: '' }), serviceText],
      [`Accepted HostMissing: ${field}.host: a host is needed; it becomes the DNS name`],
    ],
    [
      'host that is no name',
      [ingressText({ host: 'a b' }), serviceText],
      [`Accepted HostInvalid: ${field}.host: "a b" is not a domain name`],
    ],
    [
      'invalid path',
      [ingressText({ path: '/a%2Fb' }), serviceText],
      [
        `Accepted PathInvalid: ${field}.http.paths[0].path: "/a%2Fb" cannot be matched: %2F in a path is refused`,
        `Accepted NoPaths: ${field}: host app.shop.example has no path that could be served, and there is no spec.defaultBackend`,
      ],
    ],
    [
      'the same path twice',
      [
        ingressText({
          more: '          - { path: //../, pathType: Prefix, backend: { service: { name: web, port: { number: 80 } } } }',
        }),
        serviceText,
      ],
      [`Accepted PathConflict: ${field}.http.paths[1].path: prefix / is routed already; the first one counts`],
    ],
    [
      'no EndpointSlice',
      [ingressText(), serviceText.split('---')[0]!],
      [
        `ResolvedRefs NoEndpoints: ${field}.http.paths[0].backend: Service shop/web has no endpoint to send to: no EndpointSlice belongs to it`,
      ],
    ],
    [
      'no ready endpoint',
      [ingressText(), serviceText.replaceAll(/ready: \w+/g, 'ready: false')],
      [
        `ResolvedRefs NoEndpoints: ${field}.http.paths[0].backend: Service shop/web has no endpoint to send to: none of its endpoints is ready`,
      ],
    ],
    [
      'no Secret',
      [ingressText({ more: '  tls: [{ hosts: [app.shop.example], secretName: tls }]' }), serviceText],
      [
        'ResolvedRefs CertificateInvalid: CERTIFICATE_INVALID: spec.tls[0].secretName: there is no Secret shop/tls; app.shop.example keeps the certificate it has, or gets one of the internal CA',
      ],
    ],
    [
      'a document that does not fit',
      [ingressText().replace('pathType: Prefix', 'pathType: Perfix'), serviceText],
      [
        'Accepted Invalid: objects.yaml:1: spec.rules[0].http.paths[0].pathType: expected "Exact", "Prefix" or "ImplementationSpecific", found "Perfix"; did you mean "Prefix"?',
      ],
    ],
  ];
  it.each(cases)('%s', (_, documents, expected) => {
    expect(objectionsOn(objectsFrom(...documents))).toEqual(expected);
  });

  it('and harms no other', () => {
    for (const [, documents] of cases) {
      const other = ingressText({ name: 'other', host: 'other.shop.example' });
      const objects = objectsFrom(
        ...documents,
        other,
        documents.includes(serviceText) ? '' : serviceText.split('---')[1]!,
      );
      expect(planOf(objects).programmes.map(({ owner }) => owner)).toContain('shop/other');
    }
  });

  it('a missing backend answers 500, one without endpoints 503: the route is there', () => {
    const missing = planOf(objectsFrom(ingressText({ service: 'gone' }), serviceText)).programmes[0]!;
    expect([missing.paths[0], missing.origins]).toEqual([{ path: '/', match: 'prefix', timeoutMs: 30_000 }, []]);
    const empty = planOf(objectsFrom(ingressText(), serviceText.split('---')[0]!)).programmes[0]!;
    expect([empty.paths[0]!.origin, empty.origins[0]!.endpoints]).toEqual(['shop/web:80', []]);
  });

  it('the older Ingress keeps a host, and is named', () => {
    const young = ingressText({ name: 'a', created: '2026-02-01T00:00:00Z' });
    const old = ingressText({ name: 'b', created: '2026-01-01T00:00:00Z' });
    const objects = objectsFrom(young, old, serviceText);
    const createdMs = (key: string) => Date.parse(objects.Ingress.get(key)!.object.metadata.creationTimestamp!);
    expect(planOf(objects, { createdMs }).programmes.map(({ owner }) => owner)).toEqual(['shop/b']);
    expect(objectionsOn(objects, 'a', { createdMs })).toEqual([
      'Accepted HostConflict: spec.rules[0].host: app.shop.example is held by Ingress shop/b',
    ]);
  });

  it('an exhausted pool is said, and what has a VIP is served', () => {
    const vip = (_: string, pop: string) =>
      pop === 'lon' ? { problem: 'no address is left' } : { address: vips[pop]! };
    const objects = objectsFrom(ingressText(), serviceText);
    expect(planOf(objects, { vip }).programmes[0]!.candidates).toEqual([{ pop: 'iad', address: '198.51.100.17' }]);
    expect(objectionsOn(objects, 'web', { vip })).toEqual([
      'Programmed PoolExhausted: POOL_EXHAUSTED: no address is left',
    ]);
  });
});

describe('certificates', () => {
  it('come from the Secret when it fits, else stay as they are', async () => {
    const ca = await ensureInternalCa(folder);
    const [right, other] = [await ca.issue(['app.shop.example']), await ca.issue(['app.shop.example'])];
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    const secret = (crt: string, key: string | undefined) => `apiVersion: v1
kind: Secret
metadata: { namespace: shop, name: tls }
type: kubernetes.io/tls
data: { tls.crt: ${base64(crt)}${key === undefined ? '' : `, tls.key: ${base64(key)}`} }`;
    const ingress = ingressText({ more: '  tls: [{ secretName: tls }]' });
    const choice = (...documents: string[]) => planOf(objectsFrom(ingress, serviceText, ...documents)).tls;
    expect(choice(secret(right.certificate, right.key))).toEqual([{ host: 'app.shop.example', pair: right }]);
    for (const [key, why] of [
      [other.key, /tls\.key: this is not the key of the certificate/],
      [undefined, /Secret shop\/tls has no tls\.key: a certificate needs its key/],
    ] as const) {
      const document = secret(right.certificate, key);
      expect(choice(document)).toEqual([{ host: 'app.shop.example', isWaiting: true }]);
      expect(objectionsOn(objectsFrom(ingress, serviceText, document))).toEqual([expect.stringMatching(why)]);
    }
    const foreign = await ca.issue(['b.shop.example']);
    expect(objectionsOn(objectsFrom(ingress, serviceText, secret(foreign.certificate, foreign.key)))[0]).toMatch(
      /^ResolvedRefs CertificateInvalid: CERTIFICATE_INVALID: .*does not cover app\.shop\.example, only b\.shop\.example/,
    );
  });
});

describe('endpoints', () => {
  const slice = (
    name: string,
    endpoints: string,
    ports = '[{ name: http, port: 8080 }]',
  ) => `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { namespace: shop, name: ${name}, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
ports: ${ports}
endpoints: ${endpoints}`;
  const service = serviceText.split('---')[0]!;
  const endpoints = (...slices: string[]) =>
    planOf(objectsFrom(ingressText(), service, ...slices)).programmes[0]!.origins[0]!.endpoints.map(
      ({ address, port }) => `${address}:${port}`,
    );

  it('are merged over slices, each once, sorted; unknown readiness counts as ready', () => {
    const one = '[{ addresses: [192.0.2.9] }, { addresses: [192.0.2.8], conditions: { ready: false } }]';
    const two =
      '[{ addresses: [192.0.2.9], conditions: { ready: true } }, { addresses: [192.0.2.10], conditions: { ready: null } }]';
    expect(endpoints(slice('a', one), slice('b', two))).toEqual(['192.0.2.10:8080', '192.0.2.9:8080']);
  });

  it('take the port of the slice that has the name of the Service’s port', () => {
    const list = '[{ addresses: [192.0.2.9] }]';
    expect(endpoints(slice('a', list, '[{ name: metrics, port: 9 }, { name: http, port: 8081 }]'))).toEqual([
      '192.0.2.9:8081',
    ]);
    expect(endpoints(slice('a', list, '[{ name: metrics, port: 9 }]'))).toEqual([]);
    expect(endpoints(slice('a', list, 'null'))).toEqual(['192.0.2.9:8080']);
  });

  it('are those that still serve while terminating, when none is ready', () => {
    const ending = '{ addresses: [192.0.2.9], conditions: { ready: false, serving: true, terminating: true } }';
    expect(endpoints(slice('a', `[${ending}]`))).toEqual(['192.0.2.9:8080']);
    expect(endpoints(slice('a', `[${ending}, { addresses: [192.0.2.10] }]`))).toEqual(['192.0.2.10:8080']);
  });
});

describe('determinism', () => {
  it('the order of documents changes nothing', () => {
    const documents = [
      ingressText(),
      ingressText({ name: 'b', host: 'b.shop.example' }),
      ingressText({ name: 'c', host: 'b.shop.example' }),
      ingressText({ name: 'd', host: 'd.shop.example', service: 'gone' }),
      ...serviceText.split('---\n'),
    ];
    const expected = JSON.stringify(planOf(objectsFrom(...documents)));
    fc.assert(
      fc.property(fc.shuffledSubarray(documents, { minLength: documents.length }), (order) => {
        const { verdicts, ...rest } = planOf(objectsFrom(...order));
        expect(JSON.stringify({ ...rest, verdicts }.programmes)).toBe(JSON.stringify(JSON.parse(expected).programmes));
        expect([...verdicts].sort((a, b) => (a.key < b.key ? -1 : 1))).toEqual(JSON.parse(expected).verdicts);
      }),
      { numRuns: 50 },
    );
  });

  it('no document makes the plan throw', () => {
    const text = [ingressText({ more: '  tls: [{ secretName: tls }]' }), serviceText].join('\n---\n');
    const junk = fc.constantFrom(
      'null',
      '[]',
      '{}',
      '5',
      '"x"',
      '- ',
      '&a *a',
      '\u0000',
      'a: b: c',
      '__proto__: 1',
      '""',
      '"*."',
    );
    fc.assert(
      fc.property(fc.nat(text.length), fc.nat(25), fc.array(junk, { maxLength: 2 }), (at, cut, parts) => {
        planOf(objectsFrom(text.slice(0, at) + parts.join(' ') + text.slice(at + cut), ingressText({ name: 'z' })));
      }),
      { numRuns: 400 },
    );
  });
});
