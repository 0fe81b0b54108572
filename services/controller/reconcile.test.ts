import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { limits } from '@ufes/core/limits.ts';
import { ensureInternalCa } from '@ufes/io/internal-ca.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type Bench,
  bench,
  configFrom,
  configText,
  ingressText,
  objectsFrom,
  serviceText,
} from './controller.fixture.ts';
import { noObjects } from './objects.ts';

let at: Bench;
beforeEach(async () => {
  at = await bench({ objects: objectsFrom() });
});
afterEach(() => at.dispose());

const host = 'app.shop.example';
const service = async () => (await at.desired()).services.find(({ name }) => name === `${host}.`);
const route = async () => (await at.desired()).hosts.find((one) => one.host === host);
const vips = async () => (await at.desired()).vips.map(({ address }) => address);
const condition = (type: string) => at.status('web')?.status.conditions.find((one) => one.type === type);
const all = ['edge-lon', 'edge-iad', 'dns'];

async function create(): Promise<void> {
  at.objects = objectsFrom(ingressText(), serviceText);
  await at.settle();
}
async function createLive(): Promise<void> {
  await create();
  await at.applied(...all);
  await at.settle();
  await at.applied(...all);
  await at.settle();
  expect(condition('Programmed')?.status).toBe('True');
}
async function remove(): Promise<void> {
  at.objects = objectsFrom(serviceText);
  await at.settle();
}

describe('creation', () => {
  it('publishes VIP, certificate and route first, and answers once every PoP that is up has them', async () => {
    await create();
    expect(await service()).toMatchObject({ answered: false, owner: 'shop/web' });
    expect(await route()).toMatchObject({ secret: `certificate/${host}`, paths: [{ origin: 'shop/web:80' }] });
    expect(await vips()).toEqual(['192.0.2.17', '198.51.100.17']);
    expect(await at.context.store.secrets.get(`certificate/${host}`)).toBeDefined();
    expect(condition('Programmed')).toMatchObject({ status: 'False', reason: 'Pending' });

    await at.applied('edge-lon', 'dns');
    await at.settle();
    expect(await service()).toMatchObject({ answered: false });

    await at.applied('edge-iad');
    await at.settle();
    expect(await service()).toMatchObject({
      answered: true,
      candidates: [
        { pop: 0, v4: '192.0.2.17' },
        { pop: 1, v4: '198.51.100.17' },
      ],
    });
    // The record is in place when dns has it; only then the status says so.
    expect(condition('Programmed')?.status).toBe('False');
    await at.applied('dns');
    await at.settle();
    expect(condition('Programmed')).toMatchObject({ status: 'True' });
    expect(at.status('web')!.status.loadBalancer.ingress).toEqual([{ ip: '192.0.2.17' }, { ip: '198.51.100.17' }]);
  });

  it('does not wait for a PoP that is down; it joins when it has the route', async () => {
    const atMs = at.clock.nowMs();
    const votes = ['probe', 'dns', 'edge-lon'].flatMap((vantage) => [
      { key: `vote/${vantage}/iad`, value: { state: 'down', holdMs: 500, sinceMs: 0, atMs }, ttlMs: 3_600_000 },
      { key: `vote/${vantage}/lon`, value: { state: 'up', holdMs: 500, sinceMs: 0, atMs }, ttlMs: 3_600_000 },
    ]);
    await at.context.store.live.put(votes);
    await create();
    await at.applied('edge-lon', 'dns');
    await at.settle();
    expect(await service()).toMatchObject({ answered: true, candidates: [{ pop: 0 }] });
    await at.applied(...all);
    await at.settle();
    expect((await service())!.candidates.map(({ pop }) => pop)).toEqual([0, 1]);
  });

  it('waits at most 5 s for a PoP that says nothing, and for ever while none has the route', async () => {
    await create();
    at.clock.advance(limits.controller.appliedMs + 1);
    await at.settle();
    expect(await service()).toMatchObject({ answered: false });
    await at.applied('edge-iad');
    await at.settle();
    expect(await service()).toMatchObject({ answered: true, candidates: [{ pop: 1 }] });
  });

  it('answers names of the configuration at once', async () => {
    expect((await at.desired()).services).toMatchObject([{ id: 'shop', answered: true }]);
  });
});

describe('deletion', () => {
  it('takes the record first, the route after the TTL, and the VIP into quarantine', async () => {
    await createLive();
    await remove();
    expect([await service(), (await route())?.host, (await vips()).length]).toEqual([undefined, host, 2]);
    expect(at.status('web')).toBeUndefined();

    // The TTL counts from when dns has let go of the record.
    at.clock.advance(2_000);
    await at.applied('dns');
    await at.settle();
    at.clock.advance(19_999);
    await at.settle();
    expect(await route()).toBeDefined();
    at.clock.advance(1);
    await at.settle();
    expect([await route(), await vips()]).toEqual([undefined, []]);
    expect(await at.context.store.secrets.get(`certificate/${host}`)).toBeUndefined();

    // In quarantine: another host gets other addresses, until the time is over.
    await createLive();
    expect(await vips()).toEqual(['192.0.2.18', '198.51.100.18']);
  });

  it('a VIP is free again after the quarantine', async () => {
    await createLive();
    await remove();
    at.clock.advance(limits.controller.appliedMs);
    await at.settle();
    at.clock.advance(20_000);
    await at.settle();
    at.clock.advance(limits.controller.quarantineMs);
    await create();
    expect(await vips()).toEqual(['192.0.2.17', '198.51.100.17']);
  });

  it('one that comes back keeps its VIP, and is answered by PoPs that still have its route', async () => {
    await createLive();
    await remove();
    await create();
    expect(await service()).toMatchObject({ answered: true });
    expect(await vips()).toEqual(['192.0.2.17', '198.51.100.17']);
  });

  it('of one host leaves the others, and their VIP, alone', async () => {
    const both = [ingressText(), ingressText({ name: 'b', host: 'b.shop.example' }), serviceText];
    at.objects = objectsFrom(...both);
    await at.settle();
    for (let i = 0; i < 2; i++) {
      await at.applied(...all);
      await at.settle();
    }
    at.objects = objectsFrom(...both.slice(1));
    at.clock.advance(1);
    await at.settle();
    at.clock.advance(limits.controller.appliedMs);
    await at.settle();
    at.clock.advance(60_000);
    await at.settle();
    expect((await at.desired()).hosts.map((one) => one.host)).toEqual(['www.shop.example', 'b.shop.example']);
    expect(await vips()).toEqual(['192.0.2.17', '198.51.100.17']);
  });
});

describe('a restart', () => {
  it('changes nothing that is in service, and publishes nothing', async () => {
    await createLive();
    const before = await at.desired();
    at = await at.restart();
    await at.settle();
    expect(await at.desired()).toEqual(before);
    expect(condition('Programmed')?.status).toBe('True');
  });

  it('in the middle of a creation or deletion goes on from there', async () => {
    await create();
    at = await at.restart();
    await at.applied(...all);
    await at.settle();
    expect(await service()).toMatchObject({ answered: true });
    await at.applied(...all);
    await remove();
    at.clock.advance(limits.controller.appliedMs);
    at = await at.restart();
    at.clock.advance(1);
    await at.settle();
    expect([await service(), (await route())?.host]).toEqual([undefined, host]);
    at.clock.advance(20_000);
    at = await at.restart();
    expect([await route(), await vips()]).toEqual([undefined, []]);
  });

  it('before objects have been read, or with their file broken, removes nothing', async () => {
    await createLive();
    at.objects = noObjects;
    at = await at.restart();
    await at.settle();
    expect(await service()).toMatchObject({ answered: true });
    at.objects = { ...objectsFrom(), unreadable: new Set(['objects.yaml']) };
    await at.settle();
    expect(await service()).toMatchObject({ answered: true });
    at.objects = objectsFrom();
    await at.settle();
    expect(await service()).toBeUndefined();
  });

  it('keeps a host with the Ingress that had it first, when nobody says when they were made', async () => {
    await createLive();
    at = await at.restart();
    at.clock.advance(10);
    at.objects = objectsFrom(ingressText({ name: 'aaa' }), ingressText(), serviceText);
    await at.settle();
    expect(await route()).toMatchObject({ owner: 'shop/web' });
    expect(at.status('aaa')!.status.conditions[0]).toMatchObject({
      type: 'Accepted',
      status: 'False',
      reason: 'HostConflict',
    });
  });

  it('keeps SOA serials rising, when the clock does not', async () => {
    const serial = async () => {
      const soa = (await at.desired()).zones[0]!.records.find(({ type }) => type === 'SOA')!;
      return Number(soa.data.split(' ')[2]);
    };
    const first = await serial();
    expect(first).toBe(Math.floor(at.clock.nowMs() / 1_000));
    await create();
    expect(await serial()).toBe(first + 1);
    at = await at.restart();
    await remove();
    expect(await serial()).toBeGreaterThan(first + 1);
  });
});

describe('publishing', () => {
  it('happens when content changed, and when the store has lost it', async () => {
    const first = (await at.desired()).version;
    await at.settle();
    at.clock.advance(60_000);
    await at.settle();
    expect((await at.desired()).version).toEqual(first);
    await at.context.store.artefacts.prune('desired', 0);
    await at.settle();
    expect((await at.desired()).version.ms).toBeGreaterThan(first.ms);
  });

  it('follows the configuration', async () => {
    const folder = join(at.context.state, '..');
    at.loaded = await configFrom(folder, configText.replace('max: 30', 'max: 40'));
    await at.settle();
    expect((await at.desired()).services[0]!.ttlSecondsMax).toBe(40);
  });

  it('a host that the configuration takes is no longer the Ingress’s', async () => {
    await createLive();
    const folder = join(at.context.state, '..');
    const more = `  app: { name: ${host}, pops: [lon, iad], origin: eu }\n`;
    at.loaded = await configFrom(folder, configText.replace('probes:', `${more}probes:`));
    await at.settle();
    expect((await at.desired()).hosts.filter((one) => one.host === host)).toMatchObject([{ owner: 'config' }]);
    expect((await at.desired()).services.filter(({ name }) => name === `${host}.`)).toMatchObject([
      { owner: 'config' },
    ]);
  });
});

describe('certificates', () => {
  const leaf = async (name: string) => {
    const bytes = await at.context.store.secrets.get(`certificate/${name}`);
    return new X509Certificate((JSON.parse(Buffer.from(bytes!).toString()) as { certificate: string }).certificate);
  };

  it('are issued for services, hosts and probe names, and renewed when a third of their life is left', async () => {
    await create();
    const before = await leaf('www.shop.example');
    expect((await leaf('*.probe.shop.example')).subjectAltName).toBe('DNS:*.probe.shop.example');
    expect((await leaf(host)).verify(new X509Certificate(at.ca.certificatePem).publicKey)).toBe(true);
    at.clock.advance(59 * 86_400_000);
    await at.settle();
    expect((await leaf('www.shop.example')).fingerprint256).toBe(before.fingerprint256);
    at.clock.advance(2 * 86_400_000);
    await at.settle();
    const after = await leaf('www.shop.example');
    expect(after.fingerprint256).not.toBe(before.fingerprint256);
    expect(after.validToDate.getTime() - at.clock.nowMs()).toBeCloseTo(90 * 86_400_000, -4);
  });

  it('a Secret that becomes wrong leaves the good certificate in service', async () => {
    const foreign = await ensureInternalCa(join(at.context.state, 'elsewhere'));
    const given = await foreign.issue([host]);
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    const secret = (key: string) => `apiVersion: v1
kind: Secret
metadata: { namespace: shop, name: tls }
data: { tls.crt: ${base64(given.certificate)}, tls.key: ${base64(key)} }`;
    const ingress = ingressText({ more: '  tls: [{ secretName: tls }]' });
    at.objects = objectsFrom(ingress, serviceText, secret(given.key));
    await at.settle();
    const good = new X509Certificate(given.certificate).fingerprint256;
    expect((await leaf(host)).fingerprint256).toBe(good);
    at.objects = objectsFrom(ingress, serviceText, secret('x'));
    await at.settle();
    expect((await leaf(host)).fingerprint256).toBe(good);
    expect(condition('ResolvedRefs')).toMatchObject({ status: 'False', reason: 'CertificateInvalid' });
    at.objects = objectsFrom(ingressText(), serviceText);
    await at.settle();
    expect((await leaf(host)).fingerprint256).not.toBe(good);
  });
});

describe('pools', () => {
  it('exhausted: said on the object, and served when an address is free again', async () => {
    const folder = join(at.context.state, '..');
    at.loaded = await configFrom(
      folder,
      configText.replace('192.0.2.16/28', '192.0.2.16/32').replace('198.51.100.16/28', '198.51.100.16/32'),
    );
    await createLive();
    const second = ingressText({ name: 'b', host: 'b.shop.example', className: 'second' });
    const ingressClass = `apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: { name: second }
spec: { controller: ufes.dev/ingress-controller }`;
    at.objects = objectsFrom(ingressText(), second, ingressClass, serviceText);
    await at.settle();
    expect(at.status('b')!.status.conditions.at(-1)).toMatchObject({
      status: 'False',
      reason: 'PoolExhausted',
      message: expect.stringContaining('no address is left in 192.0.2.16/32, the pool of PoP lon'),
    });
    expect(await vips()).toEqual(['192.0.2.16', '198.51.100.16']);

    at.objects = objectsFrom(second, ingressClass, serviceText);
    await at.settle();
    for (const ms of [limits.controller.appliedMs, 20_000, limits.controller.quarantineMs]) {
      at.clock.advance(ms);
      await at.settle();
    }
    expect(await vips()).toEqual(['192.0.2.16', '198.51.100.16']);
    expect(at.status('b')!.status.conditions.at(-1)).toMatchObject({ reason: 'Pending' });
  });
});

describe('without the store', () => {
  it('says so, and goes on when it is back', async () => {
    const { store } = at.context;
    const put = store.artefacts.put.bind(store.artefacts);
    let isGone = true;
    Object.assign(store.artefacts, {
      put: (...args: Parameters<typeof put>) => (isGone ? Promise.reject(new Error('gone')) : put(...args)),
    });
    await create();
    expect(await service()).toBeUndefined();
    isGone = false;
    at.clock.advance(limits.controller.retryMs);
    await at.settle();
    expect(await service()).toMatchObject({ answered: false });
  });
});

describe('status files', () => {
  it('have the form of the object’s status', async () => {
    await createLive();
    const path = join(at.context.state, '../status/shop-web.json');
    const status = JSON.parse(await readFile(path, 'utf8'));
    expect(status).toMatchObject({
      ...{ apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', metadata: { namespace: 'shop', name: 'web' } },
      status: {
        loadBalancer: { ingress: [{ ip: '192.0.2.17' }, { ip: '198.51.100.17' }] },
        conditions: [
          { type: 'Accepted', status: 'True', reason: 'Accepted' },
          { type: 'ResolvedRefs', status: 'True', reason: 'ResolvedRefs' },
          {
            type: 'Programmed',
            status: 'True',
            reason: 'Programmed',
            lastTransitionTime: new Date(at.clock.nowMs()).toISOString(),
          },
        ],
      },
      hosts: [{ host, state: 'live', addresses: ['192.0.2.17', '198.51.100.17'] }],
    });
    await remove();
    await expect(readFile(path)).rejects.toThrow(/ENOENT/);
  });

  it('of two that would share a name are kept apart', async () => {
    const second = ingressText({ name: 'b-c', host: 'x.shop.example' }).replace('namespace: shop', 'namespace: a');
    const third = ingressText({ name: 'c', host: 'y.shop.example' }).replace('namespace: shop', 'namespace: a-b');
    at.objects = objectsFrom(second, third);
    await at.settle();
    const names = await Promise.all(
      ['a-b-c.json', 'a_b-c.json'].map(async (file) => {
        const { metadata } = JSON.parse(await readFile(join(at.context.state, '../status', file), 'utf8'));
        return `${metadata.namespace}/${metadata.name}`;
      }),
    );
    expect(names.sort()).toEqual(['a-b/c', 'a/b-c']);
  });
});
