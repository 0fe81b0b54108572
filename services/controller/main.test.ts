import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DesiredState, decodeDesired } from '@ufes/core/desired.ts';
import type { Component } from '@ufes/core/ports.ts';
import { type ArtefactFollower, followArtefact } from '@ufes/io/artefact.ts';
import { localBus } from '@ufes/io/bus.ts';
import { loadConfig } from '@ufes/io/config-file.ts';
import { closeContext, createContext } from '@ufes/io/context.ts';
import { silentLog } from '@ufes/io/log.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { configText, ingressText, serviceText } from './controller.fixture.ts';
import { main } from './main.ts';

let folder: string;
let contexts: ServiceContext[];
let parts: Component[];
let controller: ServiceContext;
let desired: DesiredState;
const bus = localBus();

/** A process of the tree. */
async function node(name: string): Promise<ServiceContext> {
  const configPath = join(folder, 'ufes.yaml');
  const { config } = await loadConfig(configPath);
  const context = createContext({
    ...{ config, configFolder: folder, configPath, state: join(folder, 'state'), node: name },
    ...{ logLevel: 'silent', log: silentLog, bus },
  });
  contexts.push(context);
  return context;
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ufes-controller-'));
  contexts = [];
  parts = [];
  await writeFile(join(folder, 'ufes.yaml'), configText);
  controller = await node('controller');
  parts.push(main(controller));
  for (const name of ['edge-lon', 'edge-iad', 'dns']) {
    const take = (payload: Uint8Array) => {
      if (name === 'dns') desired = decodeDesired(payload);
    };
    const follower: ArtefactFollower = followArtefact(await node(name), 'desired', take);
    parts.push(follower);
  }
  for (const part of parts) await part.start();
});
afterEach(async () => {
  for (const part of parts.toReversed()) await part.stop();
  for (const context of contexts) await closeContext(context);
  await rm(folder, { recursive: true });
});

const eventually = (check: () => void | Promise<void>) => vi.waitFor(check, { timeout: 5_000, interval: 10 });
const status = async (): Promise<string> => readFile(join(folder, 'status/shop-web.json'), 'utf8');

describe('controller', () => {
  it('publishes at start, with its certificates, and serves its state', async () => {
    await eventually(() => expect(desired.services.map(({ id }) => id)).toEqual(['shop']));
    expect(await controller.store.secrets.list('certificate/')).toEqual([
      'certificate/*.probe.shop.example',
      'certificate/www.shop.example',
    ]);
    const state = await controller.admin.inject('/state');
    expect(state.json()).toMatchObject({ desired: { serial: expect.any(Number) }, phases: [], problems: [] });
    expect(state.body).not.toContain('PRIVATE KEY');
    const metrics = await controller.registry.metrics();
    expect(metrics).toContain('ufes_config_reload_failed{service="controller"} 0');
  });

  it('has an Ingress in service within 2 s of its file, and says so', async () => {
    const startMs = performance.now();
    await writeFile(join(folder, 'objects/web.yaml'), `${ingressText()}---\n${serviceText}`);
    await eventually(() => {
      expect(desired.services.find(({ owner }) => owner === 'shop/web')).toMatchObject({ answered: true });
    });
    expect(performance.now() - startMs).toBeLessThan(2_000);
    await eventually(async () => {
      const { conditions, loadBalancer } = JSON.parse(await status()).status;
      expect(conditions.at(-1)).toMatchObject({ type: 'Programmed', status: 'True' });
      expect(loadBalancer.ingress).toHaveLength(2);
    });
    await rm(join(folder, 'objects/web.yaml'));
    await eventually(() => expect(desired.services.map(({ owner }) => owner)).toEqual(['config']));
    expect(desired.hosts.map(({ host }) => host)).toContain('app.shop.example');
    await eventually(() => expect(status()).rejects.toThrow(/ENOENT/));
  });

  it('takes a changed configuration, and keeps the one before when the new one is wrong', async () => {
    const path = join(folder, 'ufes.yaml');
    await writeFile(path, configText.replace('max: 30', 'max: 40'));
    await eventually(() => expect(desired.services[0]!.ttlSecondsMax).toBe(40));
    await writeFile(path, configText.replace('max: 30', 'max: 50, mox: 1'));
    const reloadFailed = async () =>
      /ufes_config_reload_failed\{.*\} (\d)/.exec(await controller.registry.metrics())?.[1];
    await eventually(async () => expect(await reloadFailed()).toBe('1'));
    expect(desired.services[0]!.ttlSecondsMax).toBe(40);
    await writeFile(path, configText.replace('max: 30', 'max: 50'));
    await eventually(() => expect(desired.services[0]!.ttlSecondsMax).toBe(50));
    expect(await reloadFailed()).toBe('0');
  });

  it('removes its status files, and no others, when the configuration has no objects any more', async () => {
    await writeFile(join(folder, 'objects/web.yaml'), `${ingressText()}---\n${serviceText}`);
    await eventually(async () => expect(await status()).toContain('Programmed'));
    await writeFile(join(folder, 'status/mine.json'), '{}');
    await writeFile(join(folder, 'ufes.yaml'), configText.replace(/^kubernetes.*\n/m, ''));
    await eventually(async () => expect(await readdir(join(folder, 'status'))).toEqual(['mine.json']));
    await writeFile(join(folder, 'ufes.yaml'), configText);
    await eventually(async () => expect(await status()).toContain('Programmed'));
  });
});
