import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { limits } from '@ufes/core/limits.ts';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatProblems, loadConfig, readConfig } from './config-file.ts';
import { ensureInternalCa } from './internal-ca.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ufes-config-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** Right as it is; tests replace parts of its text. */
const good = `pops:
  lon:
    location: [51.5, -0.1]
    vips: { v4: 192.0.2.1 }
    pool: 192.0.2.16/28
  iad:
    location: [38.9, -77.4]
    vips: { v4: 198.51.100.1 }
    pool: 198.51.100.16/28
origins:
  eu: { location: [50.1, 8.7], endpoints: ["http://192.0.2.130:80"] }
zones:
  shop.example:
    soa: { primary: ns1.shop.example, contact: hostmaster.shop.example, minimum: 5 }
    ns: [ns1.shop.example]
    records:
      - { name: ns1, type: A, data: 192.0.2.53 }
services:
  shop:
    name: www.shop.example
    pops: [lon, iad]
    origin: eu
kubernetes:
  objects: objects
  status: status
`;

async function problemsOf(text: string, files: Record<string, string> = {}): Promise<string[]> {
  for (const [name, content] of Object.entries({ 'ufes.yaml': text, ...files })) {
    await writeFile(join(folder, name), content);
  }
  const result = await readConfig(join(folder, 'ufes.yaml'));
  return result.ok ? [] : formatProblems(result.problems).replaceAll(`${folder}/`, '').split('\n');
}

/** The good text with `from` replaced; fails when `from` is not there. */
function changed(...changes: [from: string, to: string][]): string {
  return changes.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`not in the text: ${from}`);
    return text.replace(from, to);
  }, good);
}

describe('readConfig', () => {
  it('tells of GeoIP files that are not there, when asked', async () => {
    const path = join(folder, 'ufes.yaml');
    await mkdir(join(folder, 'asn.mmdb'));
    await writeFile(path, `geoip:\n  city: city.mmdb\n  asn: asn.mmdb\n${good}`);
    const result = await readConfig(path, { withGeoip: true });
    expect(result.ok ? [] : result.problems.map((one) => [one.line, one.path, one.message])).toEqual([
      [2, 'geoip.city', 'city.mmdb cannot be read: no such file'],
      [3, 'geoip.asn', 'asn.mmdb cannot be read: it is a folder'],
    ]);
    expect((await readConfig(path)).ok).toBe(true);
  });

  it('tells of a bad origin once, not of what names it', async () => {
    const text = changed(
      ['pool: 192.0.2.16/28', 'pool: 192.0.2.16/28\n    backboneRttMs: { us: 80 }'],
      ['origins:\n', 'origins:\n  us: { location: [39, -77], endpoints: [7] }\n'],
    );
    expect(await problemsOf(text)).toEqual([expect.stringMatching(/origins\.us\.endpoints\[0\]/)]);
  });

  it('gives the configuration complete with defaults, frozen, and its zones as records', async () => {
    await writeFile(join(folder, 'ufes.yaml'), good);
    const { config, folder: base, files, zones } = await loadConfig(join(folder, 'ufes.yaml'));
    expect(base).toBe(folder);
    expect(files).toEqual([join(folder, 'ufes.yaml')]);
    expect(config.pops['lon']!.ports).toEqual({ https: 443, http: 80 });
    expect(config.services['shop']).toMatchObject({
      policy: 'latency',
      ttl: { min: 5, max: 60 },
      routes: [{ path: '/', match: 'prefix', timeoutMs: limits.edge.responseMs }],
      tls: 'internal',
    });
    expect(config.probes.health).toEqual({ intervalMs: 500, timeoutMs: 500, failures: 3, successes: 5 });
    expect(Object.isFrozen(config.services['shop']!.routes)).toBe(true);
    expect(zones[0]).toMatchObject({ origin: 'shop.example.' });
    expect(zones[0]!.records.map(({ name, type, ttl }) => [name, type, ttl])).toEqual([
      ['shop.example.', 'SOA', 300],
      ['shop.example.', 'NS', 300],
      ['ns1.shop.example.', 'A', 300],
    ]);
  });

  it('lays the overlay over the file before defaults and checks', async () => {
    await writeFile(join(folder, 'ufes.yaml'), good);
    const overlay = {
      state: '/var/lib/ufes',
      services: { shop: { ttl: { max: 30 } } },
      listeners: { dns: ['127.0.0.1:0'] },
    };
    const { config } = await loadConfig(join(folder, 'ufes.yaml'), { overlay });
    expect(config.state).toBe('/var/lib/ufes');
    expect(config.services['shop']!.ttl).toEqual({ min: 5, max: 30 });
    expect(config.services['shop']!.name).toBe('www.shop.example');
    expect(config.listeners.dns).toEqual(['127.0.0.1:0']);
  });

  it('rejects by name when asked to load what is not right', async () => {
    await writeFile(join(folder, 'ufes.yaml'), 'pops: 5\n');
    await expect(loadConfig(join(folder, 'ufes.yaml'))).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});

describe('every problem at once, each at its place', () => {
  const cases: [what: string, changes: [string, string][], expected: string[]][] = [
    [
      'unknown keys, wrong types and missing keys together',
      [
        ['origin: eu', 'orgin: eu'],
        ['[51.5, -0.1]', '[51.5, x]'],
        ['soa: { primary: ns1.shop.example,', 'soa: { primry: ns1.shop.example, refresh: 2h,'],
        ['kubernetes:', 'kubernets:'],
      ],
      [
        'ufes.yaml:3:22: pops.lon.location[1]: expected a number, found "x"',
        'ufes.yaml:14:12: zones.shop.example.soa.primry: unknown key; did you mean "primary"?',
        'ufes.yaml:14:47: zones.shop.example.soa.refresh: expected a whole number of seconds, found "2h"; write 7200',
        'ufes.yaml:22:5: services.shop.orgin: unknown key; did you mean "origin"?',
        'ufes.yaml:23:1: kubernets: unknown key; did you mean "kubernetes"?',
      ],
    ],
    [
      'a duration in words',
      [['    origin: eu', '    origin: eu\n    routes: [{ timeoutMs: 5s }]']],
      [
        'ufes.yaml:23:27: services.shop.routes[0].timeoutMs: expected a whole number of milliseconds, found "5s"; write 5000',
      ],
    ],
    [
      'a choice that is none, in the branch that was meant',
      [
        [
          'origin: eu',
          'origin: eu\n    policy: latncy\n    allDown: { falback: [192.0.2.1] }\n    tls: { certificate: a.crt }',
        ],
      ],
      [
        'ufes.yaml:23:13: services.shop.policy: expected "latency" or "geo", found "latncy"; did you mean "latency"?',
        'ufes.yaml:24:16: services.shop.allDown.falback: unknown key; did you mean "fallback"?',
        'ufes.yaml:25:5: services.shop.tls: "key" is missing (PEM file)',
      ],
    ],
    [
      'references to what is not there',
      [
        ['pops: [lon, iad]', 'pops: [lon, idt]\n    only: [iad]'],
        ['origin: eu', 'origin: us'],
      ],
      [
        'ufes.yaml:21:17: services.shop.pops[1]: "idt" is no PoP; one of: lon, iad',
        'ufes.yaml:22:12: services.shop.only[0]: "iad" is not among this service\'s pops; one of: lon, idt',
        'ufes.yaml:23:13: services.shop.origin: "us" is no origin; one of: eu',
      ],
    ],
    [
      'a key of a check that its kind does not look at',
      [['origin: eu', 'origin: eu\n    check: { kind: tcp, body: ok, maxPercent: 90 }']],
      [
        'ufes.yaml:23:25: services.shop.check.body: is for checks of kind http and https; this one is tcp',
        'ufes.yaml:23:35: services.shop.check.maxPercent: is for checks of kind load; this one is tcp',
      ],
    ],
    [
      'a VIP used twice',
      [['v4: 198.51.100.1 ', 'v4: 192.0.2.1 ']],
      ['ufes.yaml:8:17: pops.iad.vips.v4: VIP 192.0.2.1 is used twice; also pops.lon.vips.v4 (ufes.yaml:4:17)'],
    ],
    [
      'a VIP in a pool, and pools that overlap',
      [
        ['v4: 192.0.2.1 ', 'v4: 192.0.2.17 '],
        ['198.51.100.16/28', '192.0.2.0/24'],
      ],
      [
        'ufes.yaml:4:17: pops.lon.vips.v4: VIP 192.0.2.17 lies in pool 192.0.2.16/28, which gives its addresses to objects (ufes.yaml:5:11)',
        'ufes.yaml:9:11: pops.iad.pool: pool 192.0.2.0/24 overlaps 192.0.2.16/28 of pops.lon.pool (ufes.yaml:5:11)',
      ],
    ],
    [
      'an address of the wrong family, and a pool that is none',
      [
        ['v4: 192.0.2.1 ', 'v4: "2001:db8::1" '],
        ['198.51.100.16/28', '198.51.100.17/28'],
      ],
      [
        'ufes.yaml:4:17: pops.lon.vips.v4: 2001:db8::1 is an IPv6 address; an IPv4 address belongs here',
        'ufes.yaml:9:11: pops.iad.pool: "198.51.100.17/28" is no prefix: ADDRESS/LENGTH with no bits set beyond the length',
      ],
    ],
    [
      'candidates of unequal families',
      [['v4: 198.51.100.1 ', 'v4: 198.51.100.1, v6: "2001:db8::1" ']],
      [
        'ufes.yaml:21:17: services.shop.pops[1]: PoP "iad" has v4 and v6, "lon" has v4; all candidates must publish the same families (RFC 7871 §7.4) (ufes.yaml:8:11)',
      ],
    ],
    [
      'a name outside the zones, and one with a static record',
      [
        ['name: www.shop.example', 'name: ns1.shop.example'],
        ['    origin: eu', '    origin: eu\n  out: { name: www.example.org, pops: [lon], origin: eu }'],
      ],
      [
        'ufes.yaml:20:11: services.shop.name: ns1.shop.example has a static A record (192.0.2.53) in zone shop.example; a name is steered or static (ufes.yaml:13:3)',
        'ufes.yaml:23:16: services.out.name: www.example.org is in none of our zones: shop.example',
      ],
    ],
    [
      'one name for two services',
      [['    origin: eu', '    origin: eu\n  two: { name: WWW.shop.example., pops: [lon], origin: eu }']],
      ['ufes.yaml:23:16: services.two.name: WWW.shop.example. is the name of service "shop" too (ufes.yaml:20:11)'],
    ],
    [
      'all-down rules that cannot be kept',
      [
        ['minimum: 5', 'minimum: 60'],
        ['origin: eu', 'origin: eu\n    allDown: nodata'],
      ],
      [
        `ufes.yaml:23:14: services.shop.allDown: "nodata" needs the zone's SOA minimum (60) at or under ttl.min (5), or resolvers keep the empty answer longer (ufes.yaml:13:3)`,
      ],
    ],
    [
      'a fall-back outside the allow-list',
      [['origin: eu', 'origin: eu\n    only: [lon]\n    allDown: { fallback: [198.51.100.1] }']],
      [
        'ufes.yaml:24:27: services.shop.allDown.fallback[0]: 198.51.100.1 is no VIP of a PoP in "only" (lon), which no fall-back may leave',
      ],
    ],
    [
      'bounds the wrong way round',
      [
        ['origin: eu', 'origin: eu\n    ttl: { min: 60, max: 5 }'],
        ['kubernetes:', 'probes: { health: { timeoutMs: 1000 } }\nkubernetes:'],
      ],
      [
        'ufes.yaml:23:17: services.shop.ttl.min: must be at most ttl.max, 5',
        'ufes.yaml:24:32: probes.health.timeoutMs: must be at most intervalMs, 500: one check at a time',
      ],
    ],
    [
      'listeners in each other’s way',
      [['pops:\n', 'listeners: { dns: ["127.0.0.1:5300"], dashboard: "0.0.0.0:5300" }\npops:\n']],
      ['ufes.yaml:1:50: listeners.dashboard: 0.0.0.0:5300 is taken by the dns listener (ufes.yaml:1:20)'],
    ],
    [
      'proxies that nobody, or everybody, may be',
      [['pops:\n', 'listeners: { probe: [{ address: "127.0.0.1:8092", proxy: v2 }] }\npops:\n']],
      [
        'ufes.yaml:1:58: listeners.probe[0].proxy: no proxy is believed: name them in "trustedProxies", e.g. [192.0.2.0/24]',
      ],
    ],
    [
      'proxies that are none',
      [['pops:\n', 'trustedProxies: [192.0.2.300, 0.0.0.0/0]\npops:\n']],
      [
        'ufes.yaml:1:18: trustedProxies[0]: "192.0.2.300" is no address and no prefix, e.g. 192.0.2.10 or 192.0.2.0/24',
        'ufes.yaml:1:31: trustedProxies[1]: 0.0.0.0/0 is everybody: name the proxies',
      ],
    ],
    [
      'a zone with neither file nor keys, and a record that does not parse',
      [
        ['    records:\n', '    records:\n      - { name: www2, type: A, data: 192.0.2 }\n'],
        ['services:', '  docs.example: {}\nservices:'],
      ],
      [
        'ufes.yaml:17:9: zones.shop.example.records[0]: "192.0.2" is no IPv4 address; A data is written 192.0.2.1',
        'ufes.yaml:19:3: zones.docs.example: a zone needs "file", or "soa" and "ns"; "soa" and "ns" missing',
      ],
    ],
    [
      'a probe zone that is not ours',
      [['kubernetes:', 'probes: { zone: probe.example }\nkubernetes:']],
      [
        'ufes.yaml:23:17: probes.zone: "probe.example" is not at or below one of our zones; did you mean "shop.example."?',
      ],
    ],
    [
      'an Ingress PoP without a pool',
      [
        ['    pool: 198.51.100.16/28\n', ''],
        ['  status: status', '  status: objects/status\n  pops: [iad]'],
      ],
      [
        'ufes.yaml:24:11: kubernetes.status: must lie outside the folder of objects',
        'ufes.yaml:25:10: kubernetes.pops[0]: PoP "iad" has no "pool" (ufes.yaml:6:3)',
      ],
    ],
  ];
  it.each(cases)('%s', async (_, changes, expected) => {
    expect(await problemsOf(changed(...changes))).toEqual(expected);
  });

  it('YAML errors, duplicate keys and tabs', async () => {
    expect(await problemsOf('pops:\n  lon: [1, 2\n')).toEqual([
      expect.stringMatching(/^ufes\.yaml:\d+:\d+: YAML: .*\]/),
    ]);
    expect(await problemsOf(changed(['  iad:', '  lon:']))).toContain(
      'ufes.yaml:6:3: this key stands here twice; each key of a map is written once',
    );
    expect((await problemsOf('pops:\n\tlon: 1\n'))[0]).toMatch(/^ufes\.yaml:2:1: .*tab/);
    expect(await problemsOf(`${good}---\n${good}`)).toEqual([expect.stringMatching(/a second document begins here/)]);
  });

  it('aliases that multiply are refused, ordinary ones work', async () => {
    const bomb = ['a: &a [1,1,1,1,1,1,1,1,1]'];
    for (let i = 0; i < 8; i++)
      bomb.push(`${'bcdefghi'[i]}: &${'bcdefghi'[i]} [${Array(9).fill(`*${'abcdefgh'[i]}`)}]`);
    expect((await problemsOf(bomb.join('\n')))[0]).toMatch(/alias/i);
    expect(await problemsOf(changed(['[51.5, -0.1]', '&at [51.5, -0.1]'], ['[38.9, -77.4]', '*at']))).toEqual([]);
  });

  it('a master file, at its own line', async () => {
    const zone = ['$TTL 300', '@ SOA ns1 host 1 2 3 4 5', '@ NS ns1', 'ns1 A 192.0.2.300', 'mail QQ x', ''];
    const text = good.replace(/soa:.*\n.*\n.*\n.*\n/, 'file: shop.zone\n');
    const problems = await problemsOf(text, { 'shop.zone': zone.join('\n') });
    expect(problems.map((line) => line.split(':').slice(0, 3).join(':'))).toEqual(['shop.zone:4:1', 'shop.zone:5:1']);
    expect(problems[0]).toContain('"192.0.2.300"');
    expect(await problemsOf(text, { 'shop.zone': zone.slice(0, 2).join('\n') })).toEqual([
      expect.stringMatching(/^shop\.zone:1:1: zones\.shop\.example: .*NS/),
    ]);
    await rm(join(folder, 'shop.zone'));
    expect((await problemsOf(text))[0]).toContain('zones.shop.example.file: shop.zone cannot be read: no such file');
  });

  it('a certificate without its key, and with another one’s', async () => {
    const ca = await ensureInternalCa(folder);
    const [right, wrong] = [await ca.issue(['www.shop.example']), await ca.issue(['www.shop.example'])];
    const text = changed(['origin: eu', 'origin: eu\n    tls: { certificate: a.crt, key: a.key }']);
    expect(await problemsOf(text, { 'a.crt': right.certificate })).toEqual([
      'ufes.yaml:23:37: services.shop.tls.key: a.key cannot be read: no such file',
    ]);
    expect(await problemsOf(text, { 'a.key': wrong.key })).toEqual([
      expect.stringMatching(
        /^ufes\.yaml:23:37: services\.shop\.tls\.key: a\.key: this is not the key of the certificate/,
      ),
    ]);
    expect(await problemsOf(text, { 'a.key': right.key })).toEqual([]);
    const other = await ca.issue(['account.shop.example']);
    expect((await problemsOf(text, { 'a.crt': other.certificate, 'a.key': other.key }))[0]).toContain(
      'it does not cover www.shop.example, only account.shop.example',
    );
  });

  it('what cannot be read at all', async () => {
    const read = async (path: string) => {
      const result = await readConfig(path);
      return result.ok ? '' : formatProblems(result.problems);
    };
    expect(await read('nowhere.yaml')).toBe('nowhere.yaml:1:1: cannot be read: no such file');
    await writeFile(join(folder, 'big.yaml'), '#'.repeat(limits.config.fileBytes + 1));
    expect(await read(join(folder, 'big.yaml'))).toMatch(/bytes, at most 4194304 are read/);
    await writeFile(join(folder, 'binary.yaml'), Uint8Array.of(0xff, 0xfe, 0));
    expect(await read(join(folder, 'binary.yaml'))).toMatch(/not UTF-8/);
    await mkdir(join(folder, 'empty'));
    expect(await read(join(folder, 'empty'))).toMatch(/no \*\.yaml file/);
    expect((await problemsOf(''))[0]).toBe('ufes.yaml:1:1: "pops" is missing');
  });
});

describe('a folder', () => {
  it('is one configuration; the same key in two files names both places', async () => {
    const conf = join(folder, 'conf');
    await mkdir(conf);
    const [pops, rest] = [good.slice(0, good.indexOf('  iad:')), good.slice(good.indexOf('origins:'))];
    await writeFile(join(conf, '10-pops.yaml'), pops);
    await writeFile(
      join(conf, '20-iad.yaml'),
      `pops:\n${good.slice(good.indexOf('  iad:'), good.indexOf('origins:'))}`,
    );
    await writeFile(join(conf, '30-rest.yaml'), rest);
    const { config, folder: base, files } = await loadConfig(conf);
    expect(Object.keys(config.pops)).toEqual(['lon', 'iad']);
    expect([base, files.length]).toEqual([conf, 3]);
    await writeFile(
      join(conf, '40-more.yaml'),
      'kubernetes: { objects: a, status: b }\npops:\n  iad: { location: [1, 2] }\n',
    );
    const result = await readConfig(conf);
    expect(result.ok ? [] : formatProblems(result.problems).replaceAll(`${conf}/`, '').split('\n')).toEqual([
      '40-more.yaml:1:1: kubernetes: already stands at 30-rest.yaml:14:1',
      '40-more.yaml:3:3: pops.iad: already stands at 20-iad.yaml:2:3',
    ]);
  });
});

describe('hostile input', () => {
  it('never rejects, whatever the file holds', async () => {
    const lines = good.split('\n');
    const junk = fc.constantFrom(
      'x',
      '-1',
      '[',
      '{}',
      ':',
      '"',
      '&a',
      '*a',
      '__proto__: {a: 1}',
      '\t',
      '!!js x',
      '? [a]',
      'null',
      '~',
    );
    await fc.assert(
      fc.asyncProperty(
        fc.nat(lines.length - 1),
        fc.nat(30),
        fc.array(junk, { maxLength: 3 }),
        async (line, at, parts) => {
          const text = lines.map((one, i) =>
            i === line ? one.slice(0, at) + parts.join(' ') + one.slice(at + 2) : one,
          );
          await writeFile(join(folder, 'fuzz.yaml'), text.join('\n'));
          const result = await readConfig(join(folder, 'fuzz.yaml'));
          if (result.ok) return;
          expect(result.problems.length).toBeGreaterThan(0);
          for (const { line: at, column } of result.problems) expect(at >= 1 && column >= 1).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('docs', () => {
  it('has a schema that says what check says of a typo', async () => {
    const example = await readFile(join(import.meta.dirname, '../../docs/ufes.example.yaml'), 'utf8');
    await cp(join(import.meta.dirname, '../../docs/zones'), join(folder, 'zones'), { recursive: true });
    const problems = await problemsOf(example.replace('sampleShare:', 'sampelShare:'));
    expect(problems).toEqual([
      expect.stringMatching(/probes\.sampelShare: unknown key; did you mean "sampleShare"\?$/),
    ]);
  });
});
