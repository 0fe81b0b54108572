/**
 * Secrets at rest: AES-256-GCM, bound to their names, under STATE/keys/secrets.key (32 bytes).
 *
 *     byte 0       format, 1
 *     bytes 1–12   nonce
 *     bytes 13–28  tag
 *     from 29      ciphertext
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { OperatingError } from '@ufes/core/errors.ts';
import { ensureKeyFile } from '../keys.ts';

const format = 1;
const keyBytes = 32;

/** Read at each use: it is rare, and a key that was put back counts at once. */
export function secretKey(keysFolder: string): Uint8Array {
  const path = join(keysFolder, 'secrets.key');
  let key: Uint8Array;
  try {
    key = ensureKeyFile(path, () => randomBytes(keyBytes));
  } catch (cause) {
    throw new OperatingError('SECRET_UNREADABLE', `the key of the secrets, ${path}, cannot be read`, { cause });
  }
  if (key.length === keyBytes) return key;
  throw new OperatingError('SECRET_UNREADABLE', `${path} must hold ${keyBytes} bytes, not ${key.length}`);
}

export function sealSecret(key: Uint8Array, name: string, plain: Uint8Array): Uint8Array {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(name));
  const text = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([Uint8Array.of(format), nonce, cipher.getAuthTag(), text]);
}

export function openSecret(key: Uint8Array, name: string, sealed: Uint8Array): Uint8Array {
  try {
    if (sealed[0] !== format) throw new Error(`format ${sealed[0]} is unknown`);
    const cipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(1, 13), { authTagLength: 16 });
    cipher.setAAD(Buffer.from(name)).setAuthTag(sealed.subarray(13, 29));
    return new Uint8Array(Buffer.concat([cipher.update(sealed.subarray(29)), cipher.final()]));
  } catch (cause) {
    const message = `secret ${name} cannot be decrypted: secrets.key is not the key it was written with, or it was changed`;
    throw new OperatingError('SECRET_UNREADABLE', message, { cause });
  }
}
