/**
 * Zones from text: master files (RFC 1035 §5, RFC 2308 §4 `$TTL`, RFC 3597), single records, and the rules a whole zone
 * must keep before it may be served. Everything wrong is reported at once; nothing here throws.
 */
import type { DesiredRecord } from '../desired.ts';
import { isWithin, lowerName, nameToText, nameToWire } from './name.ts';
import { formatRdata, parseRdata, parseRdataTokens } from './rdata.ts';
import { type Entry, type LineProblem, lexData, lexMaster, parsePeriod, type Token } from './text.ts';
import { isMetaType, Type, typeName, typeNumber } from './types.ts';

/** RFC 2181 §8. */
const ttlMax = 0x7fffffff;

interface Reader {
  origin: Uint8Array;
  owner: Uint8Array | undefined;
  /** `$TTL`; without one the last TTL written, then the default. */
  ttl: number | undefined;
  lastTtl: number;
}

/** `origin` is the zone's name; relative names and `@` start from it. Names come out absolute, in lower case. */
export function parseMaster(
  text: string,
  origin: string,
  defaultTtl: number,
): { records: DesiredRecord[]; problems: LineProblem[] } {
  const zone = nameToWire(origin);
  if (typeof zone === 'string') return { records: [], problems: [{ line: 1, message: `zone name: ${zone}` }] };
  const { entries, problems } = lexMaster(text);
  const reader: Reader = { origin: zone, owner: undefined, ttl: undefined, lastTtl: defaultTtl };
  const records: DesiredRecord[] = [];
  for (const entry of entries) {
    const first = entry.tokens[0]!;
    const directive = first.text.startsWith('$') && !first.quoted && !entry.blankOwner;
    const result = directive ? readDirective(entry, reader) : readRecord(entry, reader);
    if (typeof result === 'string') problems.push({ line: entry.line, message: result });
    else if (result !== undefined) records.push(result);
  }
  problems.sort((a, b) => a.line - b.line);
  return { records, problems };
}

function readDirective({ tokens }: Entry, reader: Reader): string | undefined {
  const [name, value, extra] = tokens.map((token) => token.text);
  const directive = name!.toUpperCase();
  if (directive === '$INCLUDE' || directive === '$GENERATE') {
    return `${directive} is not supported yet: write the records here`;
  }
  if (directive !== '$ORIGIN' && directive !== '$TTL') return `unknown directive ${name}; known are $ORIGIN and $TTL`;
  if (value === undefined || extra !== undefined) return `${directive} takes exactly one value`;
  if (directive === '$TTL') {
    reader.ttl = parsePeriod(value) ?? reader.ttl;
    return parsePeriod(value) === undefined
      ? `$TTL ${value} is no time in seconds, or with units as in 1h30m`
      : undefined;
  }
  const origin = nameToWire(value, reader.origin);
  if (typeof origin === 'string') return `$ORIGIN: ${origin}`;
  reader.origin = origin;
  return undefined;
}

/** `[owner] [ttl] [class] type data`, ttl and class in either order. */
function readRecord(entry: Entry, reader: Reader): DesiredRecord | string {
  const { tokens } = entry;
  let next = 0;
  if (!entry.blankOwner) {
    const owner = nameToWire(tokens[next++]!.text, reader.origin);
    if (typeof owner === 'string') {
      reader.owner = undefined;
      return owner;
    }
    reader.owner = lowerName(owner);
  }
  if (reader.owner === undefined) return 'a record that begins with a blank needs a record with a name before it';
  let ttl: number | undefined;
  for (let seen = ''; next < tokens.length; next++) {
    const { text } = tokens[next]!;
    if (!seen.includes('t') && /^\d/.test(text)) {
      ttl = parsePeriod(text);
      if (ttl === undefined) return `TTL ${text} is no time in seconds, or with units as in 1h30m`;
      seen += 't';
    } else if (!seen.includes('c') && /^(in|ch|cs|hs)$/i.test(text)) {
      if (text.toUpperCase() !== 'IN') return `class ${text} is not served, only IN`;
      seen += 'c';
    } else break;
  }
  const typeText = tokens[next]?.text;
  if (typeText === undefined) return 'no type: a record is written [name] [ttl] [IN] TYPE data';
  if (ttl !== undefined) reader.lastTtl = ttl;
  const effectiveTtl = ttl ?? reader.ttl ?? reader.lastTtl;
  return record(reader.owner, typeText, effectiveTtl, tokens.slice(next + 1), reader.origin);
}

function record(
  owner: Uint8Array,
  typeText: string,
  ttl: number,
  tokens: readonly Token[],
  origin: Uint8Array,
): DesiredRecord | string {
  const type = typeNumber(typeText);
  if (type === undefined) return `unknown type ${JSON.stringify(typeText)}; types without a name are written TYPE123`;
  if (isMetaType(type)) return `type ${typeName(type)} cannot stand in a zone`;
  const wire = parseRdataTokens(type, tokens, origin);
  if (typeof wire === 'string') return wire;
  const data = formatRdata(type, wire);
  // What we can write we can read: see rdata.test.ts.
  return { name: nameToText(owner), type: typeName(type), ttl, data: data ?? '' };
}

/**
 * One record as the configuration writes it: name relative to the zone (`@` is the zone), data in presentation form with
 * names relative to the zone. Gives the absolute, canonical record, or what is wrong.
 */
export function parseRecord(
  zone: string,
  written: { readonly name: string; readonly type: string; readonly ttl: number; readonly data: string },
): DesiredRecord | string {
  const origin = nameToWire(zone);
  if (typeof origin === 'string') return origin;
  const owner = nameToWire(written.name, origin);
  if (typeof owner === 'string') return owner;
  const tokens = lexData(written.data);
  if (typeof tokens === 'string') return tokens;
  return record(lowerName(owner), written.type, written.ttl, tokens, origin);
}

/** The rules of a whole zone: one SOA, NS at the apex, CNAME alone, nothing from elsewhere, data that parses, TTLs in bounds. */
export function checkZone(
  origin: string,
  records: readonly DesiredRecord[],
): { message: string; record?: DesiredRecord }[] {
  const problems: { message: string; record?: DesiredRecord }[] = [];
  const zone = nameToWire(origin);
  if (typeof zone === 'string') return [{ message: `zone name: ${zone}` }];
  const apex = nameToText(lowerName(zone));
  const typesAt = new Map<string, Map<string, number>>();
  for (const one of records) {
    const message = checkRecord(one, zone, apex);
    if (message !== undefined) problems.push({ message, record: one });
    const name = one.name.toLowerCase();
    const types = typesAt.get(name) ?? new Map<string, number>();
    types.set(one.type, (types.get(one.type) ?? 0) + 1);
    typesAt.set(name, types);
  }
  const soas = typesAt.get(apex)?.get('SOA') ?? 0;
  if (soas !== 1) problems.push({ message: `${apex} has ${soas} SOA records, a zone has exactly one` });
  if (!typesAt.get(apex)?.has('NS')) problems.push({ message: `${apex} has no NS record, a zone names its servers` });
  for (const [name, types] of typesAt) {
    if (!types.has('CNAME')) continue;
    const first = records.find((one) => one.type === 'CNAME' && one.name.toLowerCase() === name);
    const at = first === undefined ? {} : { record: first };
    if (types.size > 1) {
      const others = [...types.keys()].filter((type) => type !== 'CNAME').join(', ');
      problems.push({
        message: `${name} has a CNAME and also ${others}; a CNAME stands alone (RFC 2181 §10.1)`,
        ...at,
      });
    }
    if (types.get('CNAME')! > 1)
      problems.push({ message: `${name} has ${types.get('CNAME')} CNAME records, at most one is allowed`, ...at });
  }
  return problems;
}

function checkRecord(one: DesiredRecord, zone: Uint8Array, apex: string): string | undefined {
  const name = nameToWire(one.name);
  if (typeof name === 'string') return name;
  if (!isWithin(name, zone)) return `${one.name} is not in zone ${apex}`;
  const type = typeNumber(one.type);
  if (type === undefined || isMetaType(type)) return `${one.name}: unknown type ${one.type}`;
  if (type === Type.DNAME) return `${one.name}: DNAME is not supported yet; use a wildcard CNAME`;
  if (type === Type.SOA && one.name.toLowerCase() !== apex) return `${one.name}: a SOA stands only at ${apex}`;
  if (!(Number.isInteger(one.ttl) && one.ttl >= 0 && one.ttl <= ttlMax)) {
    return `${one.name} ${one.type}: TTL ${one.ttl} is not from 0 to ${ttlMax}`;
  }
  const wire = parseRdata(type, one.data);
  return typeof wire === 'string' ? `${one.name} ${one.type}: ${wire}` : undefined;
}
