import { execFileSync } from 'node:child_process';
import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { limits } from '@ufes/core/limits.ts';
import { systemClock } from '@ufes/io/clock.ts';
import { silentLog } from '@ufes/io/log.ts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ingressText, serviceText } from './controller.fixture.ts';
import { createDirectorySource } from './directory-source.ts';
import type { ObjectSource } from './objects.ts';

let folder: string;
let source: ObjectSource;
let changes = 0;
let warnings: string[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ufes-objects-'));
  changes = 0;
  warnings = [];
  source = createDirectorySource({
    folder,
    clock: systemClock,
    log: { ...silentLog, warn: (_, text) => void warnings.push(text) },
    onChange: () => void changes++,
  });
  await source.start();
});
afterEach(async () => {
  await source.stop();
  await rm(folder, { recursive: true, force: true });
});

const write = (name: string, text: string) => writeFile(join(folder, name), text);
const eventually = (check: () => void) => vi.waitFor(check, { timeout: 5_000, interval: 10 });
const keys = () => [...source.current().Ingress.keys()];

describe('a folder of objects', () => {
  it('is read at start, and each change of it within moments', async () => {
    expect([source.current().isComplete, keys()]).toEqual([true, []]);
    await write('a.yaml', `${ingressText()}---\n${serviceText}`);
    await eventually(() => expect(keys()).toEqual(['shop/web']));
    expect([...source.current().EndpointSlice.keys()]).toEqual(['shop/web-1']);
    await write('b.json', JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'x' }, data: null }));
    await eventually(() => expect([...source.current().Secret.keys()]).toEqual(['default/x']));
    await rm(join(folder, 'a.yaml'));
    await eventually(() => expect(keys()).toEqual([]));
    expect(changes).toBeGreaterThanOrEqual(3);
  });

  it('takes a List, passes over other kinds and files, and says what is nearly ours', async () => {
    const list = {
      apiVersion: 'v1',
      kind: 'List',
      items: [{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'a' }, spec: {} }],
    };
    await write('.hidden.yaml', 'x: [');
    await write('notes.txt', 'x: [');
    const other = 'apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: x }\n---\nkind: Ingres\n---\n{}\n---\n';
    const old = ingressText({ name: 'old' }).replace('networking.k8s.io/v1', 'extensions/v1beta1');
    await write('list.yaml', `${other}${JSON.stringify(list)}\n---\n${old}`);
    await eventually(() => expect([...source.current().Service.keys()]).toEqual(['default/a']));
    expect(source.current().problems.map(({ line, key, message }) => [line, key, message])).toEqual([
      [5, undefined, 'kind Ingres is not read; did you mean "Ingress"?'],
      [7, undefined, 'a document has apiVersion, kind and metadata; this one has no kind'],
      [11, 'shop/old', 'apiVersion: Ingress is read as networking.k8s.io/v1, found extensions/v1beta1'],
    ]);
  });

  it('keeps the last good version of what is wrong just now, and everything else goes on', async () => {
    await write('a.yaml', ingressText());
    await write('b.yaml', ingressText({ name: 'b' }));
    await eventually(() => expect(keys()).toEqual(['shop/web', 'shop/b']));
    await write('a.yaml', 'kind: Ingress\nmetadata: [\n');
    await write('b.yaml', ingressText({ name: 'b' }).replace('host:', 'hots: 1\n      host:').replace('Prefix', 'P'));
    await write('c.yaml', ingressText({ name: 'c' }));
    await eventually(() => {
      expect(keys().sort()).toEqual(['shop/b', 'shop/c', 'shop/web']);
      expect([...source.current().unreadable]).toEqual(['a.yaml']);
      expect(source.current().problems.map(({ source: file, key }) => [file, key])).toEqual([
        ['a.yaml', undefined],
        ['b.yaml', 'shop/b'],
      ]);
    });
    await write('a.yaml', '');
    await rm(join(folder, 'b.yaml'));
    await eventually(() => expect(keys()).toEqual(['shop/c']));
    expect(source.current().problems).toEqual([]);
  });

  it('reports the second of two documents with one name; the first counts', async () => {
    await write('a.yaml', ingressText());
    await write('b.yaml', ingressText({ host: 'b.shop.example' }));
    await eventually(() =>
      expect(source.current().problems[0]?.message).toBe('Ingress shop/web stands in a.yaml already; that one counts'),
    );
    expect(source.current().Ingress.get('shop/web')!.object.spec.rules![0]!.host).toBe('app.shop.example');
  });

  it('refuses a file that is too large, and bombs of aliases', async () => {
    await write('big.yaml', `# ${'x'.repeat(limits.controller.objectBytes)}`);
    const bomb = ['a: &a [1,1,1,1,1,1,1,1,1]'];
    for (let i = 0; i < 8; i++)
      bomb.push(`${'bcdefghi'[i]}: &${'bcdefghi'[i]} [${Array(9).fill(`*${'abcdefgh'[i]}`)}]`);
    await write('bomb.yaml', bomb.join('\n'));
    await eventually(() =>
      expect(source.current().problems.map(({ source: file, message }) => [file, message])).toEqual([
        ['big.yaml', expect.stringMatching(/bytes, at most 1048576/)],
        ['bomb.yaml', expect.stringMatching(/alias/i)],
      ]),
    );
  });

  it('goes on beside pipes and devices, which have no end', async () => {
    execFileSync('mkfifo', [join(folder, 'a.yaml')]);
    await symlink('/dev/zero', join(folder, 'b.yaml'));
    await write('c.yaml', ingressText());
    await eventually(() => expect(keys()).toEqual(['shop/web']));
    expect(source.current().problems.map(({ source: file, message }) => [file, message])).toEqual([
      ['a.yaml', expect.stringMatching('no regular file')],
      ['b.yaml', expect.stringMatching('no regular file')],
    ]);
  });

  it('that vanishes tells nothing: its objects stay', async () => {
    await write('a.yaml', ingressText());
    await eventually(() => expect(keys()).toEqual(['shop/web']));
    const before = changes;
    await rename(folder, `${folder}-away`);
    await eventually(() => expect(warnings.at(-1)).toMatch(/folder of objects cannot be read/));
    expect([keys(), changes]).toEqual([['shop/web'], before]);
    await rename(`${folder}-away`, folder);
    await write('c.yaml', ingressText({ name: 'c' }));
    await eventually(() => expect(keys()).toEqual(['shop/web', 'shop/c']));
  });
});
