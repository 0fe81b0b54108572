/**
 * Live state in words that outlive numberings and processes, and how a journal of it is read: a whole now and then, and
 * what changed in between. Answers of the past are explained by it, so it holds all of a view (live.ts) that `decide`
 * reads, as exactly as answers do.
 *
 *     pop/POP            state, holdMs, shed, band, since (s)      cell/POP/SERVICE   state, holdMs
 *     time               week, feedbackMs                          row/SERVICE        answer, states
 *     force/SLOT         PoP, state, pin, endsMs, id, glob, by, reason
 *     load/POP           per mille of capacity, now and then       own/TARGET         this node's vote: state
 *     votes/TARGET       state, votes counted, since (ms)          applied/KIND       version: `map`, `desired`
 *     drain/POP          until (ms), by, reason                    said/TARGET        state, until (ms), by, reason
 *
 * Times that say how long something holds are whole seconds, at least 1 ms, and 0 beyond the longest TTL: to a TTL that is
 * the same, and a journal of promises that shrink stays short. Pure.
 */
import { limits } from './limits.ts';
import {
  createLive,
  forceEndsMs,
  forcePinned,
  forcePop,
  forceState,
  type LiveState,
  type LiveView,
  liveBand,
  liveBuffer,
  liveFeedbackMs,
  liveHoldMs,
  liveHoldMsFor,
  liveLoad,
  liveShed,
  liveSince,
  liveState,
  liveStateFor,
  liveWeek,
  rowForce,
  rowStates,
  setForce,
  setLive,
  setLiveFor,
  setRoom,
  setRowForces,
  setTimes,
} from './live.ts';
import { targetOf } from './votes.ts';

export type Fact = readonly (number | string)[];
export type LiveFacts = ReadonlyMap<string, Fact>;

/** The numbering of a view: a DesiredState has it. */
export type Numbered = {
  readonly pops: readonly { readonly id: string }[];
  readonly services: readonly { readonly id: string; readonly ttlSecondsMax: number }[];
};

/** A change of the facts: [wall clock, keys and their new facts; null: it is no more]. */
export type LiveChange = readonly [atMs: number, changed: Readonly<Record<string, Fact | null>>];

export interface LiveBatch {
  /** The process it is of: a node that was replaced or restarted is another one. */
  readonly session: string;
  /** Everything, as it was before the first change; absent: as the batch before it left it. */
  readonly whole?: Readonly<Record<string, Fact>>;
  readonly changes: readonly LiveChange[];
}

/** What a view says that answers read. `cells`: [row, PoP] that may be set. */
export function factsOf(
  live: LiveView,
  { pops, services }: Numbered,
  cells: Iterable<readonly [row: number, pop: number]>,
): Map<string, Fact> {
  const facts = new Map<string, Fact>();
  const longestMs = 1000 * services.reduce((most, { ttlSecondsMax }) => Math.max(most, ttlSecondsMax), 0);
  const lasting = (ms: number): number => (ms <= 0 || ms >= longestMs ? 0 : Math.max(1, ms - (ms % 1000)));
  let moves = false;
  for (const [pop, { id }] of pops.entries()) {
    const [shed, band] = [liveShed(live, pop), liveBand(live, pop)];
    moves ||= band > 0;
    facts.set(`pop/${id}`, [liveState(live, pop), lasting(liveHoldMs(live, pop)), shed, band, liveSince(live, pop)]);
  }
  for (const [row, pop] of cells) {
    const state = liveStateFor(live, row, pop);
    facts.set(`cell/${targetOf(pops[pop]!.id, services[row]!.id)}`, [state, lasting(liveHoldMsFor(live, row, pop))]);
  }
  const slots = new Set<number>();
  for (const [row, { id }] of services.entries()) {
    const [answer, states] = [rowForce(live, row), rowStates(live, row)];
    if (answer === 0 && states === 0) continue;
    facts.set(`row/${id}`, [answer, states]);
    if (answer > 0) slots.add(answer - 1);
    for (let left = states; left !== 0; left &= left - 1) slots.add(31 - Math.clz32(left & -left));
  }
  for (const slot of slots) {
    const pop = pops[forcePop(live, slot)]?.id ?? '';
    const pinned = forcePinned(live, slot) ? 1 : 0;
    facts.set(`force/${slot}`, [pop, forceState(live, slot), pinned, lasting(forceEndsMs(live, slot))]);
  }
  facts.set('time', [liveWeek(live), moves ? lasting(liveFeedbackMs(live)) : 0]);
  return facts;
}

/** Load by PoP, per mille. */
export function loadsOf(live: LiveView, { pops }: Numbered): Map<string, number> {
  return new Map(pops.map(({ id }, pop) => [id, liveLoad(live, pop)]));
}

/** A view that answers like the one the facts are of. `desired`: the state that was applied then. */
export function viewOf(facts: LiveFacts, desired: Numbered): LiveView {
  const live = createLive(liveBuffer(desired.services.length));
  const pops = new Map(desired.pops.map(({ id }, number) => [id, number]));
  const rows = new Map(desired.services.map(({ id }, row) => [id, row]));
  for (const [key, fact] of facts) {
    const [kind, id, ...rest] = key.split('/');
    const number = (i: number): number => Number(fact[i] ?? 0);
    const pop = pops.get(id!);
    if (kind === 'pop' && pop !== undefined) {
      const loadPerMille = Number(facts.get(`load/${id}`)?.[0] ?? 0);
      setLive(live, pop, { state: number(0) as LiveState, holdMs: number(1), sinceSeconds: number(4), loadPerMille });
      setRoom(live, pop, number(2), number(3));
    } else if (kind === 'cell' && pop !== undefined) {
      const row = rows.get(rest.join('/'));
      if (row !== undefined) setLiveFor(live, row, pop, number(0) as LiveState, number(1));
    } else if (kind === 'row') {
      const row = rows.get([id, ...rest].join('/'));
      if (row !== undefined) setRowForces(live, row, number(0), number(1));
    } else if (kind === 'force') {
      const force = { pop: pops.get(String(fact[0])) ?? -1, state: number(1) as LiveState, endsMs: number(3) };
      setForce(live, Number(id), { ...force, pin: number(2) === 1 });
    } else if (kind === 'time') setTimes(live, number(0), number(1));
  }
  return live;
}

/** What to note to get from one to the other; undefined: nothing. */
export function changeBetween(before: LiveFacts, after: LiveFacts): LiveChange[1] | undefined {
  const changed: Record<string, Fact | null> = {};
  let some = false;
  for (const [key, fact] of after) {
    const other = before.get(key);
    if (other !== undefined && other.length === fact.length && fact.every((one, i) => one === other[i])) continue;
    changed[key] = fact;
    some = true;
  }
  for (const key of before.keys()) {
    if (after.has(key)) continue;
    changed[key] = null;
    some = true;
  }
  return some ? changed : undefined;
}

/**
 * The facts at a time: of the batches of one session, oldest first, from the last whole one before it on. Undefined: they
 * do not reach back to a whole one, or the first change came later.
 */
export function factsAt(batches: readonly LiveBatch[], atMs: number): Map<string, Fact> | undefined {
  let facts: Map<string, Fact> | undefined;
  for (const { whole, changes } of batches) {
    const firstMs = changes[0]?.[0];
    if (firstMs === undefined || firstMs > atMs) break;
    if (whole !== undefined) facts = new Map(Object.entries(whole));
    if (facts === undefined) continue;
    for (const [changedMs, changed] of changes) {
      if (changedMs > atMs) break;
      apply(facts, changed);
    }
  }
  return facts;
}

/** A journal in memory: what is noted, until it has been kept elsewhere. */
export class LiveJournal {
  readonly #session: string;
  /** As noted last. */
  #facts: LiveFacts = new Map();
  /** Before the first of `#changes`. */
  #base: Map<string, Fact> = new Map();
  #changes: LiveChange[] = [];
  #notedAtMs = Number.NEGATIVE_INFINITY;
  /** Until the next whole one. */
  #batchesLeft = 0;

  constructor(session: string) {
    this.#session = session;
  }

  /** True when there is something to keep. What stays as it is is noted now and then: it outlives its last change. */
  note(facts: LiveFacts, atMs: number): boolean {
    const changed = changeBetween(this.#facts, facts);
    const isAgain = atMs - this.#notedAtMs >= limits.history.liveAgainMs;
    if (changed === undefined && !isAgain) return this.#changes.length > 0;
    this.#changes.push([atMs, changed ?? {}]);
    this.#facts = facts;
    this.#notedAtMs = atMs;
    if (isAgain) this.#batchesLeft = 0;
    if (this.#changes.length > limits.history.liveWaiting) {
      this.#drop(limits.history.liveWaiting / 2);
      this.#batchesLeft = 0;
    }
    return true;
  }

  /** What is to be kept now. */
  batch(): LiveBatch | undefined {
    if (this.#changes.length === 0) return undefined;
    const whole = this.#batchesLeft === 0 ? { whole: Object.fromEntries(this.#base) } : {};
    return { session: this.#session, ...whole, changes: [...this.#changes] };
  }

  /** A batch that `batch` gave is kept. */
  kept({ whole, changes }: LiveBatch): void {
    // Some may have gone meanwhile.
    const count = this.#changes.indexOf(changes.at(-1)!) + 1;
    this.#drop(count);
    this.#batchesLeft = whole === undefined ? Math.max(0, this.#batchesLeft - 1) : limits.history.liveWholeEvery;
  }

  #drop(count: number): void {
    for (const [, changed] of this.#changes.splice(0, count)) apply(this.#base, changed);
  }
}

function apply(facts: Map<string, Fact>, changed: LiveChange[1]): void {
  for (const [key, fact] of Object.entries(changed)) {
    if (fact === null) facts.delete(key);
    else facts.set(key, fact);
  }
}
