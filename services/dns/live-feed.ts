/**
 * Keeps the live state that answers read: this node's own checks and the votes of all vantages, what was said from
 * outside, drains and loads.
 *
 *     own checks ──┐
 *     vote/… ──────┴─ tally ─┐
 *     verdict/TARGET ────────┼─ believe ─▶ LiveView (shared memory) ─▶ the very next answer
 *     drain/POP ─────────────┤       └──▶ live.json on the node's own disk
 *     load/POP ─▶ RoomShares ┤
 *     force/ID ─▶ Orders ────┘
 *
 * With the store gone the last votes run out and own checks decide; a drain holds until its own expiry, an external
 * verdict until its end, over a restart too.
 */
import {
  type Belief,
  believe,
  both,
  type Drain,
  type ExternalVerdict,
  mergeExternal,
  readDrains,
  readExternal,
} from '@ufes/core/belief.ts';
import type { DesiredPop } from '@ufes/core/desired.ts';
import { describeError } from '@ufes/core/errors.ts';
import { checkSettings } from '@ufes/core/health.ts';
import { limits } from '@ufes/core/limits.ts';
import {
  createLive,
  LiveState,
  type LiveView,
  liveBuffer,
  liveStateNames,
  setLive,
  setLiveFor,
  setRoom,
  setTimes,
  weekOf,
} from '@ufes/core/live.ts';
import type { Component, LiveEntry } from '@ufes/core/ports.ts';
import { defaultRoom, RoomShares } from '@ufes/core/steering/room.ts';
import { splitTarget, tally, targetOf, unknownVerdict, type Verdict, type Vote } from '@ufes/core/votes.ts';
import { createPopVantage, type PopVantageInit, type Watched } from '@ufes/io/health/pop-checker.ts';
import { readVotes } from '@ufes/io/health/votes.ts';
import { rateLimited } from '@ufes/io/log.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { createJournalKeeper, type Decisive, type JournalKeeper } from './live-journal.ts';
import { createLiveKept, type LiveKept } from './live-kept.ts';
import { createOrders, type Orders } from './orders.ts';

type Parts = Pick<ServiceContext, 'config' | 'state' | 'node' | 'clock' | 'log' | 'bus' | 'store' | 'rng'>;

/** Versions that answers are made of now. */
export type AppliedVersions = () => Decisive['applied'];

export interface LiveFeed extends Component {
  /** Forces and drains. */
  readonly orders: Orders;
  /** After an order was given: into the very next answer. After tables were swapped: into the journal. */
  refresh(): void;
  /** The view of these PoPs and services, by their numbers, kept up to date from now on. The same lists give the same view. */
  follow(desired: Watched): LiveView;
  /** Resolves when every target has been checked once, or after `ms`. */
  settled(ms: number): Promise<void>;
  /** Votes that this node has, by target. */
  votes(): ReadonlyMap<string, Vote[]>;
  /** What the votes come to, by target. */
  verdicts(): ReadonlyMap<string, Verdict>;
  /** External verdicts in force, and withdrawals that have not ended. */
  external(): readonly ExternalVerdict[];
  /** Takes it in, here for certain and on disk; false when the store could not be told, which is then tried again. */
  say(external: ExternalVerdict): Promise<boolean>;
  /** Since live state was last read from the store; undefined: never. */
  readAgeMs(): number | undefined;
}

export function createLiveFeed(
  context: Parts,
  attempt?: PopVantageInit['attempt'],
  applied: AppliedVersions = () => ({}),
): LiveFeed {
  return new Feed(context, attempt, applied);
}

class Feed implements LiveFeed {
  readonly orders: Orders;
  readonly #room = new RoomShares();
  #roomAdopted = false;
  readonly #context: Parts;
  readonly #settings;
  readonly #vantage;
  readonly #kept: LiveKept;
  readonly #journal: JournalKeeper;
  readonly #applied: AppliedVersions;
  readonly #limit;
  #desired: Watched = { pops: [], services: [] };
  #rows: ReadonlyMap<string, number> = new Map();
  #numbers: ReadonlyMap<string, number> = new Map();
  #view: LiveView = createLive();
  /** Target → row and PoP of the cells that are set. */
  #cells = new Map<string, [row: number, pop: number]>();
  #entries: readonly LiveEntry[] = [];
  #votes: readonly Vote[] = [];
  #external: ReadonlyMap<string, ExternalVerdict> = new Map();
  /** Of every followed target. */
  #verdicts = new Map<string, Verdict>();
  #states = new Map<string, LiveState>();
  #readAtMs: number | undefined;
  #stops: (() => void)[] = [];
  #soon: (() => void) | undefined;
  #reading: Promise<void> | undefined;
  #readAgain = false;
  #onResult: () => void = () => {};

  constructor(context: Parts, attempt: PopVantageInit['attempt'], applied: AppliedVersions) {
    const { clock, log, state, node } = context;
    this.#applied = applied;
    this.#journal = createJournalKeeper(context);
    this.#context = context;
    this.#settings = checkSettings(context.config.probes.health);
    this.#limit = rateLimited(10_000, () => clock.monotonicMs());
    this.orders = createOrders(context);
    this.#kept = createLiveKept(state, node, { clock, log, intervalMs: this.#settings.intervalMs });
    this.#vantage = createPopVantage(context, {
      ...(attempt && { attempt }),
      onState: (changed) => {
        if (changed) this.#update();
        else this.#updateSoon();
        this.#onResult();
      },
    });
  }

  async start(): Promise<void> {
    const { bus, clock } = this.#context;
    await this.orders.load();
    await this.#takeKept();
    this.#stops = [
      bus.on('live', () => void this.#read()),
      clock.every(limits.store.pollMs, () => void this.#read()),
      // Not after a reading alone: a store that hangs must not hold up own checks or promises that shrink.
      clock.every(limits.store.pollMs, () => this.#update()),
    ];
    await this.#vantage.start();
    await this.#read();
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops.splice(0)) stop();
    this.#soon?.();
    await this.#reading;
    await this.#vantage.stop();
    await this.#kept.flush();
    await this.#journal.flush();
  }

  async #takeKept(): Promise<void> {
    const { clock, log } = this.#context;
    const kept = await this.#kept.load();
    for (const [target, verdict] of kept.verdicts) {
      const known = this.#verdicts.get(target);
      if (known !== undefined && known.state === 'unknown') this.#verdicts.set(target, verdict);
    }
    this.#external = mergeExternal(kept.external, this.#external.values(), clock.nowMs());
    if (kept.atMs > 0) {
      const ageSeconds = Math.round((clock.nowMs() - kept.atMs) / 1000);
      log.info({ ageSeconds, targets: kept.verdicts.size }, 'dns: starts from live state as it was');
    }
    this.#update();
  }

  follow(desired: Watched): LiveView {
    const ids = (list: readonly { id: string }[]) => list.map(({ id }) => id).join();
    const { pops, services } = this.#desired;
    const same = ids(pops) === ids(desired.pops) && ids(services) === ids(desired.services);
    // Another numbering gets another view: answers under way keep the one they began with.
    if (!same) {
      this.#view = createLive(liveBuffer(desired.services.length));
      this.#cells.clear();
    }
    this.#desired = desired;
    this.#rows = new Map(desired.services.map(({ id }, row) => [id, row]));
    this.#numbers = new Map(desired.pops.map(({ id }, number) => [id, number]));
    this.#verdicts = this.#verdictsOf(desired);
    this.#vantage.follow(desired);
    this.#update();
    return this.#view;
  }

  /** The last verdict on each target to be followed; of new ones nothing is known. */
  #verdictsOf({ pops, services }: Watched): Map<string, Verdict> {
    const targets = pops.map(({ id }) => id);
    for (const { id, check, candidates } of services) {
      if (check === undefined) continue;
      for (const { pop } of candidates) targets.push(targetOf(pops[pop]!.id, id));
    }
    const sinceMs = this.#context.clock.nowMs();
    const unknown = unknownVerdict(this.#settings.intervalMs, sinceMs);
    return new Map(targets.map((target) => [target, this.#verdicts.get(target) ?? unknown]));
  }

  settled(ms: number): Promise<void> {
    const done = () => [...this.#vantage.results().values()].every((result) => result.atMs > 0);
    if (done()) return Promise.resolve();
    return new Promise((resolve) => {
      const finish = () => {
        cancel();
        this.#onResult = () => {};
        this.#update();
        resolve();
      };
      const cancel = this.#context.clock.after(ms, finish);
      this.#onResult = () => done() && finish();
    });
  }

  votes(): ReadonlyMap<string, Vote[]> {
    const others = this.#votes.filter((vote) => vote.vantage !== this.#context.node);
    return Map.groupBy([...this.#vantage.votes(), ...others], (vote) => vote.target);
  }

  verdicts(): ReadonlyMap<string, Verdict> {
    return this.#verdicts;
  }

  external(): readonly ExternalVerdict[] {
    return [...this.#external.values()];
  }

  readAgeMs(): number | undefined {
    return this.#readAtMs === undefined ? undefined : this.#context.clock.monotonicMs() - this.#readAtMs;
  }

  async say(external: ExternalVerdict): Promise<boolean> {
    this.#external = mergeExternal(this.#external.values(), [external], this.#context.clock.nowMs());
    this.#update();
    this.#kept.keep(this.#verdicts, this.#external.values());
    await this.#kept.flush();
    return this.#tell([external]);
  }

  async #tell(list: readonly ExternalVerdict[]): Promise<boolean> {
    const { store, bus, clock } = this.#context;
    const nowMs = clock.nowMs();
    const entries = list.map(({ target, ...value }) => ({
      key: `verdict/${target}`,
      value,
      ttlMs: Math.max(1, value.untilMs - nowMs),
    }));
    try {
      await store.live.put(entries);
      bus.wake('live');
      return true;
    } catch {
      return false;
    }
  }

  /** One reading at a time; a wake-up during one causes another after it. */
  #read(): Promise<void> {
    this.#readAgain = true;
    this.#reading ??= this.#readWhileAsked().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readWhileAsked(): Promise<void> {
    const { store, clock, log } = this.#context;
    while (this.#readAgain) {
      this.#readAgain = false;
      try {
        const kinds = ['vote/', 'drain/', 'load/', 'verdict/', 'force/', ...(this.#roomAdopted ? [] : ['room/'])];
        const [votes = [], ...lists] = await Promise.all(kinds.map((kind) => store.live.list(kind)));
        this.#votes = readVotes(votes);
        this.#entries = lists.flat();
        this.#readAtMs = clock.monotonicMs();
        this.#adoptRoom();
        await this.#takeExternal(readExternal(this.#entries));
        await this.orders.take(this.#entries.filter(({ key }) => /^(force|drain)\//.test(key)));
      } catch (error) {
        this.#limit('read', (suppressed) =>
          log.warn(
            { error: describeError(error), suppressed },
            'dns: live state cannot be read, own health checks decide',
          ),
        );
      }
      this.#update();
    }
  }

  /** What the store has of external verdicts, and what it should have: one that was lost with a store is told again. */
  async #takeExternal(found: readonly ExternalVerdict[]): Promise<void> {
    const merged = mergeExternal(this.#external.values(), found, this.#context.clock.nowMs());
    this.#external = merged;
    const stored = new Map(found.map((one) => [one.target, one.atMs]));
    const missing = [...merged.values()].filter(({ target, atMs }) => (stored.get(target) ?? 0) < atMs);
    if (missing.length > 0) await this.#tell(missing);
  }

  #updateSoon(): void {
    this.#soon ??= this.#context.clock.after(this.#settings.intervalMs / 2, () => this.#update());
  }

  /** From what is known now to the words that answers read. */
  #update(): void {
    this.#soon?.();
    this.#soon = undefined;
    const nowMs = this.#context.clock.nowMs();
    const before = this.#verdicts;
    const known = (vote: Vote) => before.has(vote.target);
    const own = this.#vantage.votes().filter(known);
    this.#verdicts = tally(this.#votes.filter(known), own, before, this.#settings, nowMs);
    this.#external = mergeExternal(this.#external.values(), [], nowMs);
    const entries = this.#entries.filter((entry) => entry.expiresAtMs > nowMs);
    const drains = readDrains(entries);
    for (const order of this.orders.inForce('drain')) {
      drains.set(order.pop, { pop: order.pop, atMs: Math.min(order.writtenMs, nowMs), untilMs: order.untilMs });
    }
    const loads = new Map(entries.filter(({ key }) => key.startsWith('load/')).map((entry) => [entry.key, entry]));
    for (const [number, pop] of this.#desired.pops.entries()) {
      const { id } = pop;
      const load = loads.get(`load/${id}`);
      const belief = believe(this.#verdicts.get(id)!, this.#saidOf(id), drains.get(id), nowMs);
      setLive(this.#view, number, {
        state: belief.state,
        loadPerMille: load === undefined ? 0 : Math.round(1000 * loadShare(load, pop)),
        holdMs: publishedMs(belief),
        sinceSeconds: Math.floor(belief.sinceMs / 1000),
      });
      this.#tellChange(id, belief);
    }
    this.#updateCells(drains, nowMs);
    this.#updateRoom(loads, nowMs);
    const { pops, services } = this.#desired;
    this.orders.write(
      this.#view,
      pops.map(({ id }) => id),
      services.map(({ name }) => name),
      nowMs,
    );
    this.#kept.keep(this.#verdicts, this.#external.values());
    this.#journal.note({
      view: this.#view,
      numbered: this.#desired,
      cells: this.#cells.values(),
      verdicts: this.#verdicts,
      own,
      orders: this.orders,
      external: this.#external.values(),
      applied: this.#applied(),
    });
  }

  refresh(): void {
    this.#update();
  }

  /** After a restart the node goes on with the shares that it, or another, had a moment ago. */
  #adoptRoom(): void {
    if (this.#roomAdopted) return;
    this.#roomAdopted = true;
    const kept = this.#entries.filter(({ key }) => key.startsWith('room/'));
    const newest = kept.toSorted((a, b) => b.writtenAtMs - a.writtenAtMs)[0];
    if (typeof newest?.value === 'object' && newest.value !== null) {
      this.#room.adopt(newest.value as Readonly<Record<string, unknown>>);
    }
  }

  /** Loads to shares, and shares to the words that answers read. */
  #updateRoom(loads: ReadonlyMap<string, LiveEntry>, nowMs: number): void {
    const { pops, room = defaultRoom } = this.#desired;
    for (const pop of pops) {
      const load = loads.get(`load/${pop.id}`);
      if (load !== undefined) this.#room.observe(pop.id, loadShare(load, pop), load.writtenAtMs);
    }
    if (this.#room.step(nowMs, room)) this.#tellRoom();
    for (const [number, { id }] of pops.entries()) {
      const { shed, band } = this.#room.words(id, room);
      setRoom(this.#view, number, shed, band);
    }
    setTimes(this.#view, weekOf(nowMs), this.#room.leftMs(nowMs));
  }

  #tellRoom(): void {
    const { store, node } = this.#context;
    const entry = { key: `room/${node}`, value: this.#room.shares(), ttlMs: 3 * limits.dns.feedbackMs };
    store.live.put([entry]).catch(() => {
      // Told again after the next step.
    });
  }

  /** Services that are judged by themselves: they have a check, or something was said of them. */
  #updateCells(drains: ReadonlyMap<string, Drain>, nowMs: number): void {
    const targets = new Set(
      [...this.#verdicts.keys(), ...this.#external.keys()].filter((target) => target.includes('/')),
    );
    for (const [target, [row, pop]] of this.#cells) {
      if (targets.has(target)) continue;
      setLiveFor(this.#view, row, pop, LiveState.unknown, 0);
      this.#cells.delete(target);
    }
    for (const target of targets) {
      const { pop, service } = splitTarget(target);
      const row = this.#rows.get(service!);
      const number = this.#numbers.get(pop);
      if (row === undefined || number === undefined) continue;
      const votes = both(this.#verdicts.get(pop)!, this.#verdicts.get(target));
      const belief = believe(votes, this.#saidOf(pop, service), drains.get(pop), nowMs);
      // In a cell "unknown" means "as the PoP"; a service that nobody could check yet counts as up.
      const state = belief.state === LiveState.unknown ? LiveState.up : belief.state;
      setLiveFor(this.#view, row, number, state, publishedMs(belief));
      this.#cells.set(target, [row, number]);
      this.#tellChange(target, belief);
    }
  }

  #saidOf(pop: string, service?: string): ExternalVerdict | undefined {
    const own = service === undefined ? undefined : this.#external.get(targetOf(pop, service));
    return own === undefined || own.state === 'none' ? this.#external.get(pop) : own;
  }

  #tellChange(target: string, { state }: Belief): void {
    const before = this.#states.get(target);
    this.#states.set(target, state);
    if (before === undefined || before === state) return;
    const { pop, service } = splitTarget(target);
    // What is down when first looked at is starting, as a rule.
    const isNews = state === LiveState.down && before !== LiveState.unknown;
    this.#context.log[isNews ? 'warn' : 'info'](
      { pop, ...(service && { service }), before: liveStateNames[before], state: liveStateNames[state] },
      service === undefined ? 'dns: PoP changed state' : 'dns: service changed state at a PoP',
    );
  }
}

/** Answers read the promise until the next update: what it will have shrunk by then is taken off beforehand. */
function publishedMs({ holdMs }: Belief): number {
  return holdMs === 0 ? 0 : Math.max(1, Math.floor(holdMs - limits.store.pollMs));
}

/** What the PoP's edge says it carries, of what it can: the scarcer of requests and connections. */
function loadShare({ value }: LiveEntry, pop: DesiredPop): number {
  const { requestsPerSecond, connections } = (typeof value === 'object' && value !== null ? value : {}) as Record<
    string,
    unknown
  >;
  const share = (used: unknown, capacity: number | undefined) =>
    typeof used === 'number' && used >= 0 && capacity !== undefined ? used / capacity : 0;
  return Math.max(share(requestsPerSecond, pop.requestsPerSecond), share(connections, pop.connections));
}
