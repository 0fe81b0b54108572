/** Zones of the configuration as records: from the keys of ufes.yaml, or from a master file whose text is handed in. */
import type { DesiredRecord, DesiredZone } from '../desired.ts';
import { checkZone, parseMaster, parseRecord } from '../dns/master.ts';
import { absoluteName } from './names.ts';
import type { Config, ConfigProblem, ZoneConfig } from './schema.ts';

export interface CompiledZone {
  /** As written in the configuration. */
  readonly key: string;
  readonly zone: DesiredZone;
  /** A zone with any problem is refused whole. */
  readonly problems: readonly ConfigProblem[];
}

/** `texts`: master file by zone key, for zones with `file`; one that is absent could not be read, which its reader says. */
export function compileZones(config: Config, texts: ReadonlyMap<string, string>): CompiledZone[] {
  return Object.entries(config.zones).map(([key, zone]) => compileZone(key, zone, texts.get(key)));
}

function compileZone(key: string, config: ZoneConfig, text: string | undefined): CompiledZone {
  const origin = absoluteName(key);
  if (origin === undefined || origin.startsWith('*')) {
    const problem = { path: ['zones', key], atKey: true, message: `"${key}" is not a domain name` };
    return { key, zone: { origin: key, records: [] }, problems: [problem] };
  }
  const { records, problems } =
    config.file === undefined ? inlineZone(key, origin, config) : fileZone(key, origin, config, text);
  return { key, zone: { origin, records }, problems };
}

function fileZone(key: string, origin: string, config: ZoneConfig, text: string | undefined) {
  const problems: ConfigProblem[] = [];
  const path = ['zones', key];
  for (const other of ['soa', 'ns'] as const) {
    if (config[other] !== undefined) {
      problems.push({ path: [...path, other], atKey: true, message: `"${other}" stands in the zone's file, not here` });
    }
  }
  if (config.records.length > 0) {
    problems.push({ path: [...path, 'records'], atKey: true, message: "records stand in the zone's file, not here" });
  }
  if (text === undefined) return { records: [], problems };
  const parsed = parseMaster(text, origin, config.ttl);
  for (const { line, message } of parsed.problems) problems.push({ path, zoneFile: { zone: key, line }, message });
  if (parsed.problems.length === 0) {
    for (const { message, record } of checkZone(origin, parsed.records)) {
      problems.push({ path, zoneFile: { zone: key, line: lineOf(text, origin, record) }, message });
    }
  }
  return { records: parsed.records, problems };
}

/** The line that most likely holds the record; 1 when none does. */
function lineOf(text: string, origin: string, record: DesiredRecord | undefined): number {
  if (record === undefined) return 1;
  const relative = record.name === origin ? '@' : record.name.slice(0, -origin.length - 1);
  const line = text.split('\n').findIndex((one) => {
    const [owner = '', ...words] = one.split(/\s+/);
    const isOwner = [relative, record.name].includes(owner.toLowerCase());
    return isOwner && words.some((word) => word.toUpperCase() === record.type);
  });
  return Math.max(0, line) + 1;
}

function inlineZone(key: string, origin: string, config: ZoneConfig) {
  const problems: ConfigProblem[] = [];
  const records: DesiredRecord[] = [];
  const paths = new Map<DesiredRecord, (string | number)[]>();
  const zonePath = ['zones', key];
  const add = (path: (string | number)[], name: string, type: string, ttl: number, data: string) => {
    const record = parseRecord(origin, { name, type, ttl, data });
    if (typeof record === 'string') problems.push({ path, message: record });
    else {
      records.push(record);
      paths.set(record, path);
    }
  };
  if (config.soa === undefined || config.ns === undefined) {
    const absent = [config.soa === undefined ? '"soa"' : '', config.ns === undefined ? '"ns"' : ''].filter(Boolean);
    const message = `a zone needs "file", or "soa" and "ns"; ${absent.join(' and ')} missing`;
    return { records, problems: [{ path: zonePath, atKey: true, message }] };
  }
  const { primary, contact, refresh, retry, expire, minimum } = config.soa;
  const numbers = `${refresh} ${retry} ${expire} ${minimum}`;
  add(
    [...zonePath, 'soa'],
    '@',
    'SOA',
    config.ttl,
    `${absolute(primary)} ${absolute(contact).replace('@', '.')} 1 ${numbers}`,
  );
  config.ns.forEach((name, i) => {
    add([...zonePath, 'ns', i], '@', 'NS', config.ttl, absolute(name));
  });
  config.records.forEach((record, i) => {
    add([...zonePath, 'records', i], record.name, record.type, record.ttl ?? config.ttl, record.data);
  });
  if (problems.length === 0) {
    for (const { message, record } of checkZone(origin, records)) {
      problems.push({ path: (record && paths.get(record)) ?? zonePath, message });
    }
  }
  return { records, problems };
}

/** Names of servers are written whole in ufes.yaml; their final dot may be left out. */
function absolute(name: string): string {
  return name.endsWith('.') ? name : `${name}.`;
}

/** TTL of negative answers (RFC 2308 §5): the last field of the SOA. */
export function soaMinimum(zone: DesiredZone): number | undefined {
  const soa = zone.records.find((record) => record.type === 'SOA');
  return soa === undefined ? undefined : Number(soa.data.split(' ').at(-1));
}

/** The zone with the SOA serial that the controller gives. */
export function withSerial(zone: DesiredZone, serial: number): DesiredZone {
  const records = zone.records.map((record) => {
    if (record.type !== 'SOA') return record;
    const fields = record.data.split(' ');
    fields[2] = String(serial >>> 0);
    return { ...record, data: fields.join(' ') };
  });
  return { origin: zone.origin, records };
}
