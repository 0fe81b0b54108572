/** Which certificate each host of an Ingress shows. Pure: parsing a certificate asks nothing of the world. */
import type { Ingress, SecretObject } from '@ufes/core/config/objects.ts';
import { type CertificatePair, certificateProblem } from '@ufes/io/certificate.ts';
import type { ObjectSet } from './objects.ts';

/** Something on an Ingress that is not as it should be, and the condition that it makes false. */
export interface Objection {
  readonly condition: 'Accepted' | 'ResolvedRefs' | 'Programmed';
  /** One word, CamelCase. */
  readonly reason: string;
  /** Names the field. */
  readonly message: string;
}

export interface TlsChoice {
  readonly host: string;
  /** Absent: one of the internal CA, if there is no earlier one. */
  readonly pair?: CertificatePair;
  /** The Ingress named a Secret that cannot be used just now: what is served stays. */
  readonly isWaiting?: boolean;
}

export function tlsChoices(
  key: string,
  ingress: Ingress,
  hosts: readonly string[],
  objects: ObjectSet,
  objections: Objection[],
): TlsChoice[] {
  const namespace = key.slice(0, key.indexOf('/'));
  return hosts.map((host) => {
    const entries = ingress.spec.tls ?? [];
    // An entry without hosts is for all of them.
    const index = entries.findIndex(
      (entry) => entry.secretName !== undefined && (entry.hosts?.some((one) => covers(one, host)) ?? true),
    );
    if (index < 0) return { host };
    const secretKey = `${namespace}/${entries[index]!.secretName}`;
    const result = pairOf(objects.Secret.get(secretKey)?.object, secretKey, host);
    if (typeof result !== 'string') return { host, pair: result };
    const message = `CERTIFICATE_INVALID: spec.tls[${index}].secretName: ${result}; ${host} keeps the certificate it has, or gets one of the internal CA`;
    objections.push({ condition: 'ResolvedRefs', reason: 'CertificateInvalid', message });
    return { host, isWaiting: true };
  });
}

function covers(written: string, host: string): boolean {
  const name = written.toLowerCase();
  if (name === host) return true;
  return name.startsWith('*.') && host.slice(host.indexOf('.')) === name.slice(1);
}

/** Parsed pairs and verdicts by Secret, because every reconcile asks again. */
const known = new WeakMap<SecretObject, Map<string, CertificatePair | string>>();

function pairOf(secret: SecretObject | undefined, key: string, host: string): CertificatePair | string {
  if (secret === undefined) return `there is no Secret ${key}`;
  const verdicts = known.get(secret) ?? new Map<string, CertificatePair | string>();
  known.set(secret, verdicts);
  const verdict = verdicts.get(host) ?? readPair(secret, key, host);
  verdicts.set(host, verdict);
  return verdict;
}

function readPair(secret: SecretObject, key: string, host: string): CertificatePair | string {
  if (secret.type !== undefined && secret.type !== 'kubernetes.io/tls') {
    return `Secret ${key} has type ${secret.type}; kubernetes.io/tls is needed`;
  }
  const field = (name: string): string | undefined =>
    secret.stringData?.[name] ??
    (secret.data?.[name] === undefined ? undefined : Buffer.from(secret.data[name], 'base64').toString());
  const [certificate, privateKey] = [field('tls.crt'), field('tls.key')];
  if (certificate === undefined) return `Secret ${key} has no tls.crt`;
  if (privateKey === undefined) return `Secret ${key} has no tls.key: a certificate needs its key`;
  const problem = certificateProblem({ certificate, key: privateKey }, host);
  if (problem === undefined) return { certificate, key: privateKey };
  return `Secret ${key}, ${problem.part === 'key' ? 'tls.key' : 'tls.crt'}: ${problem.message}`;
}
