import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { certificateProblem } from './certificate.ts';
import { ensureInternalCa } from './internal-ca.ts';
import { onPath } from './testing.ts';

const run = promisify(execFile);
let state: string;
beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), 'ufes-ca-'));
});
afterEach(() => rm(state, { recursive: true }));

describe('the internal CA', () => {
  it('is made once, with a key nobody else can read, and kept', async () => {
    const first = await ensureInternalCa(state);
    const again = await ensureInternalCa(state);
    expect(again.certificatePem).toBe(first.certificatePem);
    expect((await stat(join(state, 'tls/ca.key'))).mode & 0o777).toBe(0o600);
    expect(await readFile(join(state, 'tls/ca.crt'), 'utf8')).toBe(first.certificatePem);
    expect((await readdir(join(state, 'tls'))).sort()).toEqual(['ca.crt', 'ca.key']);
  });

  it('is one CA when several processes start at once', async () => {
    const script = `import { ensureInternalCa } from ${JSON.stringify(join(import.meta.dirname, 'internal-ca.ts'))};
      const ca = await ensureInternalCa(process.argv[1]);
      process.stdout.write(JSON.stringify([ca.certificatePem, (await ca.issue(['a.example'])).certificate]));`;
    const outputs = await Promise.all(
      [1, 2, 3].map(() => run(process.execPath, ['--input-type=module', '-e', script, state])),
    );
    const pairs = outputs.map(({ stdout }) => JSON.parse(stdout) as [string, string]);
    expect(new Set(pairs.map(([ca]) => ca)).size).toBe(1);
    const ca = new X509Certificate(pairs[0]![0]);
    for (const [, leaf] of pairs) expect(new X509Certificate(leaf).verify(ca.publicKey)).toBe(true);
  });

  it.runIf(onPath('openssl'))('issues what openssl accepts for each kind of name, and for no other', async () => {
    const ca = await ensureInternalCa(state);
    const pair = await ca.issue(['www.shop.example', '*.probe.example', '127.0.0.1', '2001:db8::1']);
    const leaf = join(state, 'leaf.pem');
    await writeFile(leaf, pair.certificate);
    const verify = (...args: string[]) =>
      run('openssl', [
        'verify',
        '-x509_strict',
        '-purpose',
        'sslserver',
        '-CAfile',
        join(state, 'tls/ca.crt'),
        ...args,
        leaf,
      ]);
    await verify('-verify_hostname', 'www.shop.example');
    await verify('-verify_hostname', 'a-lon.probe.example');
    await verify('-verify_ip', '127.0.0.1');
    await verify('-verify_ip', '2001:db8::1');
    await expect(verify('-verify_hostname', 'shop.example')).rejects.toThrow();
    const { stdout } = await run('openssl', ['x509', '-in', leaf, '-noout', '-text']);
    for (const part of ['prime256v1', 'TLS Web Server Authentication', 'Authority Key Identifier', 'CA:FALSE']) {
      expect(stdout).toContain(part);
    }
    expect(certificateProblem(pair, 'www.shop.example')).toBeUndefined();
    expect(certificateProblem(pair, '*.probe.example')).toBeUndefined();
  });

  it.runIf(onPath('curl'))('serves TLS that curl trusts by the CA file', async () => {
    const ca = await ensureInternalCa(state);
    const pair = await ca.issue(['www.shop.example']);
    const server = createServer({ cert: pair.certificate, key: pair.key }, (_, response) => response.end('ok'));
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const { port } = server.address() as AddressInfo;
    const { stdout } = await run('curl', [
      ...['-sS', '--max-time', '5', '--cacert', join(state, 'tls/ca.crt')],
      ...['--connect-to', `www.shop.example:443:127.0.0.1:${port}`, 'https://www.shop.example/'],
    ]);
    server.close();
    expect(stdout).toBe('ok');
  });

  it('lets no leaf outlive it', async () => {
    const ca = await ensureInternalCa(state);
    const { certificate } = await ca.issue(['a.example'], 100_000);
    const end = (pem: string) => Date.parse(new X509Certificate(pem).validTo);
    expect(end(certificate)).toBe(end(ca.certificatePem));
    const usual = end((await ca.issue(['a.example'])).certificate) - Date.now();
    expect(Math.round(usual / 86_400_000)).toBe(90);
  });

  it('refuses a damaged key, and a key of another CA', async () => {
    await ensureInternalCa(state);
    const other = await mkdtemp(join(tmpdir(), 'ufes-ca-'));
    await ensureInternalCa(other);
    await writeFile(join(state, 'tls/ca.key'), await readFile(join(other, 'tls/ca.key')));
    await rm(other, { recursive: true });
    await expect(ensureInternalCa(state)).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' });
    await writeFile(join(state, 'tls/ca.key'), 'not a key');
    await expect(ensureInternalCa(state)).rejects.toThrow(/no P-256 key/);
  });
});

describe('certificateProblem', () => {
  it('names what is wrong with a pair', async () => {
    const ca = await ensureInternalCa(state);
    const [one, other] = [await ca.issue(['a.example']), await ca.issue(['b.example'])];
    expect(certificateProblem({ ...one, key: other.key })).toMatchObject({ part: 'key', message: /not the key/ });
    expect(certificateProblem({ ...one, key: '' })).toMatchObject({ part: 'key', message: /no private key/ });
    expect(certificateProblem({ ...one, certificate: 'x' })).toMatchObject({ part: 'certificate' });
    expect(certificateProblem(one, 'b.example')?.message).toBe('it does not cover b.example, only a.example');
    expect(certificateProblem(one, 'a.example')).toBeUndefined();
  });
});
