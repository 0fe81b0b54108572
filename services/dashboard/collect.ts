/**
 * Keeps what the pages show: asks the other processes, each at its own pace, and puts their answers together every
 * second. Each one may be absent at any time; then its part of the page is old or empty, and says so.
 */
import {
  type CompareAnswer,
  type CompareState,
  type DnsAnswers,
  type DnsState,
  type MapperPrefixes,
  type Missing,
  type NodeStatus,
  parseCompareState,
  parseDnsAnswers,
  parseDnsState,
  parseMapperPrefixes,
  type StatusState,
  type WorldState,
  type WorldUser,
} from '@ufes/core/dashboard.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Component } from '@ufes/core/ports.ts';
import { AnswerWindow } from './answers.ts';
import type { EventHub } from './events.ts';
import { Part } from './part.ts';
import type { Places } from './places.ts';
import { nodeOfReadiness, nodesOfPops, nodesOfSupervisor } from './status.ts';
import type { Topology } from './topology.ts';
import { popsOut, worldPops, worldState, worldUsers } from './world.ts';

/** How the dashboard asks another process: GET `path` on the local socket of `node`. */
export interface Ask {
  /** The JSON of a 2xx answer; rejects with what is wrong. Without `timeoutMs` within limits.dashboard.askMs. */
  json(node: string, path: string, timeoutMs?: number): Promise<unknown>;
  /** Any answer; rejects when there is none. */
  any(node: string, path: string): Promise<{ status: number; text: string }>;
}

export interface CollectorInit {
  /** As it is now. */
  readonly topology: () => Topology;
  readonly clock: Clock;
  readonly ask: Ask;
  readonly places: Places;
  readonly hub: EventHub;
}

export interface Collector extends Component {
  world(): WorldState;
  compare(): CompareAnswer;
  status(): Promise<StatusState>;
  /** Asks all of them once, now. */
  poll(): Promise<void>;
  /** Sends what is new to the pages; `start` does it every second. */
  publish(): void;
}

export function createCollector({ topology, clock, ask, places, hub }: CollectorInit): Collector {
  const window = new AnswerWindow((client) => places.find(client)?.country);
  const dns = new Part<DnsState>({
    part: 'Health and load of PoPs',
    node: 'dns',
    everyMs: 1_000,
    clock,
    ask: async () => parseDnsState(await ask.json('dns', '/state')),
  });
  const answers = new Part<DnsAnswers>({
    part: 'Recent answers',
    node: 'dns',
    everyMs: 1_000,
    clock,
    ask: async () => {
      const read = parseDnsAnswers(await ask.json('dns', `/answers?since=${window.since}`));
      window.take(read, clock.nowMs());
      return read;
    },
  });
  const prefixes = new Part<MapperPrefixes>({
    part: 'Measured users',
    node: 'mapper',
    everyMs: 2_000,
    clock,
    ask: async () => parseMapperPrefixes(await ask.json('mapper', `/prefixes?limit=${limits.dashboard.users}`)),
  });
  const compare = new Part<CompareState>({
    part: 'Comparison of paths',
    node: 'mapper',
    everyMs: 5_000,
    clock,
    ask: async () => parseCompareState(await ask.json('mapper', '/compare')),
  });
  const parts = [dns, answers, prefixes, compare];
  const missingOf = (some: readonly { missing(): Missing | undefined }[]): Missing[] =>
    some.map((part) => part.missing()).filter((one) => one !== undefined);

  // Users are many and change seldom: they are made anew only when something that they depend on did.
  let madeFrom: { prefixes: MapperPrefixes | undefined; out: string; places: string | undefined } | undefined;
  let users: WorldUser[] = [];
  const world = (): WorldState => {
    const live = dns.fresh() ? dns.value : undefined;
    const shown = topology();
    const pops = worldPops(shown, live);
    const out = popsOut(pops);
    const from = { prefixes: prefixes.value, out: out.join(), places: places.source };
    if (from.prefixes !== madeFrom?.prefixes || from.out !== madeFrom?.out || from.places !== madeFrom.places) {
      users = worldUsers(prefixes.value, out, places);
      madeFrom = from;
    }
    return worldState({
      atMs: clock.nowMs(),
      topology: shown,
      dns: live,
      pops,
      users,
      usersTotal: prefixes.value?.total ?? 0,
      answers: window.view(clock.nowMs()),
      places,
      missing: missingOf([dns, answers, prefixes, places]),
    });
  };
  const comparison = (): CompareAnswer => ({
    ...(compare.value === undefined ? {} : { compare: compare.value }),
    missing: missingOf([compare]),
  });
  let sent: readonly WorldUser[] | undefined;
  const publish = (): void => {
    const { users: shown, ...rest } = world();
    hub.send({ type: 'world', data: rest });
    if (shown !== sent) hub.send({ type: 'users', data: shown }, true);
    sent = shown;
    hub.send({ type: 'compare', data: comparison() }, true);
  };

  let cancel: (() => void) | undefined;
  return {
    world,
    compare: comparison,
    status: () => statusState(topology(), clock, ask),
    poll: async () => void (await Promise.all(parts.map((part) => part.poll()))),
    publish,
    async start() {
      await Promise.all(parts.map((part) => part.start()));
      cancel = clock.every(1_000, publish);
    },
    async stop() {
      cancel?.();
      await Promise.all(parts.map((part) => part.stop()));
    },
  };
}

async function statusState({ pops }: Topology, clock: Clock, ask: Ask): Promise<StatusState> {
  const supervisor = new Part<NodeStatus[]>({
    part: 'Memory, restarts and time since start',
    node: 'ufes',
    everyMs: 0,
    clock,
    ask: async () => nodesOfSupervisor(await ask.json('ufes', '/status')),
  });
  await supervisor.poll();
  const missing = supervisor.missing();
  if (missing === undefined) return { atMs: clock.nowMs(), nodes: supervisor.value ?? [], missing: [] };
  const nodes = nodesOfPops(pops.map(({ id }) => id)).map(async (node) =>
    nodeOfReadiness(node, await ask.any(node, '/readyz').catch(() => undefined)),
  );
  return { atMs: clock.nowMs(), nodes: await Promise.all(nodes), missing: [missing] };
}
