/**
 * Forces and drains on a dns node: taken over the admin socket, shared by the store, kept on the node's own disk
 * (STATE/nodes/NODE/orders.json), so that they outlive a restart while the store is gone and end when they are to.
 *
 *     POST /forces ─▶ own disk ─▶ live state ─▶ the very next answer
 *                        └──────▶ store (now, or when it is back) ─▶ other nodes
 *
 * What the audit log could not be told is kept too and told later.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { LiveView } from '@ufes/core/live.ts';
import type { AuditEntry, LiveEntry } from '@ufes/core/ports.ts';
import { ForceSlots, mergeOrders, type Order, orderOf } from '@ufes/core/steering/orders.ts';
import { writeDurably } from '@ufes/io/kept.ts';
import type { ServiceContext } from '@ufes/io/service.ts';

const format = 1;

export interface Orders {
  /** From the own disk. Never rejects. */
  load(): Promise<void>;
  /** All that have not ended, those taken back too. */
  all(): readonly Order[];
  /** In force, of a kind. */
  inForce(kind: 'force' | 'drain'): readonly Order[];
  /** In force here and on disk when it resolves; false: the store could not be told yet. */
  give(order: Order, audit: AuditEntry): Promise<boolean>;
  /** What the store has; tells it what it lacks. Rejects with STORE_UNAVAILABLE. */
  take(entries: readonly LiveEntry[]): Promise<void>;
  /** The force in a slot of live state. */
  at(slot: number): Order | undefined;
  write(live: LiveView, popIds: readonly string[], names: readonly string[], nowMs: number): void;
}

export function createOrders(
  context: Pick<ServiceContext, 'state' | 'node' | 'clock' | 'log' | 'store' | 'bus'>,
): Orders {
  const { state, node, clock, log, store, bus } = context;
  const path = join(state, 'nodes', node, 'orders.json');
  const slots = new ForceSlots();
  let orders = new Map<string, Order>();
  let untold: AuditEntry[] = [];
  let writing: Promise<void> = Promise.resolve();
  let telling: Promise<void> | undefined;

  function keep(): Promise<void> {
    const bytes = new TextEncoder().encode(JSON.stringify({ format, orders: [...orders.values()], untold }));
    writing = writing
      .catch(() => {})
      .then(() => writeDurably(path, bytes))
      .catch((error: unknown) => log.error({ error: describeError(error), path }, 'dns: orders not kept on disk'));
    return writing;
  }

  async function tell(list: readonly Order[]): Promise<void> {
    const nowMs = clock.nowMs();
    const entries = list.map(({ key, ...value }) => ({
      key,
      // To those who only read drains, one that was taken back has ended.
      value: key.startsWith('drain/') ? drainValue(value, nowMs) : value,
      ttlMs: Math.max(1, value.untilMs - nowMs),
    }));
    await store.live.put(entries);
    bus.wake('live');
  }

  /** One at a time, or two would tell the same entry. */
  function tellAudit(): Promise<void> {
    telling ??= (async () => {
      while (untold.length > 0) {
        await store.audit.append(untold[0]!);
        untold = untold.slice(1);
        if (untold.length === 0) await keep();
      }
    })().finally(() => {
      telling = undefined;
    });
    return telling;
  }

  return {
    async load() {
      try {
        const read = JSON.parse(await readFile(path, 'utf8')) as {
          format?: unknown;
          orders?: Order[];
          untold?: AuditEntry[];
        };
        if (read.format !== format) throw new Error(`format ${read.format}, not ${format}`);
        const kept = (read.orders ?? []).flatMap((one) => orderOf({ key: one.key, value: one }) ?? []);
        orders = mergeOrders(orders.values(), kept, clock.nowMs());
        untold = read.untold ?? [];
      } catch (error) {
        const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
        if (!isMissing) log.warn({ error: describeError(error), path }, 'dns: kept orders left aside');
      }
    },
    all: () => [...orders.values()],
    inForce: (kind) => [...orders.values()].filter(({ key, undone }) => key.startsWith(`${kind}/`) && !undone),
    async give(order, audit) {
      orders = mergeOrders(orders.values(), [order], clock.nowMs());
      untold = [...untold, audit].slice(-limits.dns.untoldAudits);
      await keep();
      try {
        await tell([order]);
        await tellAudit();
        return true;
      } catch (error) {
        log.warn({ error: describeError(error), order: order.key }, 'dns: order in force here, not yet shared');
        return false;
      }
    },
    async take(entries) {
      const found = entries.flatMap((entry) => orderOf(withDrainEnd(entry)) ?? []);
      const merged = mergeOrders(orders.values(), found, clock.nowMs());
      const stored = new Map(found.map(({ key, writtenMs }) => [key, writtenMs]));
      const missing = [...merged.values()].filter(({ key, writtenMs }) => (stored.get(key) ?? 0) < writtenMs);
      const isNew = [...merged.values()].some(({ key, writtenMs }) => orders.get(key)?.writtenMs !== writtenMs);
      orders = merged;
      if (isNew) await keep();
      if (missing.length > 0) await tell(missing);
      await tellAudit();
    },
    at: (slot) => slots.at(slot),
    write(live, popIds, names, nowMs) {
      for (const [key, { untilMs }] of orders) if (untilMs <= nowMs) orders.delete(key);
      slots.write(live, [...orders.values()], popIds, names, nowMs);
    },
  };
}

function drainValue(value: Omit<Order, 'key'>, nowMs: number): object {
  const { untilMs, writtenMs, undone } = value;
  // A word that follows another one closely is dated after it; it is in force all the same.
  return { ...value, atMs: Math.min(writtenMs, nowMs), endMs: untilMs, ...(undone ? { untilMs: writtenMs } : {}) };
}

function withDrainEnd({ key, value }: LiveEntry): Pick<LiveEntry, 'key' | 'value'> {
  if (typeof value !== 'object' || value === null || !('endMs' in value)) return { key, value };
  return { key, value: { ...value, untilMs: value.endMs } };
}
