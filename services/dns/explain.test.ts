/** explain says of 100,000 random names and clients what the data plane answers: the same addresses, TTL, scope and bytes. */
import type { AllDown, DesiredService, DesiredState } from '@ufes/core/desired.ts';
import { Type } from '@ufes/core/dns/types.ts';
import { formatAddress, formatPrefix, parsePeer, prefixOf } from '@ufes/core/ip.ts';
import {
  createLive,
  LiveState,
  type LiveView,
  liveBuffer,
  setForce,
  setLive,
  setLiveFor,
  setRoom,
  setRowForces,
  setTimes,
} from '@ufes/core/live.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import type { SteeringMap } from '@ufes/core/steering/map.ts';
import { expect, test } from 'vitest';
import { AnswerAgain } from './again.ts';
import { nothingKnown } from './explain.ts';
import { explain } from './explain-question.ts';
import { buildTables } from './tables.ts';
import { buildMap, desiredState, harness, type Interval, plainWire, query, readAnswer, service } from './testing.ts';

type Rng = ReturnType<typeof seededRng>;
const below = (rng: Rng, n: number) => Math.floor(rng.next() * n);
const pick = <T>(rng: Rng, list: readonly T[]): T => list[below(rng, list.length)]!;
const some = (rng: Rng, count: number): number[] => {
  const chosen = Array.from({ length: count }, (_, i) => i).filter(() => rng.next() < 0.5);
  return chosen.length === 0 ? [below(rng, count)] : chosen;
};
const shuffled = <T>(rng: Rng, list: readonly T[]): T[] =>
  list
    .map((one) => [rng.next(), one] as const)
    .sort(([a], [b]) => a - b)
    .map(([, one]) => one);

/** A few blocks near each other, so that rules and leaves meet. */
function anyV4(rng: Rng): number {
  const base = pick(rng, [0x51024500, 0xc6336400, 0xcb007100, 0x01020000]);
  return rng.next() < 0.8 ? (base | below(rng, 1 << 14)) >>> 0 : below(rng, 2 ** 32);
}
const v4Text = (hi: number) => formatAddress({ family: 4, hi, lo: 0 });
const v6Text = (hi: number, lo: number) =>
  `${(hi >>> 16).toString(16)}:${(hi & 0xffff).toString(16)}:${(lo >>> 16).toString(16)}:${(lo & 0xffff).toString(16)}::`;

/** v4 and v6, those that fold to IPv4, and special blocks. */
function anyClient(rng: Rng): { address: string; source: number; text: string } {
  const v4 = anyV4(rng);
  const [high, low] = [(v4 >>> 16).toString(16), (v4 & 0xffff).toString(16)];
  const kind = below(rng, 12);
  const tail = `${((~v4 >>> 16) & 0xffff).toString(16)}:${(~v4 & 0xffff).toString(16)}`;
  const address =
    kind < 6
      ? v4Text(v4)
      : kind === 6
        ? `::ffff:${high}:${low}`
        : kind === 7
          ? `64:ff9b::${high}:${low}`
          : kind === 8
            ? `2002:${high}:${low}::1`
            : kind === 9
              ? `2001:0:53aa:64c:0:0:${tail}`
              : kind === 10
                ? pick(rng, [
                    '10.1.2.3',
                    '127.0.0.1',
                    '192.168.9.9',
                    'fe80::1',
                    'fc00::7',
                    '169.254.1.1',
                    '::1',
                    '224.0.0.5',
                  ])
                : v6Text(0x20010db8 + below(rng, 4), below(rng, 2 ** 32));
  const bits = address.includes(':') ? 128 : 32;
  const source = pick(rng, bits === 32 ? [24, 24, 32, 20, 16, 8, 1] : [56, 48, 128, 64, 40, 33, 24, 100]);
  return { address, source, text: `${address}/${source}` };
}

function anyResolver(rng: Rng): string {
  const kind = below(rng, 5);
  return kind < 3
    ? v4Text(anyV4(rng))
    : kind === 3
      ? v6Text(0x20010db8, below(rng, 2 ** 32))
      : `64:ff9b::${v4Text(anyV4(rng))}`;
}

function anyPrefixes(rng: Rng): string[] {
  return Array.from({ length: 1 + below(rng, 4) }, () =>
    rng.next() < 0.7
      ? formatPrefix(prefixOf({ family: 4, hi: anyV4(rng), lo: 0 }, 8 + below(rng, 20)))
      : formatPrefix(prefixOf({ family: 6, hi: 0x20010db8, lo: below(rng, 2 ** 32) }, 33 + below(rng, 24))),
  );
}

function anyService(rng: Rng, number: number, pops: number): DesiredService {
  const chosen = shuffled(
    rng,
    Array.from({ length: pops }, (_, i) => i),
  ).slice(0, 1 + below(rng, pops));
  const someOf = () => some(rng, chosen.length).map((i) => chosen[i]!);
  const rules: AllDown[] = [
    { rule: 'serve-preferred' },
    { rule: 'nodata' },
    {
      rule: 'fallback',
      addresses: [
        { family: 4, address: '192.0.2.99' },
        { family: 6, address: '2001:db8::99' },
      ],
    },
  ];
  const optional = <T>(value: T, chance = 0.3): T | undefined => (rng.next() < chance ? value : undefined);
  const only = optional(someOf());
  const overrides = optional(
    Array.from({ length: 2 }, () => ({ prefixes: anyPrefixes(rng), pops: someOf(), pin: rng.next() < 0.3 })),
  );
  const shares = optional([
    { pop: pick(rng, chosen), share: rng.next(), ...(rng.next() < 0.5 ? { prefixes: anyPrefixes(rng) } : {}) },
  ]);
  const regions = optional([{ prefixes: anyPrefixes(rng), only: someOf() }]);
  return service({
    id: `s${number}`,
    name: number === 0 ? 'www.shop.example.' : `s${number}.shop.example.`,
    policy: rng.next() < 0.8 ? 'latency' : 'geo',
    candidates: chosen.map((pop) => ({ pop, v4: `192.0.2.${pop + 1}`, v6: `2001:db8::${(pop + 1).toString(16)}` })),
    answers: 1 + below(rng, 3),
    allDown: pick(rng, rules),
    ...(only && { only }),
    ...(overrides && { overrides }),
    ...(shares && { shares }),
    ...(regions && { regions }),
    ...(rng.next() < 0.2 ? { controlShare: pick(rng, [0.01, 0.5]) } : {}),
    ...(rng.next() < 0.1 ? { ignoreSubnet: true } : {}),
    ...(rng.next() < 0.3 ? { bindings: [{ type: 'HTTPS' as const, data: '1 . alpn=h2' }] } : {}),
  });
}

function anyMap(rng: Rng, desired: DesiredState): SteeringMap | undefined {
  if (rng.next() < 0.1) return undefined;
  const groups = desired.services.flatMap((one) => {
    const ids = one.candidates.map(({ pop }) => desired.pops[pop]!.id);
    const intervals = (family: 4 | 6): Interval[] => {
      const starts = [
        0,
        ...Array.from({ length: 40 }, () => (family === 4 ? (anyV4(rng) & ~255) >>> 0 : below(rng, 2 ** 16))),
      ];
      let last = '';
      return [...new Set(starts)]
        .sort((a, b) => a - b)
        .flatMap((start) => {
          const ranking = shuffled(rng, ids).slice(0, 1 + below(rng, ids.length));
          if (ranking.join() === last) return [];
          last = ranking.join();
          return [
            {
              from: family === 4 ? v4Text(start) : start === 0 ? '::' : v6Text(0x20010db8, (start << 16) >>> 0),
              ranking,
            },
          ];
        });
    };
    const own = { ...desired, services: [one] };
    const map = buildMap(own, intervals(4), intervals(6));
    const [group] = map.groups;
    const geo = buildMap(own, intervals(4), intervals(6)).groups[0]!;
    return one.policy === 'geo' ? [group!] : [group!, { ...geo, key: geo.key.replace(/latency$/, 'geo') }];
  });
  const base = buildMap({ ...desired, services: [desired.services[0]!] }, [
    { from: '0.0.0.0', ranking: [desired.pops[0]!.id] },
  ]);
  return { ...base, groups: [...new Map(groups.map((group) => [group.key, group])).values()] };
}

function anyLive(rng: Rng, { pops, services }: DesiredState): LiveView {
  const live = createLive(liveBuffer(services.length));
  const allDown = rng.next() < 0.1;
  for (const pop of pops.keys()) {
    const state = allDown ? LiveState.down : pick(rng, [0, 1, 1, 1, 2, 3] as const);
    setLive(live, pop, {
      state,
      holdMs: pick(rng, [0, 0, 900, 7_000]),
      loadPerMille: below(rng, 1200),
      sinceSeconds: 1,
    });
    setRoom(live, pop, pick(rng, [0, 0, 0, 9_000, 65_536]), pick(rng, [0, 6_554]));
  }
  for (const row of services.keys()) {
    if (rng.next() < 0.3) setLiveFor(live, row, below(rng, pops.length), pick(rng, [1, 2] as const), 3_000);
    if (rng.next() < 0.3) setRowForces(live, row, below(rng, 4), below(rng, 8));
  }
  for (let slot = 0; slot < 3; slot++) {
    const state = pick(rng, [0, 1, 2, 3] as const);
    setForce(live, slot, {
      pop: below(rng, pops.length),
      state,
      pin: rng.next() < 0.3,
      endsMs: pick(rng, [0, 12_000]),
    });
  }
  setTimes(live, below(rng, 3_000), 9_000);
  return live;
}

function anyState(rng: Rng): DesiredState {
  const base = desiredState();
  const count = pick(rng, [1, 2, 3, 5, 8, 30]);
  const pops = Array.from({ length: count }, (_, i) => ({ ...base.pops[0]!, id: `p${i}`, title: `p${i}` }));
  const services = Array.from({ length: 3 }, (_, i) => anyService(rng, i, count));
  return { ...base, pops, services, debug: { pinnedLabel: '{pop}', explainClients: [] } };
}

const worlds = 200;
const questions = 500;

test(`explain equals the data plane for ${worlds * questions} random names and clients`, { timeout: 120_000 }, () => {
  const rng = seededRng('explain equals answers');
  const again = new AnswerAgain(plainWire);
  let asked = 0;
  const whys = new Set<string>();
  for (let world = 0; world < worlds; world++) {
    const desired = anyState(rng);
    const map = anyMap(rng, desired);
    const one = harness(desired);
    const mapVersion = map && { ms: 1_764_000_000_001, writer: 'bbbbbb' };
    const tables = buildTables({ desired, map, mapVersion, live: anyLive(rng, desired), counts: one.counters.answers });
    one.answerer.tables = tables;
    const out = new Uint8Array(2_000);
    for (let i = 0; i < questions; i++) {
      const steered = pick(rng, desired.services);
      const isPinned = rng.next() < 0.05;
      const name = isPinned ? `${desired.pops[steered.candidates[0]!.pop]!.id}.${steered.name}` : steered.name;
      const type = pick(rng, [Type.A, Type.A, Type.AAAA, ...(steered.bindings ? [Type.HTTPS] : [])]);
      const resolver = anyResolver(rng);
      const client = rng.next() < 0.9 ? anyClient(rng) : undefined;
      const packet = query({ name, type, id: 0, edns: {}, ...(client && { ecs: client }) });
      const length = one.answerer.answerInto(packet, 0, packet.length, parsePeer(resolver)!, out, 0);
      const said = explain(
        tables,
        { name, client: client?.text, resolver, type },
        nothingKnown('dns', one.clock.nowMs()),
        again,
      );
      const shown = () => `${name} ${type} for ${client?.text} by ${resolver} in world ${world}`;
      const wire = out.subarray(0, length);
      if (typeof said === 'string') {
        // Not every candidate has a name of its own; what answers have no name for, explain has none for either.
        if (!said.endsWith('does not exist') || readAnswer(wire).rcode !== 'NXDOMAIN')
          throw new Error(`${shown()}: ${said}`);
        i--;
        continue;
      }
      if (!Buffer.from(said.message!.answer, 'base64').equals(wire))
        expect.soft(said.message!.answer, shown()).toBe(Buffer.from(wire).toString('base64'));
      compare(said, wire, type, shown);
      whys.add(said.why);
      asked++;
    }
  }
  expect(asked).toBe(100_000);
  expect(whys.size).toBe(12);
});

function compare(
  said: Exclude<ReturnType<typeof explain>, string>,
  wire: Uint8Array,
  type: number,
  shown: () => string,
): void {
  const answers = (wire[6]! << 8) | wire[7]!;
  if (answers !== said.answers.length)
    throw new Error(`${shown()}: ${answers} answers, and explain has ${said.answers.length}`);
  const chosen = said.pops.filter((pop) => pop.chosen).length;
  if (said.why === 'all down: fallback' || said.why === 'all down: nodata' ? chosen !== 0 : chosen === 0)
    throw new Error(`${shown()}: ${chosen} chosen`);
  const read = readAnswer(wire);
  if (
    type !== Type.HTTPS &&
    !same(
      read.answers.map((one) => canonical(one.split(' ')[3]!)),
      said.answers.map(canonical),
    )
  ) {
    throw new Error(`${shown()}: ${read.answers.join()} and ${said.answers.join()}`);
  }
  if (answers > 0 && Number(read.answers[0]!.split(' ')[1]) !== said.ttlSeconds)
    throw new Error(`${shown()}: TTL ${read.answers[0]}, ${said.ttlSeconds}`);
  if (answers > 0 && read.scope !== undefined && read.scope !== said.scope)
    throw new Error(`${shown()}: scope ${read.scope}, ${said.scope}`);
}

const canonical = (text: string): string => (text.includes(':') ? new URL(`http://[${text}]`).hostname : text);
const same = (a: readonly string[], b: readonly string[]) => a.join() === b.join();
