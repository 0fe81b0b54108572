/** Rules for particular clients: what `ufes check` says of each that cannot be kept. */
import { expect, it } from 'vitest';
import { checkRules } from './check-rules.ts';
import { withDefaults } from './defaults.ts';
import { type Config, configSchema } from './schema.ts';

function config(service: object, over: object = {}): Config {
  const pop = (n: number) => ({ location: [0, 0], vips: { v4: `192.0.2.${n}`, v6: `2001:db8::${n}` } });
  return withDefaults(configSchema, {
    pops: { lon: pop(1), iad: pop(2), sin: pop(3) },
    origins: { eu: { location: [0, 0], endpoints: ['http://192.0.2.9:80'] } },
    zones: {},
    services: { shop: { name: 'www.shop.example', pops: ['lon', 'iad', 'sin'], origin: 'eu', ...service } },
    prefixLists: { office: ['203.0.113.0/26'] },
    ...over,
  }) as Config;
}

it('takes what can be kept', () => {
  const service = {
    only: ['lon', 'iad'],
    overrides: [
      { clients: ['office', '2001:db8:40::/44'], pops: ['iad', 'lon'] },
      { clients: ['203.0.113.64/28'], pops: ['lon'], pin: true },
    ],
    shares: [
      { pop: 'lon', percent: 5 },
      { pop: 'iad', percent: 1, clients: ['office'] },
    ],
    regions: [{ clients: ['198.51.100.0/24'], only: ['lon'] }],
    bindings: [{ type: 'HTTPS', data: '1 . alpn=h2' }],
    allDown: { fallback: ['192.0.2.1', '2001:db8::1'] },
  };
  expect(checkRules(config(service))).toEqual([]);
});

it.each([
  [{ overrides: [{ clients: ['ofice'], pops: ['lon'] }] }, 'overrides.0.clients.0', 'did you mean "office"'],
  [
    { overrides: [{ clients: ['192.0.2.1/24'], pops: ['lon'] }] },
    'overrides.0.clients.0',
    'the prefix is 192.0.2.0/24',
  ],
  [{ overrides: [{ clients: ['2001:db8::/65'], pops: ['lon'] }] }, 'overrides.0.clients.0', 'the first 64 bits'],
  [{ overrides: [{ clients: ['::ffff:192.0.2.0/120'], pops: ['lon'] }] }, 'overrides.0.clients.0', 'is no prefix'],
  [{ overrides: [{ clients: ['office'], pops: ['lom'] }] }, 'overrides.0.pops.0', 'did you mean "lon"'],
  [{ only: ['lon'], shares: [{ pop: 'iad', percent: 5 }] }, 'shares.0.pop', 'never answered'],
  [{ only: ['lon'], regions: [{ clients: ['office'], only: ['iad'] }] }, 'regions.0.only.0', 'never answered'],
  [
    {
      overrides: [
        { clients: ['office'], pops: ['lon'] },
        { clients: ['203.0.113.0/26'], pops: ['iad'] },
      ],
    },
    'overrides.1.clients.0',
    '203.0.113.0/26 is in two rules',
  ],
  [
    { regions: [{ clients: ['office'], only: ['lon'] }], allDown: { fallback: ['192.0.2.2', '2001:db8::1'] } },
    'allDown.fallback.0',
    'which no fall-back may leave',
  ],
  [
    { regions: [{ clients: ['office'], only: ['lon'] }], allDown: { fallback: ['192.0.2.1'] } },
    'allDown.fallback',
    'needs an IPv6 address too',
  ],
  [{ bindings: [{ type: 'HTTPS', data: '1 . alpn' }] }, 'bindings.0.data', 'alpn'],
  [{ bindings: [{ type: 'HTTPS', data: '0 other.example.' }] }, 'bindings.0.data', 'is an alias'],
  [{ bindings: [{ type: 'HTTPS', data: '1 other.example. alpn=h2' }] }, 'bindings.0.data', 'must be "."'],
  [{ bindings: [{ type: 'HTTPS', data: '1 . ipv4hint=192.0.2.1' }] }, 'bindings.0.data', 'leave them out'],
])('refuses %j', (service, path, message) => {
  const problems = checkRules(config(service));
  expect(problems.map((one) => one.path.join('.'))).toContain(`services.shop.${path}`);
  expect(problems.find((one) => one.path.join('.') === `services.shop.${path}`)!.message).toContain(message);
});

it('refuses lists and limits that make no sense', () => {
  const over = {
    prefixLists: { office: ['nowhere'] },
    room: { softPercent: 95, hardPercent: 80 },
    dns: { explainClients: ['10.0.0.1/8'] },
  };
  expect(checkRules(config({}, over)).map(({ path }) => path.join('.'))).toEqual([
    'prefixLists.office.0',
    'dns.explainClients.0',
    'room.softPercent',
  ]);
});
