/** For tests: packets built by hand, a small desired state, maps from intervals, answers read by dns-packet. */
import { type DesiredRecord, type DesiredService, type DesiredState, groupKey } from '@ufes/core/desired.ts';
import { createCookieKeys, setCookieKeys } from '@ufes/core/dns/cookie.ts';
import { parseMaster } from '@ufes/core/dns/master.ts';
import { nameToWire } from '@ufes/core/dns/name.ts';
import { addressBytes, parseAddress, parsePeer } from '@ufes/core/ip.ts';
import { createLive, type LiveView, liveBuffer } from '@ufes/core/live.ts';
import type { Explanation } from '@ufes/core/steering/explanation.ts';
import type { IntervalIndex, MapGroup, SteeringMap } from '@ufes/core/steering/map.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import packet, { type Opt, type Record as PacketRecord } from 'dns-packet';
import { AnswerAgain } from './again.ts';
import { Answerer } from './answer.ts';
import { Counters } from './counters.ts';
import { nothingKnown } from './explain.ts';
import { type ExplainQuestion, explain } from './explain-question.ts';
import { ProbeQueries, RecentAnswers } from './recent.ts';
import { createRateTable } from './rrl.ts';
import { buildTables, type Tables } from './tables.ts';
import { Wire, type WireOptions } from './wire.ts';

const zoneText = `
@        SOA ns1 host 7 7200 900 1209600 60
@        NS  ns1
@        A   192.0.2.80
ns1      A   192.0.2.53
api      A   192.0.2.81
api      A   192.0.2.82
api      TXT "hello"
alias    CNAME api
far      CNAME www.elsewhere.test.
deep     CNAME deep2
deep2    CNAME missing
tosteer  CNAME tosteer2
tosteer2 CNAME www
loop     CNAME loop
a.b.ent  A   192.0.2.83
*.wild   TXT "any"
x.y.wild A   192.0.2.84
*.cw     CNAME api
sub      NS  ns.sub
sub      NS  ns1
ns.sub   A   192.0.2.90
hid.sub  A   192.0.2.91
mail     MX  10 mx1
mail     MX  20 mx2.mail
big      TXT ${Array.from({ length: 8 }, (_, i) => `"${String(i).repeat(250)}"`).join(' ')}
mid      TXT ${Array.from({ length: 3 }, (_, i) => `"${String(i).repeat(200)}"`).join(' ')}
`;

function zoneRecords(text: string, origin: string): DesiredRecord[] {
  const { records, problems } = parseMaster(text, origin, 300);
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  return records;
}

const shopRecords = zoneRecords(zoneText, 'shop.example.');
const probeRecords = zoneRecords('@ SOA ns host 1 2 3 4 30\n@ NS ns\nns A 192.0.2.53\n', 'probe.example.');

export function service(over: Partial<DesiredService> = {}): DesiredService {
  return {
    id: 'shop',
    name: 'www.shop.example.',
    owner: 'config',
    answered: true,
    policy: 'latency',
    candidates: [
      { pop: 0, v4: '127.0.10.1' },
      { pop: 1, v4: '127.0.20.1' },
      { pop: 2, v4: '127.0.30.1' },
    ],
    origin: 'eu',
    k: 3,
    answers: 1,
    ttlSecondsMin: 5,
    ttlSecondsMax: 60,
    allDown: { rule: 'serve-preferred' },
    ...over,
  };
}

export function desiredState(over: Partial<DesiredState> = {}): DesiredState {
  const pop = (id: string, v4: string, v6?: string) => ({
    id,
    title: id,
    latitude: 0,
    longitude: 0,
    vips: { v4, ...(v6 === undefined ? {} : { v6 }) },
    httpsPort: 8443,
    httpPort: 8080,
    requestsPerSecond: 1000,
    backboneRttMs: { eu: 20 },
  });
  return {
    format: 1,
    version: { ms: 1_764_000_000_000, writer: 'aaaaaa' },
    createdAtMs: 1_764_000_000_000,
    pops: [pop('lon', '127.0.10.1', '2001:db8:10::1'), pop('iad', '127.0.20.1'), pop('sin-2', '127.0.30.1')],
    origins: [],
    zones: [
      { origin: 'shop.example.', records: shopRecords },
      { origin: 'probe.example.', records: probeRecords },
    ],
    services: [service()],
    hosts: [],
    vips: [],
    probe: { zone: 'probe.example.', sources: ['rum'] },
    ...over,
  };
}

export interface Interval {
  /** First address. */
  readonly from: string;
  /** PoP ids, best first. */
  readonly ranking: readonly string[];
}

/** A map of one group. Neighbours must differ, and the first interval of a family starts at its first address. */
export function buildMap(
  desired: DesiredState,
  v4: readonly Interval[],
  v6: readonly Interval[] = [{ from: '::', ranking: v4[0]!.ranking }],
): SteeringMap {
  const pops = desired.pops.map((pop) => pop.id);
  const rows: string[] = [];
  const row = (ranking: readonly string[]): number => {
    const key = ranking.join(',');
    if (!rows.includes(key)) rows.push(key);
    return rows.indexOf(key);
  };
  const index = (family: 4 | 6, intervals: readonly Interval[]): IntervalIndex => {
    const addresses = intervals.map(({ from }) => parseAddress(from)!);
    return {
      family,
      hi: Uint32Array.from(addresses, ({ hi }) => hi),
      lo: family === 4 ? new Uint32Array(0) : Uint32Array.from(addresses, ({ lo }) => lo),
      ranking: Uint32Array.from(intervals, ({ ranking }) => row(ranking)),
    };
  };
  const indexes = { v4: index(4, v4), v6: index(6, v6) };
  const group: MapGroup = {
    key: groupKey(desired.services[0]!, desired.pops),
    width: pops.length,
    rankings: Uint8Array.from(
      rows.flatMap((ranking) => {
        const ids = ranking.split(',');
        return pops.map((_, i) => (i < ids.length ? pops.indexOf(ids[i]!) : 255));
      }),
    ),
    ...indexes,
  };
  const none = new Uint32Array(0);
  const cells = {
    v4: none,
    v6hi: none,
    v6lo: none,
    estimate: new Uint16Array(0),
    low: new Uint16Array(0),
    high: new Uint16Array(0),
    n: new Uint16Array(0),
    tier: new Uint8Array(0),
  };
  return { createdAtMs: 1_764_000_000_000, pops, sources: ['rum'], geoip: 'test 2026', groups: [group], cells };
}

export interface Ecs {
  readonly address: string;
  readonly source: number;
  readonly family?: number;
  readonly scope?: number;
  /** Bytes of the address sent; default: as many as the source needs. */
  readonly bytes?: readonly number[];
}

export interface QueryInit {
  readonly name?: string;
  readonly type?: number;
  readonly class?: number;
  readonly id?: number;
  readonly flags?: number;
  readonly opcode?: number;
  /** OPT with these options; absent: no OPT. */
  readonly edns?: {
    readonly size?: number;
    readonly version?: number;
    readonly options?: readonly number[];
    readonly do?: boolean;
  };
  readonly ecs?: Ecs;
}

export const word = (value: number): number[] => [(value >> 8) & 255, value & 255];

export function ecsOption({ address, source, family, scope = 0, bytes }: Ecs): number[] {
  const all = addressBytes(address)!;
  const sent = bytes ? [...bytes] : [...all.subarray(0, (source + 7) >> 3)];
  if (bytes === undefined && source % 8 !== 0) sent[sent.length - 1]! &= 0xff << (8 - (source % 8));
  const data = [...word(family ?? (all.length === 4 ? 1 : 2)), source, scope, ...sent];
  return [...word(8), ...word(data.length), ...data];
}

function optRecord(edns: NonNullable<QueryInit['edns']>, extra: readonly number[] = []): number[] {
  const options = [...(edns.options ?? []), ...extra];
  return [
    0,
    ...word(41),
    ...word(edns.size ?? 1232),
    0,
    edns.version ?? 0,
    edns.do ? 0x80 : 0,
    0,
    ...word(options.length),
    ...options,
  ];
}

export function question(name: string, type: number, qclass = 1): number[] {
  return [...(nameToWire(name) as Uint8Array), ...word(type), ...word(qclass)];
}

export function query(init: QueryInit = {}): Uint8Array {
  const opt = init.edns !== undefined || init.ecs !== undefined;
  const extra = init.ecs === undefined ? [] : ecsOption(init.ecs);
  return Uint8Array.from([
    ...word(init.id ?? 0x1234),
    ((init.opcode ?? 0) << 3) | (init.flags ?? 1),
    0,
    ...word(1),
    ...word(0),
    ...word(0),
    ...word(opt ? 1 : 0),
    ...question(init.name ?? 'www.shop.example.', init.type ?? 1, init.class),
    ...(opt ? optRecord(init.edns ?? {}, extra) : []),
  ]);
}

export interface Harness {
  readonly answerer: Answerer;
  readonly counters: Counters;
  readonly recent: RecentAnswers;
  readonly probes: ProbeQueries;
  readonly live: LiveView;
  readonly clock: ManualClock;
  use(desired: DesiredState, map?: SteeringMap): Tables;
  /** Raw answer, or undefined for silence. */
  raw(bytes: Uint8Array, peer?: string, overTcp?: boolean): Uint8Array | undefined;
  ask(init?: QueryInit, peer?: string, overTcp?: boolean): Answer;
}

export interface Answer {
  readonly rcode: string;
  readonly id: number;
  readonly aa: boolean;
  readonly tc: boolean;
  /** `name ttl TYPE data`. */
  readonly answers: string[];
  readonly authorities: string[];
  readonly additionals: string[];
  readonly opt?: Opt;
  readonly scope?: number;
  readonly bytes: Uint8Array;
}

export const plainWire: WireOptions = {
  nsid: new Uint8Array(0),
  cookies: true,
  rateLimit: { answersPerSecond: 0, slip: 2 },
  udpBytesWithoutCookie: 1232,
  chaos: new Map(),
};

export function testWire(over: Partial<WireOptions> = {}): Wire {
  const cookieKeys = createCookieKeys();
  setCookieKeys(cookieKeys, new Uint8Array(16).fill(1), new Uint8Array(16).fill(2), new Uint8Array(16).fill(3));
  return new Wire({ ...plainWire, ...over }, { cookieKeys, rates: createRateTable(1) });
}

/** The explanation by tables alone, or why there is none. */
export function explained(tables: Tables, question: ExplainQuestion, atMs = 0): Explanation | string {
  return explain(tables, question, nothingKnown('test', atMs), new AnswerAgain(plainWire));
}

export function harness(
  desired: DesiredState | undefined = desiredState(),
  map?: SteeringMap,
  over: Partial<WireOptions> = {},
): Harness {
  const clock = new ManualClock();
  const counters = new Counters();
  const recent = new RecentAnswers();
  const probes = new ProbeQueries();
  const live = createLive(liveBuffer(8));
  const answerer = new Answerer({ clock, counters, recent, probes, wire: testWire(over) });
  const use = (next: DesiredState, nextMap?: SteeringMap): Tables => {
    const mapVersion = nextMap && { ms: 1_764_000_000_001, writer: 'bbbbbb' };
    const { tables } = answerer;
    const names = tables?.desired === next ? { names: tables.names } : {};
    answerer.tables = buildTables({
      desired: next,
      map: nextMap,
      mapVersion,
      live,
      counts: counters.answers,
      ...names,
    });
    return answerer.tables;
  };
  if (desired !== undefined) use(desired, map);
  const raw: Harness['raw'] = (bytes, peer = '127.0.0.1', overTcp = false) => {
    const length = answerer.answer(bytes, parsePeer(peer)!, overTcp);
    return length === 0 ? undefined : answerer.out.slice(0, length);
  };
  return {
    answerer,
    counters,
    recent,
    probes,
    live,
    clock,
    use,
    raw,
    ask(init = {}, peer, overTcp) {
      const bytes = raw(query(init), peer, overTcp);
      if (bytes === undefined) throw new Error('no answer');
      return readAnswer(bytes);
    },
  };
}

export function readAnswer(bytes: Uint8Array): Answer {
  const read = packet.decode(Buffer.from(bytes));
  const opt = read.additionals.find((one) => one.type === 'OPT');
  const rcode = ((opt?.extendedRcode ?? 0) << 4) | (bytes[3]! & 15);
  const ecs = opt?.options?.find((one) => one.code === 8);
  return {
    rcode: ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'][rcode] ?? String(rcode),
    id: read.id,
    aa: read.flag_aa,
    tc: read.flag_tc,
    answers: read.answers.map(text),
    authorities: read.authorities.map(text),
    additionals: read.additionals.filter((one) => one.type !== 'OPT').map(text),
    ...(opt === undefined ? {} : { opt }),
    ...(ecs === undefined ? {} : { scope: ecs.scopePrefixLength ?? -1 }),
    bytes,
  };
}

function text({ name, ttl, type, data }: PacketRecord): string {
  const shown = Array.isArray(data)
    ? data.map(String).join('|')
    : typeof data === 'object'
      ? JSON.stringify(data)
      : data;
  return `${name} ${ttl} ${type} ${shown}`;
}
