/**
 * Keeps the secret store filled: for every wanted host `certificate/HOST` = {certificate, key} as JSON. Given pairs are put
 * as they are; all else is issued by the internal CA and renewed when less than a third of its life is left.
 */
import { X509Certificate } from 'node:crypto';
import type { Clock, Log, SecretStore } from '@ufes/core/ports.ts';
import { type CertificatePair, certificateProblem } from '@ufes/io/certificate.ts';
import type { InternalCa } from '@ufes/io/internal-ca.ts';
import type { TlsChoice } from './ingress-tls.ts';
import { secretName } from './plan.ts';

export interface CertificatesInit {
  readonly secrets: SecretStore;
  readonly ca: InternalCa;
  readonly clock: Clock;
  readonly log: Log;
  /** Hosts put by an earlier run. */
  readonly before: readonly string[];
}

export interface Certificates {
  /** Rejects with STORE_UNAVAILABLE; what was put stays put. Removes those that are not wanted any more. */
  ensure(wanted: readonly TlsChoice[]): Promise<void>;
  /** Hosts whose certificate is in the store by our hand. */
  hosts(): string[];
  /** For metrics and the state page: when each ends. */
  endsMs(): ReadonlyMap<string, number>;
}

interface Known {
  /** Of a given pair its text, so that a new one is seen; of ours a word. */
  readonly origin: string;
  readonly renewAtMs: number;
  readonly endMs: number;
}

const renewAtLeft = 1 / 3;

export function createCertificates({ secrets, ca, clock, log, before }: CertificatesInit): Certificates {
  const known = new Map<string, Known>();
  const hosts = new Set(before);
  const caKey = new X509Certificate(ca.certificatePem).publicKey;

  const remember = (host: string, origin: string, pair: CertificatePair) => {
    const { validFromDate, validToDate } = new X509Certificate(pair.certificate);
    const [startMs, endMs] = [validFromDate.getTime(), validToDate.getTime()];
    const renewAtMs = origin === 'internal' ? endMs - (endMs - startMs) * renewAtLeft : Number.POSITIVE_INFINITY;
    known.set(host, { origin, renewAtMs, endMs });
    hosts.add(host);
  };

  const put = async (host: string, origin: string, pair: CertificatePair) => {
    await secrets.put(secretName(host), Buffer.from(JSON.stringify({ certificate: pair.certificate, key: pair.key })));
    remember(host, origin, pair);
    log.info({ host, origin: origin === 'internal' ? origin : 'given' }, 'certificate put');
  };

  const stored = async (host: string): Promise<CertificatePair | undefined> => {
    const bytes = await secrets.get(secretName(host));
    if (bytes === undefined) return undefined;
    try {
      const pair = JSON.parse(Buffer.from(bytes).toString()) as CertificatePair;
      return certificateProblem(pair, host) === undefined ? pair : undefined;
    } catch {
      return undefined;
    }
  };

  const isOurs = (pair: CertificatePair) => new X509Certificate(pair.certificate).verify(caKey);

  const ensureOne = async ({ host, pair, isWaiting }: TlsChoice) => {
    const at = known.get(host);
    if (pair !== undefined) {
      const origin = `${pair.certificate}\n${pair.key}`;
      if (at?.origin !== origin) await put(host, origin, pair);
      return;
    }
    const isDue = at !== undefined && clock.nowMs() >= at.renewAtMs;
    if (at !== undefined && !isDue && (isWaiting === true || at.origin === 'internal')) return;
    const there = await stored(host);
    if (there !== undefined && (isWaiting === true || isOurs(there))) {
      remember(host, isOurs(there) ? 'internal' : `${there.certificate}\n${there.key}`, there);
      if (clock.nowMs() < known.get(host)!.renewAtMs) return;
    }
    await put(host, 'internal', await ca.issue([host]));
  };

  return {
    async ensure(wanted) {
      for (const choice of wanted) await ensureOne(choice);
      const names = new Set(wanted.map(({ host }) => host));
      for (const host of [...hosts]) {
        if (names.has(host)) continue;
        await secrets.remove(secretName(host));
        hosts.delete(host);
        known.delete(host);
      }
    },
    hosts: () => [...hosts].sort(),
    endsMs: () => new Map([...known].map(([host, { endMs }]) => [host, endMs])),
  };
}
