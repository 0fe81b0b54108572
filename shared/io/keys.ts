/**
 * Key files under STATE/keys: made at first use by whichever process comes first, kept, readable by the owner alone.
 * A key appears under its name whole or not at all (written aside, then linked), so that everybody reads the same one.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Content of `path`, made by `create` when there is none. */
export function ensureKeyFile(path: string, create: () => Uint8Array): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  const file = openSync(aside, 'wx', 0o600);
  try {
    writeSync(file, create());
    fsyncSync(file);
    linkSync(aside, path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    closeSync(file);
    rmSync(aside, { force: true });
  }
  return readFileSync(path);
}

export interface SigningKeys {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** Ed25519, PEM: signing.key (PKCS #8) and beside it, for those who verify elsewhere, signing.pub (SPKI). */
export function ensureSigningKeys(keysFolder: string): SigningKeys {
  const path = join(keysFolder, 'signing.key');
  const pem = ensureKeyFile(path, () =>
    Buffer.from(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })),
  );
  const privateKey = createPrivateKey(pem);
  const publicKey = createPublicKey(privateKey);
  ensureKeyFile(join(keysFolder, 'signing.pub'), () => Buffer.from(publicKey.export({ type: 'spki', format: 'pem' })));
  return { privateKey, publicKey };
}
