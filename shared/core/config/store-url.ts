/**
 * Where a distributed store is, as `store:` and `--store` say it:
 *
 *     redis://[USER:PASSWORD@]HOST[:6379][/DB]                        one Redis
 *     redis+sentinel://[USER:PASSWORD@]HOST[:26379],HOST…/MASTER[/DB] the master that Sentinels name
 *     redis+cluster://[USER:PASSWORD@]HOST[:6379],HOST…               a Cluster, found through any of these
 *
 * With `rediss` instead of `redis`: over TLS. After `?`, joined by `&`: `prefix=NAME` of all keys (default ufes), `ca=FILE`
 * with the certificates that are trusted, and `sentinelUser`, `sentinelPassword` where Sentinels ask for their own.
 * What is special in a URL is percent-encoded in names and passwords. Messages never repeat the text: it may hold a password.
 */

export interface RedisTarget {
  readonly kind: 'standalone' | 'sentinel' | 'cluster';
  readonly tls: boolean;
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly username?: string;
  readonly password?: string;
  readonly db: number;
  /** Its name, for Sentinels. */
  readonly master?: string;
  readonly sentinelUsername?: string;
  readonly sentinelPassword?: string;
  /** PEM file of certificates that are trusted instead of the machine's. */
  readonly ca?: string;
  /** Of every key. */
  readonly prefix: string;
}

const form = /^redis(s?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/?#]*)@)?([^@/?#]+)(\/[^?#]*)?(?:\?([^#]*))?$/;
const hostForm = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/;

/** The target, or what is wrong with the text. */
export function parseStoreUrl(text: string): RedisTarget | string {
  const match = form.exec(text);
  if (match === null) {
    return 'write embedded, redis://HOST:PORT/DB, redis+sentinel://HOST:PORT,HOST:PORT/MASTER or redis+cluster://HOST:PORT,HOST:PORT (rediss… for TLS)';
  }
  const [, s, variant, user = '', hostList = '', path = '', query = ''] = match;
  try {
    const kind = variant === 'sentinel' || variant === 'cluster' ? variant : 'standalone';
    const hosts = readHosts(hostList, kind);
    const { master, db } = readPath(path, kind);
    return { kind, tls: s === 's', hosts, ...readUser(user), ...readQuery(query), db, ...(master && { master }) };
  } catch (thrown) {
    return thrown instanceof Wrong ? thrown.message : 'a % must be followed by two hexadecimal digits';
  }
}

class Wrong extends Error {}

function readHosts(text: string, kind: RedisTarget['kind']): RedisTarget['hosts'] {
  const hosts = text.split(',').map((one) => {
    const match = hostForm.exec(one);
    const port = Number(match?.[3] ?? (kind === 'sentinel' ? 26_379 : 6_379));
    if (match === null || port < 1 || port > 65_535) throw new Wrong('a host is written HOST, HOST:PORT or [v6]:PORT');
    return { host: (match[1] ?? match[2])!, port };
  });
  if (kind === 'standalone' && hosts.length > 1) {
    throw new Wrong('several hosts need redis+sentinel:// or redis+cluster://');
  }
  return hosts;
}

function readPath(path: string, kind: RedisTarget['kind']): { master?: string; db: number } {
  const parts = path.split('/').slice(1).map(decodeURIComponent);
  if (parts.at(-1) === '') parts.pop();
  const master = kind === 'sentinel' ? parts.shift() : undefined;
  if (kind === 'sentinel' && !master) throw new Wrong('redis+sentinel:// ends with the name of the master: …/MASTER');
  const [db = '0', ...rest] = parts;
  if (!/^\d{1,5}$/.test(db) || rest.length > 0) throw new Wrong('the path is the number of a database');
  if (kind === 'cluster' && db !== '0') throw new Wrong('a Cluster has no other database than 0');
  return { ...(master && { master }), db: Number(db) };
}

function readUser(text: string): { username?: string; password?: string } {
  if (text === '') return {};
  const colon = text.indexOf(':');
  const username = decodeURIComponent(colon < 0 ? '' : text.slice(0, colon));
  const password = decodeURIComponent(text.slice(colon + 1));
  return { ...(username && { username }), ...(password && { password }) };
}

const queryKeys = {
  prefix: 'prefix',
  ca: 'ca',
  sentinelUser: 'sentinelUsername',
  sentinelPassword: 'sentinelPassword',
};

function readQuery(text: string): Pick<RedisTarget, 'prefix' | 'ca' | 'sentinelUsername' | 'sentinelPassword'> {
  const found: Record<string, string> = { prefix: 'ufes' };
  for (const part of text.split('&').filter((one) => one !== '')) {
    const equals = part.indexOf('=');
    const key = part.slice(0, Math.max(equals, 0));
    if (!Object.hasOwn(queryKeys, key)) throw new Wrong(`after ? may stand ${Object.keys(queryKeys).join(', ')}`);
    found[queryKeys[key as keyof typeof queryKeys]] = decodeURIComponent(part.slice(equals + 1));
  }
  if (!/^[A-Za-z0-9._-]{1,60}$/.test(found['prefix']!)) {
    throw new Wrong('prefix: 1 to 60 letters, digits, dots, dashes and underscores');
  }
  return found as { prefix: string };
}

/** As people may see it: without names and passwords. */
export function storeName({ kind, tls, hosts, db, master }: RedisTarget): string {
  const scheme = `redis${tls ? 's' : ''}${kind === 'standalone' ? '' : `+${kind}`}`;
  const list = hosts.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',');
  const path = [master, db === 0 ? undefined : String(db)].filter((part) => part !== undefined).join('/');
  return `${scheme}://${list}${path && `/${path}`}`;
}
