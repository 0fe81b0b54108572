/** Addresses of a configuration: they parse, are of the right family, and nobody has one twice. */
import { addressBytes } from '../ip.ts';
import { limits } from '../limits.ts';
import { trustProblem } from '../proxies.ts';
import { canonicalAddress, type Pool, parsePool, poolHolds, poolsOverlap } from './pool.ts';
import type { Config, ConfigProblem } from './schema.ts';

type Path = readonly (string | number)[];

export function checkAddresses(config: Config): ConfigProblem[] {
  return [
    ...checkPopCount(config),
    ...checkVips(config),
    ...checkPools(config),
    ...checkListeners(config),
    ...checkProxies(config),
  ];
}

/** PoPs are one byte in rankings. */
function checkPopCount(config: Config): ConfigProblem[] {
  const count = Object.keys(config.pops).length;
  if (count > 0 && count <= limits.config.pops) return [];
  const message = count === 0 ? 'at least one PoP is needed' : `at most ${limits.config.pops} PoPs, found ${count}`;
  return [{ path: ['pops'], atKey: true, message }];
}

function checkVips(config: Config): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const taken = new Map<string, Path>();
  for (const [id, pop] of Object.entries(config.pops)) {
    const { https, http } = pop.ports;
    if (https === http)
      problems.push({ path: ['pops', id, 'ports', 'http'], message: `${http} is the https port too` });
    for (const key of ['v4', 'v6'] as const) {
      const text = pop.vips[key];
      if (text === undefined) continue;
      const path = ['pops', id, 'vips', key];
      const wrong = familyProblem(text, key === 'v4' ? 4 : 6);
      if (wrong !== undefined) {
        problems.push({ path, message: wrong });
        continue;
      }
      const canonical = canonicalAddress(text)!;
      const other = taken.get(canonical);
      if (other !== undefined)
        problems.push({ path, message: `VIP ${text} is used twice; also ${other.join('.')}`, other });
      else taken.set(canonical, path);
    }
  }
  return problems;
}

/** What is wrong with an address that should be of `family`. */
export function familyProblem(text: string, family: 4 | 6): string | undefined {
  const bytes = addressBytes(text);
  if (bytes === undefined) return `"${text}" is no IP address`;
  const found = canonicalAddress(text)!.includes(':') ? 6 : 4;
  return found === family ? undefined : `${text} is an IPv${found} address; an IPv${family} address belongs here`;
}

function checkPools(config: Config): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const pools: { path: Path; text: string; pool: Pool }[] = [];
  for (const [id, { pool: text }] of Object.entries(config.pops)) {
    if (text === undefined) continue;
    const path = ['pops', id, 'pool'];
    const pool = parsePool(text);
    if (pool === undefined) {
      problems.push({ path, message: `"${text}" is no prefix: ADDRESS/LENGTH with no bits set beyond the length` });
      continue;
    }
    for (const other of pools) {
      if (!poolsOverlap(pool, other.pool)) continue;
      const message = `pool ${text} overlaps ${other.text} of ${other.path.join('.')}`;
      problems.push({ path, message, other: other.path });
    }
    pools.push({ path, text, pool });
  }
  for (const [id, pop] of Object.entries(config.pops)) {
    for (const [key, text] of Object.entries(pop.vips)) {
      const bytes = addressBytes(text);
      const holder = bytes && pools.find(({ pool }) => poolHolds(pool, bytes));
      if (holder === undefined) continue;
      const message = `VIP ${text} lies in pool ${holder.text}, which gives its addresses to objects`;
      problems.push({ path: ['pops', id, 'vips', key], message, other: holder.path });
    }
  }
  return problems;
}

/** Proxies that are named, and places where they are believed. */
function checkProxies({ trustedProxies, listeners, pops }: Config): ConfigProblem[] {
  const problems = trustedProxies.flatMap((text, i): ConfigProblem[] => {
    const message = trustProblem(text);
    return message === undefined ? [] : [{ path: ['trustedProxies', i], message }];
  });
  if (trustedProxies.length > 0) return problems;
  const places: [Path, string | undefined][] = [
    ...listeners.probe.map(({ proxy }, i): [Path, string | undefined] => [['listeners', 'probe', i, 'proxy'], proxy]),
    ...Object.entries(pops).map(([id, { proxy }]): [Path, string | undefined] => [['pops', id, 'proxy'], proxy]),
  ];
  const message = 'no proxy is believed: name them in "trustedProxies", e.g. [192.0.2.0/24]';
  return places.flatMap(([path, proxy]) => (proxy === undefined ? [] : [{ path, message }]));
}

interface Listener {
  readonly path: Path;
  readonly what: string;
  readonly address: string;
  readonly port: number;
}

function checkListeners(config: Config): ConfigProblem[] {
  const { dns, probe, dashboard } = config.listeners;
  const written: [Path, string, string][] = [
    ...dns.map((text, i): [Path, string, string] => [['listeners', 'dns', i], 'dns', text]),
    ...probe.map(({ address }, i): [Path, string, string] => [['listeners', 'probe', i, 'address'], 'probe', address]),
    ...(dashboard === undefined
      ? []
      : [[['listeners', 'dashboard'], 'dashboard', dashboard] as [Path, string, string]]),
  ];
  const problems: ConfigProblem[] = [];
  const listeners: Listener[] = [];
  for (const [path, what, text] of written) {
    const [, v6, v4, digits] = /^(?:\[(.+)\]|(.+)):(\d+)$/.exec(text) ?? [];
    const address = canonicalAddress((v6 ?? v4)!);
    const port = Number(digits);
    if (address === undefined || port > 65_535) problems.push({ path, message: `${text}: no address and port` });
    else listeners.push({ path, what, address, port });
  }
  for (const [id, pop] of Object.entries(config.pops)) {
    for (const [key, text] of Object.entries(pop.vips)) {
      const address = canonicalAddress(text);
      const path = ['pops', id, 'vips', key];
      if (address === undefined) continue;
      for (const port of [pop.ports.https, pop.ports.http]) listeners.push({ path, what: `PoP ${id}`, address, port });
    }
  }
  listeners.forEach((one, i) => {
    const other = listeners.slice(0, i).find((earlier) => collides(one, earlier));
    // Two VIPs that are the same address are reported as that.
    if (other === undefined || (other.path[0] === 'pops' && one.path[0] === 'pops')) return;
    const [at, also] = one.path[0] === 'pops' ? [other, one] : [one, other];
    const message = `${at.address}:${at.port} is taken by the ${also.what} listener`;
    problems.push({ path: at.path, message, other: also.path });
  });
  return problems;
}

function collides(a: Listener, b: Listener): boolean {
  if (a.port !== b.port || a.port === 0) return false;
  if (a.address === b.address) return true;
  const any = a.address.includes(':') ? '::' : '0.0.0.0';
  return a.address.includes(':') === b.address.includes(':') && (a.address === any || b.address === any);
}
