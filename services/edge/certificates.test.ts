import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { OperatingError } from '@ufes/core/errors.ts';
import type { SecretStore } from '@ufes/core/ports.ts';
import { ensureInternalCa, type InternalCa } from '@ufes/io/internal-ca.ts';
import { type TestContext, testContext } from '@ufes/io/testing.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createCertificateKeeper } from './certificates.ts';

let context: TestContext;
let ca: InternalCa;
beforeEach(async () => {
  context = await testContext({ node: 'edge-lon' });
  ca = await ensureInternalCa(context.state);
});
afterEach(() => context.dispose());

const wanted = new Map([
  ['certificate/a.example', 'a.example'],
  ['certificate/b.example', 'b.example'],
]);

async function put(name: string, value: unknown): Promise<void> {
  await context.store.secrets.put(`certificate/${name}`, Buffer.from(JSON.stringify(value)));
}

describe('certificates of a node', () => {
  it('are those in the store; a bad one is told by host and the last good one stays', async () => {
    const keeper = createCertificateKeeper(context);
    await put('a.example', await ca.issue(['a.example']));
    await put('b.example', await ca.issue(['b.example']));
    expect(await keeper.refresh(wanted, 'new')).toBe(true);
    expect([...keeper.pairs().keys()]).toEqual([...wanted.keys()]);
    const good = keeper.pairs().get('certificate/a.example')!;
    const { certificate } = await ca.issue(['a.example']);
    const { key } = await ca.issue(['a.example']);
    const cases: [unknown, RegExp][] = [
      [{ certificate }, /^a\.example: the secret has no key/],
      [{ certificate, key }, /^a\.example: this is not the key of the certificate/],
      [{ certificate: 'x', key }, /^a\.example: no certificate/],
      [{ certificate, key: 'x' }, /^a\.example: no private key/],
      [await ca.issue(['c.example']), /^a\.example: it does not cover a\.example, only c\.example/],
      ['text', /^a\.example: the secret has no certificate/],
    ];
    for (const [value, message] of cases) {
      await put('a.example', value);
      expect(await keeper.refresh(wanted, 'all')).toBe(false);
      expect(keeper.problems().get('a.example')).toMatch(message);
      expect(keeper.problems().get('a.example')).toContain('the last good certificate is served');
      expect(keeper.pairs().get('certificate/a.example')).toBe(good);
    }
    expect([...keeper.problems().keys()]).toEqual(['a.example']);
    await put('a.example', await ca.issue(['a.example']));
    expect(await keeper.refresh(wanted, 'all')).toBe(true);
    expect(keeper.problems().size).toBe(0);
    expect(keeper.pairs().get('certificate/a.example')!.fingerprint).not.toBe(good.fingerprint);
  });

  it('one that is missing is told, and found when it comes', async () => {
    const keeper = createCertificateKeeper(context);
    await keeper.refresh(wanted, 'new');
    expect(keeper.problems().get('b.example')).toMatch(/no secret certificate\/b\.example; the default certificate/);
    await put('b.example', await ca.issue(['b.example']));
    expect(await keeper.refresh(wanted, 'new')).toBe(true);
    expect(keeper.problems().has('b.example')).toBe(false);
  });

  it('are looked up one call after the other: none loses or hides what another found', async () => {
    const errors: string[] = [];
    const log = { ...context.log, error: (_fields: object, message: string) => void errors.push(message) };
    let busy = 0;
    let most = 0;
    const get = async (name: string): Promise<Uint8Array | undefined> => {
      most = Math.max(most, ++busy);
      const bytes = await context.store.secrets.get(name);
      busy--;
      return bytes;
    };
    const secrets: SecretStore = { ...context.store.secrets, get };
    const keeper = createCertificateKeeper({ ...context, log, store: { ...context.store, secrets } });
    await put('a.example', await ca.issue(['a.example']));
    await put('b.example', await ca.issue(['b.example']));
    const only = new Map([...wanted].slice(0, 1));
    const changed = await Promise.all([
      keeper.refresh(only, 'all'),
      keeper.refresh(wanted, 'new'),
      keeper.refresh(wanted, 'all'),
      keeper.refresh(wanted, 'new'),
    ]);
    expect(changed).toEqual([true, true, false, false]);
    expect([...keeper.pairs().keys()]).toEqual([...wanted.keys()]);
    expect(most).toBe(2);
    expect(errors).toEqual([]);
    const after = createCertificateKeeper(context);
    await after.load();
    expect([...after.pairs().keys()]).toEqual([...wanted.keys()]);
  });

  it('are kept on the own disk, sealed and private, and served from there without the store', async () => {
    const before = createCertificateKeeper(context);
    const pair = await ca.issue(['a.example']);
    await put('a.example', pair);
    await before.refresh(wanted, 'new');
    const path = join(context.state, 'nodes', 'edge-lon', 'certificates');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await readFile(path)).includes('PRIVATE KEY')).toBe(false);
    const gone = () => Promise.reject(new OperatingError('STORE_UNAVAILABLE', 'gone'));
    const secrets: SecretStore = { put: gone, get: gone, list: gone, remove: gone };
    const after = createCertificateKeeper({ ...context, store: { ...context.store, secrets } });
    await after.load();
    expect(await after.refresh(wanted, 'all')).toBe(false);
    expect(after.pairs().get('certificate/a.example')).toMatchObject(pair);
  });
});
