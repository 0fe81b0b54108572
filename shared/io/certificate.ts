/** Whether a certificate can be served: it parses, its key is its own, and it covers the name. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';

export interface CertificatePair {
  /** PEM; the chain follows the leaf. */
  readonly certificate: string;
  /** PEM, PKCS #8, PKCS #1 or SEC 1. */
  readonly key: string;
}

/** What is wrong with the pair for `host` (a leading `*.` covers one label), or undefined. `part` is what to look at. */
export function certificateProblem(
  pair: CertificatePair,
  host?: string,
): { readonly part: 'certificate' | 'key'; readonly message: string } | undefined {
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(pair.certificate);
  } catch {
    const found = pair.certificate.includes('-----BEGIN ')
      ? 'it has no readable certificate first'
      : 'it is no PEM file';
    return { part: 'certificate', message: `no certificate: ${found}` };
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(pair.key);
  } catch {
    const isEncrypted = /ENCRYPTED/.test(pair.key);
    return {
      part: 'key',
      message: isEncrypted ? 'the key is encrypted; store it without a passphrase' : 'no private key in PEM',
    };
  }
  if (!leaf.checkPrivateKey(key)) {
    return { part: 'key', message: `this is not the key of the certificate (${leaf.subject.replaceAll('\n', ', ')})` };
  }
  if (host !== undefined && !covers(leaf, host)) {
    return { part: 'certificate', message: `it does not cover ${host}, only ${namesOf(leaf).join(', ') || 'nothing'}` };
  }
  return undefined;
}

function covers(leaf: X509Certificate, host: string): boolean {
  return host.startsWith('*.') ? namesOf(leaf).includes(host) : leaf.checkHost(host) !== undefined;
}

/** DNS names of the subject alternative names, lower case. */
export function namesOf(leaf: X509Certificate): string[] {
  return (leaf.subjectAltName ?? '')
    .split(', ')
    .flatMap((name) => (name.startsWith('DNS:') ? [name.slice(4).toLowerCase()] : []));
}
