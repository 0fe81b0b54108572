/**
 * Orders of operators over the admin socket, whether or not the store is there.
 *
 *     GET  /forces                                                       {forces: Order[]}
 *     POST /forces       {glob, pop, state?, pin?, forMs, reason, by}    {order, shared, names}
 *     POST /forces/undo  {id | glob, by}                                 {orders, shared}
 *     GET  /drains                                                       {drains: Order[]}
 *     POST /drain        {pop, forMs, reason, by}                        {order, shared}
 *     POST /undrain      {pop, by}                                       {orders, shared}
 *
 * `shared` false: in force here and on this node's disk; other nodes follow when the store is back. `names`: steered
 * names that the glob matches now.
 */
import type { DesiredState } from '@ufes/core/desired.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { AuditEntry } from '@ufes/core/ports.ts';
import { matchesGlob, type Order } from '@ufes/core/steering/orders.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import type { LiveFeed } from './live-feed.ts';

export interface OrderRoutesInit extends Pick<ServiceContext, 'admin' | 'clock' | 'rng' | 'log'> {
  readonly feed: Pick<LiveFeed, 'orders' | 'refresh'>;
  readonly desired: () => DesiredState | undefined;
}

type Body = Readonly<Record<string, unknown>>;

export function addOrderRoutes({ admin, clock, rng, log, feed, desired }: OrderRoutesInit): void {
  const { orders } = feed;

  async function give(order: Order, action: string, subject: string): Promise<boolean> {
    const { by, ...detail } = order;
    const audit: AuditEntry = { atMs: order.writtenMs, actor: by, action, subject, detail };
    const shared = await orders.give(order, audit);
    feed.refresh();
    log.info({ ...order, shared }, `dns: ${action}`);
    return shared;
  }

  /** Takes orders back; each stays known until its end, so that no node brings it back. */
  async function undo(list: readonly Order[], by: string, action: string): Promise<object> {
    let shared = true;
    for (const order of list) {
      // Of two words the later counts, even on a clock that was set back.
      const writtenMs = Math.max(clock.nowMs(), order.writtenMs + 1);
      const subject = order.glob ?? order.pop;
      shared = (await give({ ...order, writtenMs, undone: true, by }, action, subject)) && shared;
    }
    return { orders: list, shared };
  }

  admin.get('/forces', () => ({ forces: orders.inForce('force') }));
  admin.get('/drains', () => ({ drains: orders.inForce('drain') }));

  admin.post<{ Body: Body }>('/forces', async (request) => {
    const { glob, state, pin } = request.body ?? {};
    const state1 = desiredOf(desired);
    if (typeof glob !== 'string' || glob === '' || glob.length > limits.dns.globChars) {
      throw wrong('"glob" must be a name, in which * is any run of characters and ? is one');
    }
    const pop = popOf(request.body, state1);
    if (state !== undefined && state !== 'up' && state !== 'down' && state !== 'draining') {
      throw wrong('"state" must be up, down or draining; without it the PoP is answered');
    }
    if (pin === true && state !== undefined) throw wrong('"pin" goes with a PoP to answer, not with a state');
    if (orders.inForce('force').length >= limits.dns.forces) {
      throw wrong(`${limits.dns.forces} forces are in force, and no more can be; take one back`);
    }
    const pattern = glob.toLowerCase().replace(/\.$/, '');
    const names = state1.services.flatMap(({ name }) => (matchesGlob(pattern, name.slice(0, -1)) ? [name] : []));
    if (names.length === 0) throw new OperatingError('NOT_FOUND', `"${glob}" matches no steered name`);
    const id = Buffer.from(rng.bytes(4)).toString('hex');
    const order: Order = {
      ...timesOf(request.body, clock.nowMs()),
      key: `force/${id}`,
      pop,
      glob: pattern,
      ...(state === undefined ? { pin: pin === true } : { state }),
    };
    return { order, shared: await give(order, 'force', pattern), names };
  });

  admin.post<{ Body: Body }>('/forces/undo', (request) => {
    const { id, glob } = request.body ?? {};
    const pattern = typeof glob === 'string' ? glob.toLowerCase().replace(/\.$/, '') : undefined;
    const list = orders.inForce('force').filter((one) => one.key === `force/${id}` || one.glob === pattern);
    if (list.length === 0) throw new OperatingError('NOT_FOUND', `no force ${id ?? pattern ?? ''} is in force`);
    return undo(list, actorOf(request.body), 'undo force');
  });

  admin.post<{ Body: Body }>('/drain', async (request) => {
    const pop = popOf(request.body, desiredOf(desired));
    const before = orders.all().find(({ key }) => key === `drain/${pop}`);
    const times = timesOf(request.body, clock.nowMs());
    const writtenMs = Math.max(times.writtenMs, (before?.writtenMs ?? 0) + 1);
    const order: Order = { ...times, writtenMs, key: `drain/${pop}`, pop };
    return { order, shared: await give(order, 'drain', pop) };
  });

  admin.post<{ Body: Body }>('/undrain', (request) => {
    const pop = popOf(request.body, desiredOf(desired));
    const list = orders.inForce('drain').filter((one) => one.pop === pop);
    if (list.length === 0) throw new OperatingError('NOT_FOUND', `PoP "${pop}" does not drain`);
    return undo(list, actorOf(request.body), 'undrain');
  });
}

function wrong(message: string): OperatingError {
  return new OperatingError('REQUEST_INVALID', message);
}

function desiredOf(desired: () => DesiredState | undefined): DesiredState {
  const state = desired();
  if (state === undefined) throw new OperatingError('NOT_RUNNING', 'no desired state yet');
  return state;
}

function popOf(body: Body | undefined, { pops }: DesiredState): string {
  const pop = body?.['pop'];
  const ids = pops.map(({ id }) => id);
  if (typeof pop === 'string' && ids.includes(pop)) return pop;
  throw new OperatingError('NOT_FOUND', `no PoP ${JSON.stringify(pop ?? '')}; there are ${ids.join(', ')}`);
}

function timesOf(body: Body | undefined, nowMs: number): Omit<Order, 'key' | 'pop'> {
  const { forMs, reason } = body ?? {};
  if (typeof forMs !== 'number' || !(forMs >= 1_000 && forMs <= limits.dns.forceMs)) {
    throw wrong(`"forMs" must be from 1000 to ${limits.dns.forceMs}: every order has an end`);
  }
  const text = typeof reason === 'string' ? reason.trim().slice(0, limits.health.reasonChars) : '';
  if (text === '') throw wrong('"reason" must say why, for those who read it in the night');
  return { writtenMs: nowMs, untilMs: nowMs + Math.round(forMs), undone: false, reason: text, by: actorOf(body) };
}

function actorOf(body: Body | undefined): string {
  const by = body?.['by'];
  return typeof by === 'string' && by !== '' ? by.slice(0, limits.health.reasonChars) : 'admin socket';
}
