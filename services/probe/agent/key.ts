/**
 * The key file of an agent, one line: its name and its private key (Ed25519, PKCS #8, base64).
 *
 *     london-office MC4CAQAwBQYDK2VwBCIEI…
 */
import { createPrivateKey, type KeyObject, sign } from 'node:crypto';
import { OperatingError } from '@ufes/core/errors.ts';
import { agentScheme, signedText } from './signature.ts';

export interface AgentKey {
  readonly name: string;
  readonly key: KeyObject;
}

export function formatAgentKey(name: string, key: string): string {
  return `${name} ${key}\n`;
}

/** Throws CONFIG_INVALID. */
export function parseAgentKey(text: string): AgentKey {
  const [name = '', base64 = '', ...more] = text.trim().split(/\s+/);
  try {
    if (more.length > 0 || !/^[a-z][a-z0-9-]{0,30}$/.test(name)) throw new Error('no NAME KEY');
    const key = createPrivateKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'pkcs8' });
    if (key.asymmetricKeyType !== 'ed25519') throw new Error('another kind of key');
    return { name, key };
  } catch (cause) {
    throw new OperatingError('CONFIG_INVALID', 'no key of an agent; `ufes probe agent-key NAME` makes one', { cause });
  }
}

/** The `authorization` of a request. */
export function authorize({ name, key }: AgentKey, method: string, path: string, nowMs: number, body: string): string {
  const atMs = String(nowMs);
  const signature = sign(null, Buffer.from(signedText(method, path, atMs, body)), key).toString('base64url');
  return `${agentScheme} ${name} ${atMs} ${signature}`;
}
