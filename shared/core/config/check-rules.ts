/** What services say of particular clients: prefixes that exist, PoPs that may be answered, rules that can be kept. */
import { parseRdata } from '../dns/rdata.ts';
import { typeNumber } from '../dns/types.ts';
import { addressBytes, formatPrefix, parsePrefix } from '../ip.ts';
import { absoluteName } from './names.ts';
import { canonicalAddress } from './pool.ts';
import type { Config, ConfigProblem, ServiceConfig } from './schema.ts';
import { suggestion } from './suggest.ts';

type Path = readonly (string | number)[];

export function checkRules(config: Config): ConfigProblem[] {
  const { softPercent, hardPercent } = config.room;
  const problems: ConfigProblem[] = [];
  for (const [id, prefixes] of Object.entries(config.prefixLists)) {
    problems.push(...checkPrefixes(['prefixLists', id], prefixes));
  }
  problems.push(...checkPrefixes(['dns', 'explainClients'], config.dns.explainClients));
  if (softPercent >= hardPercent || softPercent === 0) {
    const message = `must be above 0 and below hardPercent, ${hardPercent}`;
    problems.push({ path: ['room', 'softPercent'], message });
  }
  for (const [id, service] of Object.entries(config.services)) {
    const path = ['services', id];
    problems.push(
      ...checkClients(config, [...path, 'overrides'], service.overrides),
      ...checkClients(config, [...path, 'regions'], service.regions),
      ...service.shares.flatMap(({ clients }, i) =>
        clients === undefined ? [] : checkClients(config, [...path, 'shares'], [{ clients }], i),
      ),
      ...checkPops(path, service),
      ...checkRegionFallback(config, path, service),
      ...service.bindings.flatMap((binding, i) => checkBinding([...path, 'bindings', i, 'data'], service, binding)),
    );
  }
  return problems;
}

function checkPrefixes(path: Path, prefixes: readonly string[]): ConfigProblem[] {
  return prefixes.flatMap((text, i) => {
    const message = prefixProblem(text);
    return message === undefined ? [] : [{ path: [...path, i], message }];
  });
}

function prefixProblem(text: string): string | undefined {
  const prefix = parsePrefix(text);
  if (prefix === undefined) return `"${text}" is no prefix such as 192.0.2.0/24`;
  const [address, length] = text.split('/');
  const bits = Number(length ?? (prefix.family === 4 ? 32 : 128));
  // ::1/128 and the like: loopback is all that anybody means by it.
  if (prefix.family === 6 && bits > 64 && (prefix.hi !== 0 || prefix.lo !== 0)) {
    return `${text}: clients are told apart by the first 64 bits`;
  }
  const bytes = addressBytes(address!)!;
  const beyond = bytes.some((byte, i) => {
    const kept = Math.min(8, Math.max(0, bits - 8 * i));
    return (byte & (0xff >> kept)) !== 0;
  });
  return beyond ? `${text} has bits set beyond its length; the prefix is ${formatPrefix(prefix)}` : undefined;
}

/** Every entry is a prefix or a list; no prefix stands in two rules, or which one would win? */
function checkClients(
  config: Config,
  path: Path,
  rules: readonly { readonly clients: readonly string[] }[],
  first = 0,
): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const seen = new Map<string, number>();
  rules.forEach(({ clients }, i) => {
    clients.forEach((text, j) => {
      const at = [...path, first + i, 'clients', j];
      const list = Object.hasOwn(config.prefixLists, text) ? config.prefixLists[text] : undefined;
      const wrong = list === undefined ? clientsProblem(config, text) : undefined;
      if (wrong !== undefined) problems.push({ path: at, message: wrong });
      for (const one of list ?? [text]) {
        const prefix = parsePrefix(one);
        if (prefix === undefined) continue;
        const key = formatPrefix(prefix);
        const other = seen.get(key);
        if (other !== undefined && other !== i) {
          problems.push({ path: at, message: `${key} is in two rules`, other: [...path, first + other, 'clients'] });
        }
        seen.set(key, i);
      }
    });
  });
  return problems;
}

function clientsProblem(config: Config, text: string): string | undefined {
  if (/[.:/]/.test(text)) return prefixProblem(text);
  return `there is no prefix list "${text}"${suggestion(text, Object.keys(config.prefixLists))}`;
}

function checkPops(path: Path, service: ServiceConfig): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const check = (at: Path, pop: string): void => {
    if (!service.pops.includes(pop)) {
      const message = `"${pop}" is not among this service's pops${suggestion(pop, service.pops)}`;
      problems.push({ path: at, message });
    } else if (service.only !== undefined && !service.only.includes(pop)) {
      const message = `"${pop}" is not in "only" (${service.only.join(', ')}), so it is never answered`;
      problems.push({ path: at, message, other: [...path, 'only'] });
    }
  };
  service.overrides.forEach(({ pops }, i) => {
    pops.forEach((pop, j) => {
      check([...path, 'overrides', i, 'pops', j], pop);
    });
  });
  service.regions.forEach(({ only }, i) => {
    only.forEach((pop, j) => {
      check([...path, 'regions', i, 'only', j], pop);
    });
  });
  service.shares.forEach(({ pop }, i) => {
    check([...path, 'shares', i, 'pop'], pop);
  });
  return problems;
}

/** A fall-back that some clients get must be allowed for them, and must not deny a family to all (RFC 7871 §7.4). */
function checkRegionFallback(config: Config, path: Path, service: ServiceConfig): ConfigProblem[] {
  if (typeof service.allDown === 'string' || service.regions.length === 0) return [];
  const { fallback } = service.allDown;
  const problems: ConfigProblem[] = [];
  service.regions.forEach(({ only }, i) => {
    const allowed = only.flatMap((pop) => Object.values(config.pops[pop]?.vips ?? {}).map(canonicalAddress));
    for (const [j, text] of fallback.entries()) {
      if (allowed.includes(canonicalAddress(text))) continue;
      const message = `${text} is no VIP of a PoP that regions.${i} allows (${only.join(', ')}), which no fall-back may leave`;
      problems.push({ path: [...path, 'allDown', 'fallback', j], message, other: [...path, 'regions', i, 'only'] });
    }
  });
  const families = new Set(fallback.map((text) => (text.includes(':') ? 'v6' : 'v4')));
  const published = Object.keys(config.pops[service.pops[0]!]?.vips ?? {});
  const missing = published.find((family) => !families.has(family as 'v4' | 'v6'));
  if (missing !== undefined) {
    const message = `with "regions" it needs an IP${missing} address too: a resolver may take the empty answer of some clients as true for all (RFC 7871 §7.4)`;
    problems.push({ path: [...path, 'allDown', 'fallback'], message });
  }
  return problems;
}

function checkBinding(
  path: Path,
  service: ServiceConfig,
  { type, data }: ServiceConfig['bindings'][number],
): ConfigProblem[] {
  const rdata = parseRdata(typeNumber(type)!, data);
  if (typeof rdata === 'string') return [{ path, message: rdata }];
  const [priority, target, ...params] = data.trim().split(/\s+/);
  const own = absoluteName(service.name);
  if (Number(priority) === 0) {
    return [{ path, message: 'priority 0 is an alias (RFC 9460 §2.4.2); a steered name names itself' }];
  }
  if (target !== '.' && absoluteName(target!) !== own) {
    return [{ path, message: `the target must be "." or ${service.name}: hints are of that name` }];
  }
  const hint = params.find((one) => /^(ipv[46]hint|key[46]\b)/i.test(one));
  if (hint !== undefined)
    return [{ path, message: `${hint}: hints are the addresses of the chosen PoP; leave them out` }];
  return [];
}
