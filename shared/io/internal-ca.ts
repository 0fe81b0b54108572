/**
 * The internal CA: a P-256 key and certificate under STATE/tls, made at first start and kept. It issues what our own
 * edges show for names without a certificate of their own, and what nodes trust each other by.
 *
 *     STATE/tls/ca.key   PKCS #8 PEM, mode 0600
 *     STATE/tls/ca.crt   PEM; what clients are told to trust
 *
 * Processes of one tree start together: each writes its own temporary file and links it to the final name, so that
 * exactly one key wins and everyone reads that one.
 */
import { createPrivateKey, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { chmod, link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { OperatingError } from '@ufes/core/errors.ts';
import type { CertificatePair } from './certificate.ts';

export interface InternalCa {
  /** Of the CA itself. */
  readonly certificatePem: string;
  /**
   * A new key and a certificate for it. `names`: DNS names, wildcards (`*.shop.example`) or IP addresses, at least one.
   * The certificate lasts `days`, or as long as the CA if that is shorter.
   */
  issue(names: readonly string[], days?: number): Promise<CertificatePair>;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const dayMs = 86_400_000;
const caDays = 3_650;
const leafDays = 90;
/** Clocks of clients may be behind ours. */
const backdateMs = 3_600_000;

/**
 * The CA of this state folder, made when it is not there. Rejects with CERTIFICATE_INVALID when its files are damaged or
 * do not belong together: a new CA would silently break everyone who trusts the old one.
 */
export async function ensureInternalCa(state: string, nowMs: () => number = Date.now): Promise<InternalCa> {
  const folder = join(state, 'tls');
  const [keyPath, certificatePath] = [join(folder, 'ca.key'), join(folder, 'ca.crt')];
  await mkdir(folder, { recursive: true });
  const keyPem = (await readIfThere(keyPath)) ?? (await createOnce(keyPath, await newKeyPem(), 0o600));
  const caKeys = await importKeys(keyPem, keyPath);
  const certificatePem =
    (await readIfThere(certificatePath)) ??
    (await createOnce(certificatePath, await selfSigned(caKeys, nowMs()), 0o644));
  assertPair(keyPem, certificatePem, folder);
  return { certificatePem, issue: (names, days = leafDays) => issue(caKeys, certificatePem, names, days, nowMs()) };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return undefined;
    throw new OperatingError('CERTIFICATE_INVALID', `${path} cannot be read`, { cause: thrown });
  }
}

/** Writes the file whole, unless someone else already has; the result is what it holds now. */
async function createOnce(path: string, text: string, mode: number): Promise<string> {
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString('hex')}`;
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await chmod(temporary, mode);
    await link(temporary, path);
    return text;
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST') return await readFile(path, 'utf8');
    throw thrown;
  } finally {
    await rm(temporary, { force: true });
  }
}

async function newKeyPem(): Promise<string> {
  const { privateKey } = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  return keyToPem(privateKey);
}

async function keyToPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  const lines = der.toString('base64').match(/.{1,64}/g)!;
  return `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`;
}

async function importKeys(pem: string, path: string): Promise<webcrypto.CryptoKeyPair> {
  try {
    const key = createPrivateKey(pem);
    const der = key.export({ type: 'pkcs8', format: 'der' });
    const jwk = key.export({ format: 'jwk' });
    const { d: _, ...publicJwk } = jwk;
    return {
      privateKey: await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']),
      publicKey: await webcrypto.subtle.importKey('jwk', publicJwk, algorithm, true, ['verify']),
    };
  } catch (thrown) {
    const message = `${path} is no P-256 key; restore it, or remove it and ca.crt to have a new CA`;
    throw new OperatingError('CERTIFICATE_INVALID', message, { cause: thrown });
  }
}

function assertPair(keyPem: string, certificatePem: string, folder: string): void {
  let matches = false;
  try {
    matches = new X509Certificate(certificatePem).checkPrivateKey(createPrivateKey(keyPem));
  } catch (thrown) {
    throw new OperatingError('CERTIFICATE_INVALID', `${folder}/ca.crt is no certificate`, { cause: thrown });
  }
  if (matches) return;
  const message = `${folder}/ca.key is not the key of ca.crt; restore them, or remove both to have a new CA`;
  throw new OperatingError('CERTIFICATE_INVALID', message);
}

/** Loaded when something is made: most processes of the tree only read. The library wants reflect-metadata before it. */
async function loadX509() {
  await import('reflect-metadata');
  return import('@peculiar/x509');
}

/** 128 random bits, positive and not zero (RFC 5280 §4.1.2.2). */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString('hex');
}

async function selfSigned(keys: webcrypto.CryptoKeyPair, nowMs: number): Promise<string> {
  const x509 = await loadX509();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: `CN=ufes internal CA ${randomBytes(3).toString('hex')}, O=ufes`,
    notBefore: new Date(nowMs - backdateMs),
    notAfter: new Date(nowMs + caDays * dayMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return `${certificate.toString('pem')}\n`;
}

async function issue(
  caKeys: webcrypto.CryptoKeyPair,
  caPem: string,
  names: readonly string[],
  days: number,
  nowMs: number,
): Promise<CertificatePair> {
  if (names.length === 0) throw new Error('a certificate needs a name');
  const x509 = await loadX509();
  const ca = new x509.X509Certificate(caPem);
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    // Names stand in the subject alternative name alone (RFC 9525 §2); a common name holds at most 64 characters.
    subject: 'O=ufes',
    issuer: ca.subject,
    notBefore: new Date(nowMs - backdateMs),
    notAfter: new Date(Math.min(nowMs + days * dayMs, ca.notAfter.getTime())),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: caKeys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value })),
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  });
  return { certificate: `${certificate.toString('pem')}\n`, key: await keyToPem(keys.privateKey) };
}
