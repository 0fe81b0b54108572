/**
 * The certificates this node serves: fetched from the secret store by name, checked, and the last good ones kept on the
 * node's own disk (sealed, STATE/nodes/NODE/certificates), so that a restart without the store serves. A name whose
 * certificate is missing or bad keeps its last good one and is reported; the others are not affected.
 */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { certificateProblem } from '@ufes/io/certificate.ts';
import { writeDurably } from '@ufes/io/kept.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { openSecret, sealSecret, secretKey } from '@ufes/io/store/seal.ts';
import type { KeyPair, KeyPairs } from './data-plane.ts';

/** Secret name → host that it is for (a leading `*.` covers one label). */
export type Wanted = ReadonlyMap<string, string>;

export interface CertificateKeeper {
  /** What an earlier run of this node kept. */
  load(): Promise<void>;
  /**
   * Looks up what is wanted, only what is not known yet or all of it, and lets go of the rest. True when something
   * changed. One after the other, in the order of the calls: each builds on what the one before found and kept.
   */
  refresh(wanted: Wanted, which: 'new' | 'all'): Promise<boolean>;
  pairs(): KeyPairs;
  /** By host: why its certificate is not, or not the newest, served. */
  problems(): ReadonlyMap<string, string>;
}

type Parts = Pick<ServiceContext, 'state' | 'node' | 'store' | 'log'>;

/** Secrets looked up at the same time. */
const atOnce = 16;

export function createCertificateKeeper({ state, node, store, log }: Parts): CertificateKeeper {
  const path = join(state, 'nodes', node, 'certificates');
  const sealedName = `nodes/${node}/certificates`;
  const keysFolder = join(state, 'keys');
  let pairs = new Map<string, KeyPair>();
  const problems = new Map<string, string>();
  let storeGone = false;

  function report(host: string, message: string): void {
    if (problems.get(host) === message) return;
    problems.set(host, message);
    log.error({ host, code: 'CERTIFICATE_INVALID' }, message);
  }

  /** The pair under `name`, or undefined when the one before stays. */
  async function look(name: string, host: string): Promise<KeyPair | undefined> {
    const bytes = await store.secrets.get(name);
    if (bytes === undefined) {
      report(host, `${host}: there is no secret ${name}; ${stays(name)}`);
      return undefined;
    }
    const before = pairs.get(name);
    try {
      const pair = keyPairOf(bytes, host);
      problems.delete(host);
      return before?.fingerprint === pair.fingerprint && before.key === pair.key ? undefined : pair;
    } catch (error) {
      report(host, `${describeError(error)}; ${stays(name)}`);
      return undefined;
    }
  }

  function stays(name: string): string {
    return pairs.has(name) ? 'the last good certificate is served' : 'the default certificate is served';
  }

  async function lookAll(names: readonly (readonly [string, string])[]): Promise<Map<string, KeyPair>> {
    const found = new Map<string, KeyPair>();
    for (let i = 0; i < names.length; i += atOnce) {
      await Promise.all(
        names.slice(i, i + atOnce).map(async ([name, host]) => {
          const pair = await look(name, host);
          if (pair !== undefined) found.set(name, pair);
        }),
      );
    }
    return found;
  }

  async function keep(): Promise<void> {
    try {
      const plain = Buffer.from(
        JSON.stringify([...pairs].map(([name, { certificate, key }]) => ({ name, certificate, key }))),
      );
      await writeDurably(path, sealSecret(secretKey(keysFolder), sealedName, plain));
    } catch (error) {
      log.error({ file: path }, `certificates cannot be kept for a restart: ${describeError(error)}`);
    }
  }

  async function refresh(wanted: Wanted, which: 'new' | 'all'): Promise<boolean> {
    const names = [...wanted].filter(([name]) => which === 'all' || !pairs.has(name));
    let found = new Map<string, KeyPair>();
    try {
      found = await lookAll(names);
      storeGone = false;
    } catch (error) {
      if (!storeGone) log.warn({}, `certificates stay as they are without the store: ${describeError(error)}`);
      storeGone = true;
    }
    const hosts = new Set(wanted.values());
    for (const host of [...problems.keys()]) if (!hosts.has(host)) problems.delete(host);
    const before = pairs;
    pairs = new Map([...before, ...found].filter(([name]) => wanted.has(name)));
    if (found.size === 0 && pairs.size === before.size) return false;
    await keep();
    return true;
  }
  let last: Promise<unknown> = Promise.resolve();

  return {
    async load() {
      try {
        const plain = openSecret(secretKey(keysFolder), sealedName, await readFile(path));
        const kept = JSON.parse(Buffer.from(plain).toString()) as { name: string; certificate: string; key: string }[];
        pairs = new Map(kept.map((one) => [one.name, checked(one, undefined)]));
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
        log.warn({ file: path }, `kept certificates cannot be read: ${describeError(error)}`);
      }
    },
    refresh(wanted, which) {
      const mine = last.then(() => refresh(wanted, which));
      last = mine.catch(() => {});
      return mine;
    },
    pairs: () => pairs,
    problems: () => problems,
  };
}

function keyPairOf(bytes: Uint8Array, host: string): KeyPair {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    throw new OperatingError('CERTIFICATE_INVALID', `${host}: the secret is not JSON {"certificate", "key"}`);
  }
  const { certificate, key } = (parsed ?? {}) as { certificate?: unknown; key?: unknown };
  if (typeof certificate !== 'string' || typeof key !== 'string' || key === '') {
    const missing = typeof certificate !== 'string' ? 'certificate' : 'key';
    throw new OperatingError('CERTIFICATE_INVALID', `${host}: the secret has no ${missing} (PEM)`);
  }
  return checked({ certificate, key }, host);
}

/** Throws CERTIFICATE_INVALID unless the pair can be served, for `host` if given. */
export function checked(pair: { certificate: string; key: string }, host: string | undefined): KeyPair {
  const { certificate, key } = pair;
  const problem = certificateProblem(pair, host);
  if (problem !== undefined)
    throw new OperatingError('CERTIFICATE_INVALID', `${host ?? problem.part}: ${problem.message}`);
  try {
    createSecureContext({ cert: certificate, key });
  } catch (cause) {
    throw new OperatingError('CERTIFICATE_INVALID', `${host ?? 'certificate'}: TLS does not take it`, { cause });
  }
  const leaf = new X509Certificate(certificate);
  return { certificate, key, fingerprint: leaf.fingerprint256, expiresAtMs: leaf.validToDate.getTime() };
}
