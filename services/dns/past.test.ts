/**
 * A day of a dns node under a simulated clock: maps and names are published, PoPs die and come back, operators force,
 * drain and say things, loads rise, and the node restarts once. Of 10,000 answers that its query log has of that day each
 * is made again from what was kept, byte for byte but for cookies, which have keys of their own.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DesiredState } from '@ufes/core/desired.ts';
import { createCookieKeys } from '@ufes/core/dns/cookie.ts';
import { parsePeer } from '@ufes/core/ip.ts';
import type { LiveEntry, Store } from '@ufes/core/ports.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import type { SteeringMap } from '@ufes/core/steering/map.ts';
import { encodeMap } from '@ufes/core/steering/map-bytes.ts';
import { formatVersion, type Version } from '@ufes/core/version.ts';
import { followArtefact, publishArtefact } from '@ufes/io/artefact.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import type { attempt } from '@ufes/io/health/attempt.ts';
import { silentLog } from '@ufes/io/log.ts';
import { type TestContext, testContext } from '@ufes/io/testing.ts';
import { expect, test } from 'vitest';
import { Answerer } from './answer.ts';
import { Counters } from './counters.ts';
import { createLiveFeed } from './live-feed.ts';
import { Past } from './past.ts';
import { QueryLog } from './query-log.ts';
import { createRateTable } from './rrl.ts';
import { createServing } from './serving.ts';
import { buildMap, desiredState, plainWire, query, service } from './testing.ts';
import { Wire } from './wire.ts';

const rng = seededRng('a day of answers');
const below = (n: number): number => Math.floor(rng.next() * n);
const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
const popIds = ['lon', 'iad', 'sin', 'fra', 'nrt', 'gru', 'syd'];

/** Polls twenty times as slowly: wake-ups bring what is new at once. */
class SlowClock extends ManualClock {
  override every(ms: number, fn: () => void): () => void {
    return super.every(20 * ms, fn);
  }
}

/** Live entries in memory; all else, the past above all, in a store as it ships. */
function withLiveInMemory(store: Store, clock: ManualClock): Store {
  const entries = new Map<string, LiveEntry>();
  return {
    ...store,
    live: {
      put: async (batch) => {
        const nowMs = clock.nowMs();
        for (const { key, value, ttlMs } of batch) {
          entries.set(key, { key, value, writtenAtMs: nowMs, expiresAtMs: nowMs + ttlMs });
        }
      },
      list: async (prefix) =>
        [...entries.values()].filter(({ key, expiresAtMs }) => key.startsWith(prefix) && expiresAtMs > clock.nowMs()),
      remove: async (keys) => {
        for (const key of keys) entries.delete(key);
      },
    },
  };
}

/** A dns node without sockets: main.ts, with one thread that answers when told. */
class Node {
  readonly context: TestContext;
  readonly answerer: Answerer;
  readonly feed;
  readonly #followers;
  mapVersion: Version | undefined;
  desiredVersion: Version | undefined;

  constructor(context: TestContext, isUp: (target: string) => boolean) {
    this.context = context;
    const { clock } = context;
    const wire = new Wire(plainWire, { cookieKeys: createCookieKeys(), rates: createRateTable(1) });
    const sinks = { recent: { addAnswer: () => {} }, probes: { addProbe: () => {} } };
    const counters = new Counters();
    this.answerer = new Answerer({ clock, counters, ...sinks, wire });
    const check: typeof attempt = ({ id }) => ({
      done: Promise.resolve(isUp(id) ? { ok: true as const, ms: 1 } : { ok: false as const, ms: 1, error: 'no' }),
      cancel: () => {},
    });
    this.feed = createLiveFeed(context, check, () => ({
      map: this.answerer.tables?.mapVersion && formatVersion(this.answerer.tables.mapVersion),
      desired: this.answerer.tables && formatVersion(this.answerer.tables.desired.version),
    }));
    const init = { answerer: this.answerer, threads: undefined, feed: this.feed, counts: counters.answers };
    const serving = createServing({ ...init, clock, log: silentLog });
    this.#followers = [
      followArtefact(context, 'desired', (payload, version) => {
        serving.applyDesired(payload);
        this.feed.refresh();
        this.desiredVersion = version;
      }),
      followArtefact(context, 'map', async (payload, version) => {
        await serving.applyMap(payload, version);
        this.feed.refresh();
        this.mapVersion = version;
      }),
    ];
  }

  async start(): Promise<void> {
    for (const follower of this.#followers) await follower.start();
    await this.feed.start();
  }

  async stop(): Promise<void> {
    await this.feed.stop();
    for (const follower of this.#followers) await follower.stop();
  }
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function namesOf(version: Version, hour: number): DesiredState {
  const base = desiredState();
  // The numbering changes with the names.
  const ids = hour % 3 === 0 ? popIds : [...popIds].reverse().slice(hour % 2);
  const pops = ids.map((id, i) => ({ ...base.pops[0]!, id, title: id, vips: { v4: `192.0.2.${i + 1}` } }));
  const candidates = (from: number) =>
    ids.slice(from).map((id, i) => ({
      pop: i + from,
      v4: `192.0.2.${1 + popIds.indexOf(id)}`,
      v6: `2001:db8::${1 + popIds.indexOf(id)}`,
    }));
  const services = [
    service({ candidates: candidates(0), ttlSecondsMax: 30 + 10 * (hour % 4) }),
    service({
      id: 'api',
      name: 'api2.shop.example.',
      candidates: candidates(1),
      answers: 2,
      allDown: { rule: 'fallback', addresses: [{ family: 4, address: '192.0.2.99' }] },
      shares: [{ pop: 2, share: 0.2 }],
    }),
    service({
      id: 'few',
      name: 'few.shop.example.',
      candidates: candidates(0).slice(0, 2),
      allDown: { rule: 'nodata' },
    }),
  ];
  return {
    ...base,
    version,
    createdAtMs: version.ms,
    pops,
    services,
    debug: { pinnedLabel: '{pop}', explainClients: [] },
  };
}

function drawnMap(desired: DesiredState, nowMs: number): SteeringMap {
  const groups = desired.services.map((one) => {
    const ids = one.candidates.map(({ pop }) => desired.pops[pop]!.id);
    const ranked = () => ids.toSorted(() => rng.next() - 0.5);
    const v4 = Array.from({ length: 64 }, (_, i) => ({ from: `81.2.${4 * i}.0`, ranking: ranked() }));
    const intervals = [{ from: '0.0.0.0', ranking: ranked() }, ...v4].filter(
      ({ ranking }, i, all) => i === 0 || ranking.join() !== all[i - 1]!.ranking.join(),
    );
    return buildMap({ ...desired, services: [one] }, intervals, [{ from: '::', ranking: ranked() }]).groups[0]!;
  });
  const base = buildMap(desired, [{ from: '0.0.0.0', ranking: popIds }]);
  const cells = {
    v4: Uint32Array.of(0x51024500),
    v6hi: new Uint32Array(0),
    v6lo: new Uint32Array(0),
    estimate: new Uint16Array(desired.pops.length).fill(200),
    low: new Uint16Array(desired.pops.length).fill(100),
    high: new Uint16Array(desired.pops.length).fill(400),
    n: new Uint16Array(desired.pops.length).fill(40),
    tier: new Uint8Array(desired.pops.length).fill(1),
  };
  return { ...base, createdAtMs: nowMs - below(26) * 3_600_000, pops: base.pops, groups, cells };
}

function anyQuery(desired: DesiredState): { bytes: Uint8Array; resolver: string } {
  const steered = pick(desired.services);
  const name = rng.next() < 0.05 ? `lon.${steered.name}` : steered.name;
  const ecs = pick([
    { address: `81.2.${below(256)}.0`, source: pick([24, 22, 16]) },
    { address: `81.2.${below(256)}.${below(256)}`, source: 32 },
    { address: `2002:5102:${below(256).toString(16)}00::`, source: 40 },
    { address: '10.0.0.0', source: 8 },
    undefined,
  ]);
  const cookie = [0, 10, 0, 8, ...Array.from({ length: 8 }, () => below(256))];
  const bytes = query({
    name: rng.next() < 0.2 ? name.toUpperCase() : name,
    type: pick([1, 1, 28]),
    id: below(65_536),
    ...(rng.next() < 0.9 && { edns: { options: rng.next() < 0.2 ? cookie : [] } }),
    ...(ecs && { ecs }),
  });
  return {
    bytes,
    resolver: pick(['203.0.113.9', `81.2.${below(256)}.53`, '2001:db8::53', `64:ff9b::81.2.${below(256)}.53`]),
  };
}

/** The bytes without the server's part of a cookie. */
function withoutCookie(answer: Uint8Array): string {
  const bytes = Buffer.from(answer);
  const at = bytes.indexOf(Buffer.from([0, 10, 0, 24]), 12);
  if (at >= 0) bytes.fill(0, at + 12, at + 28);
  return bytes.toString('base64');
}

interface Day {
  readonly state: string;
  readonly log: string;
  readonly publishes: number;
  readonly flips: number;
  readonly startMs: number;
}

const minutes = 24 * 60;
const answersEachMinute = 7;

async function day(state: string): Promise<Day> {
  const clock = new SlowClock();
  const startMs = clock.nowMs();
  const down = new Set<string>();
  const config = { probes: { health: { intervalMs: 15_000, timeoutMs: 5_000, failures: 1, successes: 1 } } } as never;
  const base = await testContext({ node: 'dns', clock, state, config, rng: seededRng('dns') });
  const context: TestContext = { ...base, store: withLiveInMemory(base.store, clock) };
  const isUp = (target: string) => !down.has(target);
  let node = new Node(context, isUp);
  const path = join(state, 'queries.log');
  const log = new QueryLog(path, silentLog);
  let desired: DesiredState | undefined;
  let publishes = 0;
  let flips = 0;
  let isStarted = false;

  /** Until what was published is in service, and what was started has ended. */
  async function settle(kind?: 'map' | 'desired', version?: Version): Promise<void> {
    if (!isStarted) return;
    const applied = () => (kind === 'map' ? node.mapVersion : node.desiredVersion)?.ms;
    for (let turns = 0; turns < 4 || (version !== undefined && applied() !== version.ms); turns++) await turn();
  }
  async function publishNames(hour: number): Promise<void> {
    const made = (version: Version) => {
      desired = namesOf(version, hour);
      return new TextEncoder().encode(JSON.stringify(desired));
    };
    await settle('desired', await publishArtefact(context, 'desired', made));
  }
  async function publishMap(): Promise<void> {
    publishes++;
    await settle('map', await publishArtefact(context, 'map', encodeMap(drawnMap(desired!, clock.nowMs()))));
  }
  async function order(): Promise<void> {
    const nowMs = clock.nowMs();
    const what = { writtenMs: nowMs, undone: false, pop: pick(popIds), reason: 'a test', by: 'ops' };
    const untilMs = nowMs + 60_000 * (1 + below(30));
    const audit = { atMs: nowMs, actor: 'ops', action: 'test', subject: 'test', detail: {} };
    const kind = below(3);
    if (kind === 0) await node.feed.orders.give({ ...what, untilMs, key: `drain/${what.pop}` }, audit);
    else if (kind === 1) {
      const force = {
        glob: pick(['*', 'www.*']),
        ...(rng.next() < 0.5 ? { state: pick(['up', 'down'] as const) } : { pin: rng.next() < 0.5 }),
      };
      await node.feed.orders.give({ ...what, ...force, untilMs, key: `force/f${nowMs}` }, audit);
    } else {
      const said = { target: what.pop, state: pick(['up', 'down', 'none'] as const), atMs: nowMs };
      await node.feed.say({ ...said, untilMs, reason: 'a test', by: 'ops' });
    }
    node.feed.refresh();
  }
  function flip(): void {
    const id = pick(popIds);
    if (!down.delete(id)) {
      if (down.size >= 3) return;
      down.add(id);
    }
    flips++;
  }
  function loads(): Promise<void> {
    const entries = popIds.map((id) => ({
      key: `load/${id}`,
      value: { requestsPerSecond: 400 + below(800) },
      ttlMs: 90_000,
    }));
    return context.store.live.put(entries);
  }
  function ask(): void {
    const { bytes, resolver } = anyQuery(desired!);
    const peer = parsePeer(resolver)!;
    const out = new Uint8Array(2_000);
    const length = node.answerer.answerInto(bytes, 0, bytes.length, peer, out, 0);
    log.write({
      atMs: clock.nowMs(),
      peer,
      overTcp: false,
      query: bytes,
      answer: out.slice(0, length),
      answerBytes: length,
    });
  }

  await publishNames(0);
  await publishMap();
  await node.start();
  isStarted = true;
  await settle();
  for (let minute = 0; minute < minutes; minute++) {
    // The past is told by the millisecond: what was answered in that of a change could be either.
    clock.advance(1);
    if (minute === minutes / 2) {
      await node.stop();
      node = new Node(context, isUp);
      await node.start();
      await settle();
    }
    if (minute % 60 === 59) await publishNames(minute / 60);
    if (rng.next() < 0.4) await publishMap();
    if (rng.next() < 0.8) flip();
    if (rng.next() < 0.1) await order();
    if (minute % 5 === 0) await loads();
    context.bus.wake('live');
    for (let left = 59_999, asked = 0; left > 0; ) {
      const stepMs = Math.min(left, 1 + below(20_000));
      clock.advance(stepMs);
      left -= stepMs;
      await settle();
      const count = left === 0 ? answersEachMinute - asked : below(3);
      for (let i = 0; i < count && asked < answersEachMinute; i++, asked++) ask();
    }
  }
  await node.stop();
  await log.close();
  await base.dispose();
  return { state, log: path, publishes, flips, startMs };
}

test('10,000 logged answers of a day are made again, byte for byte', { timeout: 240_000 }, async () => {
  const state = mkdtempSync(join(tmpdir(), 'ufes-past-'));
  try {
    const { log, publishes, flips, startMs } = await day(state);
    expect(publishes).toBeGreaterThanOrEqual(500);
    expect(flips).toBeGreaterThanOrEqual(500);
    const lines = readFileSync(log, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.length).toBeGreaterThanOrEqual(10_000);

    // Another process, another time.
    const context = await testContext({ node: 'later', state, clock: new ManualClock(startMs + 2 * 86_400_000) });
    const past = new Past({ store: context.store, state, wire: plainWire });
    const maps = new Set<unknown>();
    const wrong: string[] = [];
    let then: Awaited<ReturnType<Past['at']>> | undefined;
    let thenMs = 0;
    for (const { at, resolver, query: asked, answer } of lines) {
      const atMs = Date.parse(at);
      if (then === undefined || thenMs !== atMs) then = await past.at('dns', atMs);
      thenMs = atMs;
      maps.add(then.live.applied.map);
      const made = past.again.answer(then.tables, Buffer.from(asked, 'base64'), parsePeer(resolver)!, false, atMs);
      const was = Buffer.from(answer, 'base64');
      if (withoutCookie(made) !== withoutCookie(was))
        wrong.push(`${at} ${resolver} ${asked}: ${answer}, made ${Buffer.from(made).toString('base64')}`);
    }
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(wrong.length).toBe(0);
    expect(maps.size).toBeGreaterThan(400);

    const said = past.explain(
      { name: 'www.shop.example', client: '81.2.69.0/24', type: 1 },
      'dns',
      startMs + 3_600_000,
    );
    expect(await said).toMatchObject({ node: 'dns', atMs: startMs + 3_600_000, past: {}, zone: 'shop.example.' });
    const question = { name: 'www.shop.example', client: '81.2.69.0/24', type: 1 };
    await expect(past.explain(question, 'dns', startMs - 60_000)).rejects.toThrow(/kept from 20\d\d-.* on, for 7 days/);
    await expect(past.explain(question, 'dns2', startMs)).rejects.toThrow('they are kept of dns');
    await context.dispose();
  } finally {
    rmSync(state, { recursive: true, force: true });
  }
});
