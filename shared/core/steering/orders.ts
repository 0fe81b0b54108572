/**
 * What operators order for a while: forces on steered names, drains of PoPs. Every order has an end. Of two words on one
 * key the later counts; taking one back is a later word too. So stores and nodes that lost some, or that were apart, come
 * to the same by merging, and the loss of a store ends no order. Pure.
 *
 *     force/ID    names by glob → the PoP to answer, or the state that a PoP is taken to be in
 *     drain/POP   no new clients for this PoP (core/belief.ts reads it)
 */
import { limits } from '../limits.ts';
import { type LiveForce, LiveState, type LiveView, setForce, setRowForces } from '../live.ts';
import type { LiveEntry } from '../ports.ts';

export interface Order {
  /** `force/ID` or `drain/POP`. */
  readonly key: string;
  /** Wall clock of this word. */
  readonly writtenMs: number;
  /** Wall clock of the end, also of one that was taken back: until then that must be known. */
  readonly untilMs: number;
  readonly undone: boolean;
  /** Id of a PoP. */
  readonly pop: string;
  readonly reason: string;
  readonly by: string;
  /** Forces: over names without the final dot; `*` is any run of characters, `?` is one. */
  readonly glob?: string;
  /** Forces: absent, the PoP is to be answered. */
  readonly state?: 'up' | 'down' | 'draining';
  /** Forces that name the PoP: it is answered whatever its state. */
  readonly pin?: boolean;
}

export function orderOf({ key, value }: Pick<LiveEntry, 'key' | 'value'>): Order | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const read = value as Readonly<Record<string, unknown>>;
  const { writtenMs, untilMs, undone, pop, reason, by, glob, state, pin } = read;
  if (typeof writtenMs !== 'number' || typeof untilMs !== 'number' || typeof pop !== 'string') return undefined;
  const order = { key, writtenMs, untilMs, undone: undone === true, pop, reason: textOf(reason), by: textOf(by) };
  if (key.startsWith('drain/')) return order;
  if (!key.startsWith('force/') || typeof glob !== 'string') return undefined;
  if (state === undefined) return { ...order, glob, pin: pin === true };
  return state === 'up' || state === 'down' || state === 'draining' ? { ...order, glob, state } : undefined;
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

/** By key, the latest word on each that has not ended. */
export function mergeOrders(known: Iterable<Order>, found: Iterable<Order>, nowMs: number): Map<string, Order> {
  const merged = new Map<string, Order>();
  for (const list of [known, found]) {
    for (const one of list) {
      const other = merged.get(one.key);
      if (one.untilMs > nowMs && (other === undefined || other.writtenMs < one.writtenMs)) merged.set(one.key, one);
    }
  }
  return merged;
}

/** Both in lower case. Linear in the name for each `*`. */
export function matchesGlob(glob: string, name: string): boolean {
  let at = 0;
  let from = 0;
  let star = -1;
  let resume = 0;
  while (from < name.length) {
    if (glob[at] === '*') {
      star = at++;
      resume = from;
    } else if (glob[at] === '?' || glob[at] === name[from]) {
      at++;
      from++;
    } else if (star >= 0) {
      at = star + 1;
      from = ++resume;
    } else return false;
  }
  while (glob[at] === '*') at++;
  return at === glob.length;
}

/** Slots of live state that forces hold, for as long as they last: a reader never sees one force's slot as another's. */
export class ForceSlots {
  readonly #orders: (Order | undefined)[] = new Array(limits.dns.forces).fill(undefined);
  /** The view that is known to hold no force. */
  #clear: LiveView | undefined;

  at(slot: number): Order | undefined {
    return this.#orders[slot];
  }

  /** From the orders in force to the words that `decide` reads; the newest goes first. Names have their final dot. */
  write(
    live: LiveView,
    orders: readonly Order[],
    popIds: readonly string[],
    names: readonly string[],
    nowMs: number,
  ): void {
    const inForce = orders
      .filter(({ key, undone, pop }) => key.startsWith('force/') && !undone && popIds.includes(pop))
      .toSorted((a, b) => b.writtenMs - a.writtenMs || (a.key < b.key ? -1 : 1))
      .slice(0, limits.dns.forces);
    if (inForce.length === 0 && this.#clear === live) return;
    this.#clear = inForce.length === 0 ? live : undefined;
    const leaving = this.#orders.map((held) => held !== undefined && !inForce.some(({ key }) => key === held.key));
    const slots = inForce.map((order) => this.#slotOf(order));
    for (const [i, slot] of slots.entries()) setForce(live, slot, liveForce(inForce[i]!, popIds, nowMs));
    for (const [row, name] of names.entries()) writeRow(live, row, name.replace(/\.$/, ''), inForce, slots);
    // Rows no longer point at these.
    for (const [slot, leaves] of leaving.entries()) if (leaves) this.#orders[slot] = undefined;
  }

  #slotOf(order: Order): number {
    const held = this.#orders.findIndex((one) => one?.key === order.key);
    const slot = held >= 0 ? held : this.#orders.indexOf(undefined);
    // As many slots as forces at a time, but those that end now still have theirs: the first of them gives way.
    const free = Math.max(slot, 0);
    this.#orders[free] = order;
    return free;
  }
}

function liveForce({ pop, state, pin, untilMs }: Order, popIds: readonly string[], nowMs: number): LiveForce {
  const leftMs = Math.max(1, untilMs - nowMs - limits.store.pollMs);
  return {
    pop: popIds.indexOf(pop),
    state: state === undefined ? LiveState.unknown : LiveState[state],
    pin: pin === true,
    endsMs: leftMs > limits.dns.ttlMsMax ? 0 : leftMs,
  };
}

function writeRow(live: LiveView, row: number, name: string, orders: readonly Order[], slots: readonly number[]): void {
  let answer = 0;
  let states = 0;
  const spoken = new Set<string>();
  for (const [i, { glob = '', state, pop }] of orders.entries()) {
    if (!matchesGlob(glob, name)) continue;
    if (state === undefined) {
      if (answer === 0) answer = slots[i]! + 1;
    } else if (!spoken.has(pop)) {
      spoken.add(pop);
      states |= 1 << slots[i]!;
    }
  }
  setRowForces(live, row, answer, states);
}
