/**
 * A botnet: 10,000 addresses in a share of the measured prefixes pull as hard as they can for an hour: every PoP but one
 * three times as far, that one as near as light allows from where GeoIP has them. They come through the collector's own
 * door, with tokens of their own, as often as they like; now and then with one that is forged, or another bot's.
 *
 *     bot, honest ─ token ─▶ Admission (services/probe) ─▶ fold ─▶ build ─▶ map     a twin world has the honest alone
 *
 * Counted: first choices of prefixes without a bot in them that are otherwise than in the twin world; honest beacons that
 * were refused; what was taken of a bot; memory.
 */
import { type Address, cellOf, formatPrefix, parsePrefix } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { RefusalReason } from '@ufes/core/quarantine-words.ts';
import type { SampleRecord } from '@ufes/core/samples.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { floorRttMs } from '@ufes/geoip/prior.ts';
import { Admission } from '@ufes/probe/admission.ts';
import { Refusal } from '@ufes/probe/refusals.ts';
import { newTokenId, signToken } from '@ufes/probe/token.ts';
import { Beacons, beaconTimes, drawMeasured } from '../beacons.ts';
import { dayMs, startMs } from '../draws.ts';
import type { ModeResult } from '../mode.ts';
import { type Options, worldOf } from '../options.ts';
import { atMost, type Cell, percent, table, type Verdict, verdictTable } from '../report.ts';
import { Steering } from '../steering.ts';
import { kmBetween, type World } from '../world.ts';

export const bots = 10_000;
/** Tries of each in the hour; the cap is 60. */
const tries = 66;
const caps = { addressPerHour: 60, prefixPerHour: 10_000 };
const hourMs = 3_600_000;
const stepMs = hourMs / 3;
const inflated = 3;
/** Of measured prefixes, those with bots. */
const shares = [0.01, 0.05, 0.2];
const key = new Uint8Array(32).fill(1);

interface Case {
  readonly share: number;
  /** Prefixes with bots, and without. */
  own: number;
  others: number;
  ownMoved: number;
  othersMoved: number;
  honest: number;
  /** Of prefixes without bots; and of those that share theirs with bots, whose cap these use up. */
  honestRefused: number;
  besideRefused: number;
  taken: number;
  readonly refused: Map<RefusalReason, number>;
  capBytes: number;
  capBytesGrown: number;
  evicted: number;
}

export function botnet(options: Options): ModeResult {
  const { draws = 1, prefixes = 2_000, seed } = options;
  const cases = shares.map((share) => {
    const one: Case = {
      ...{
        share,
        own: 0,
        others: 0,
        ownMoved: 0,
        othersMoved: 0,
        honest: 0,
        honestRefused: 0,
        besideRefused: 0,
        taken: 0,
      },
      ...{ refused: new Map(), capBytes: 0, capBytesGrown: 0, evicted: 0 },
    };
    for (let draw = 0; draw < draws; draw++) play(one, options, `${seed}/${draw}`, prefixes);
    return one;
  });
  return reportOf(cases, draws);
}

function play(one: Case, options: Options, seed: string, prefixes: number): void {
  const world = worldOf(options, seed, prefixes);
  const measured = drawMeasured(world, options.measured, new Set(), seededRng(`${seed}/measured`));
  const rng = seededRng(`${seed}/bots/${one.share}`);
  const infested = pick(measured, Math.max(1, Math.round(one.share * measured.length)), rng.next);
  const [attacked, twin] = [new Steering({ world }), new Steering({ world })];
  const beacons = new Beacons(twin, seededRng(`${seed}/beacons`), options.beacons);
  const admission = new Admission({
    tokenKeys: { current: key, believed: [key] },
    caps,
    asnOf: () => 0,
    sawAt: () => undefined,
    rng: seededRng(`${seed}/caps`),
  });
  const bytes = admission.bytes;
  const both = (act: (steering: Steering) => void) => {
    act(attacked);
    act(twin);
  };
  // A day before, all are honest.
  both((steering) => steering.build(startMs, true));
  const times = seededRng(`${seed}/times`);
  for (const user of [startMs, startMs + dayMs / 2]) {
    const day = beaconTimes(measured, options.beaconsPerDay, user, user + dayMs / 2, times);
    const records = day.map(({ user: of, atMs }) => beacons.one(of, atMs));
    both((steering) => {
      steering.fold(records);
      steering.build(user + dayMs / 2, true);
    });
  }
  const infestedTexts = new Set(infested.map((user) => world.users[user]!.text));
  const door = new Door(admission, one);
  const herd = new Herd(world, infested, rng.next);
  for (let atMs = startMs + dayMs; atMs < startMs + dayMs + hourMs; atMs += stepMs) {
    const honest = beaconTimes(measured, options.beaconsPerDay, atMs, atMs + stepMs, times).map(
      ({ user, atMs: sent }) => beacons.one(user, sent),
    );
    const admitted = honest.filter((record, i) => door.isHonestTaken(record, i, infestedTexts.has(record.prefix)));
    twin.fold(honest);
    attacked.fold(admitted);
    for (let turn = 0; turn < tries / 3; turn++) {
      const sent = atMs + Math.floor((turn * stepMs) / (tries / 3));
      attacked.fold(
        herd
          .all(sent)
          .filter(({ record, address }) => door.isBotTaken(record, address))
          .map(({ record }) => record),
      );
    }
    both((steering) => steering.build(atMs + stepMs, true));
  }
  const isInfested = new Set(infested);
  for (const user of world.users.keys()) {
    const moved = attacked.choose(user) === twin.choose(user) ? 0 : 1;
    if (isInfested.has(user)) {
      one.own++;
      one.ownMoved += moved;
    } else {
      one.others++;
      one.othersMoved += moved;
    }
  }
  one.capBytes = bytes;
  one.capBytesGrown = Math.max(one.capBytesGrown, admission.bytes - bytes);
  one.evicted += admission.evicted;
}

function pick(from: readonly number[], count: number, next: () => number): number[] {
  const left = [...from];
  return Array.from(
    { length: Math.min(count, from.length) },
    () => left.splice(Math.floor(next() * left.length), 1)[0]!,
  );
}

/** The collector's: tokens, then caps. */
class Door {
  readonly #admission: Admission;
  readonly #counts: Case;
  readonly #rng = seededRng('door');
  #last = '';

  constructor(admission: Admission, counts: Case) {
    this.#admission = admission;
    this.#counts = counts;
  }

  isHonestTaken(record: SampleRecord, number: number, isInfested: boolean): boolean {
    const prefix = cellOf(parsePrefix(record.prefix)!);
    if (!isInfested) this.#counts.honest++;
    const taken = this.#isTaken(this.#token(prefix, record.atMs), host(prefix, 201 + (number % 50)), record.atMs);
    if (!taken && isInfested) this.#counts.besideRefused++;
    else if (!taken) this.#counts.honestRefused++;
    return taken;
  }

  /** One in a hundred of a bot's tokens is made up, one in a hundred is that of the bot before. */
  isBotTaken(record: SampleRecord, address: Address): boolean {
    const own = this.#token(address, record.atMs);
    const way = this.#rng.next();
    const token = way < 0.01 ? `${own.slice(0, -4)}AAAA` : way < 0.02 ? this.#last : own;
    this.#last = own;
    const taken = this.#isTaken(token, address, record.atMs);
    if (taken) this.#counts.taken++;
    return taken;
  }

  #token(address: Address, atMs: number): string {
    const claims = { id: newTokenId(this.#rng), expiresAtMs: atMs + limits.probe.tokenMs, targets: new Map() };
    return signToken(key, { ...claims, prefix: formatPrefix(cellOf(address)) });
  }

  #isTaken(token: string, address: Address, atMs: number): boolean {
    try {
      this.#admission.admit(token, address, atMs);
      return true;
    } catch (thrown) {
      if (!(thrown instanceof Refusal)) throw thrown;
      const { refused } = this.#counts;
      refused.set(thrown.reason, (refused.get(thrown.reason) ?? 0) + 1);
      return false;
    }
  }
}

/** An address of its own in the prefix: of a /48, a /64. */
function host({ family, hi, lo }: Address, number: number): Address {
  return family === 4 ? { family, hi: (hi | (number & 255)) >>> 0, lo } : { family, hi, lo: (lo | number) >>> 0 };
}

class Herd {
  readonly #bots: {
    readonly address: Address;
    readonly record: Omit<SampleRecord, 'atMs' | 'token' | 'tokenExpiresAtMs'>;
  }[];
  #tokens = 0;

  constructor(world: World, infested: readonly number[], next: () => number) {
    // All for one and the same PoP.
    const target = Math.floor(next() * world.pops);
    this.#bots = Array.from({ length: bots }, (_, bot) => {
      const user = infested[bot % infested.length]!;
      const number = Math.floor(bot / infested.length) % 200;
      return { address: host(world.users[user]!.prefix, number), record: lie(world, user, target) };
    });
  }

  all(atMs: number): { address: Address; record: SampleRecord }[] {
    return this.#bots.map(({ address, record }) => {
      const token = `b${this.#tokens++}`;
      return { address, record: { ...record, token, tokenExpiresAtMs: atMs + limits.probe.tokenMs, atMs } };
    });
  }
}

function lie(world: World, user: number, target: number) {
  const told = world.init.places[world.toldPlace[user]!]!;
  const best = world.popIds
    .map((_, pop) => pop)
    .sort((a, b) => world.baseMs(user, a, startMs) - world.baseMs(user, b, startMs));
  const asked = [...new Set([target, ...best])].slice(0, limits.probe.targetsPerPlan);
  const observations = asked.map((pop) => {
    const floorMs = 1 + floorRttMs(kmBetween(told, world.popPlace(pop)));
    const rttMs =
      pop === target ? floorMs : Math.min(limits.probe.rttMsMax, inflated * world.baseMs(user, pop, startMs));
    return { target: `pop:${world.popIds[pop]}`, ok: true, rttMs, weight: 1 };
  });
  return { source: 'rum', kind: 'browser' as const, prefix: world.users[user]!.text, observations };
}

function reportOf(cases: readonly Case[], draws: number): ModeResult {
  const verdicts = cases.flatMap(
    ({ share, othersMoved, others, honestRefused, honest, taken, capBytesGrown }): Verdict[] => [
      atMost(`bots in ${percent(share)} of prefixes: moves of others`, othersMoved / Math.max(1, others), 0),
      atMost(
        `bots in ${percent(share)} of prefixes: honest beacons of others refused`,
        honestRefused / Math.max(1, honest),
        0,
      ),
      atMost(
        `bots in ${percent(share)} of prefixes: taken of a bot in the hour`,
        taken / draws / bots,
        caps.addressPerHour,
      ),
      atMost(`bots in ${percent(share)} of prefixes: growth of the caps’ memory, bytes`, capBytesGrown, 0),
    ],
  );
  const rows = cases.map((one): Cell[] => [
    percent(one.share),
    one.own,
    percent(one.ownMoved / Math.max(1, one.own)),
    one.others,
    one.othersMoved,
    one.honest,
    one.honestRefused,
    one.besideRefused,
    Math.round(one.taken / draws),
    [...one.refused].map(([reason, count]) => `${reason} ${count}`).join(', '),
  ]);
  const head = [
    'prefixes',
    'with bots',
    'moved',
    'others',
    'moved',
    'honest',
    'refused',
    'beside bots',
    'taken of bots',
    'refused',
  ];
  const text = [
    `${bots} addresses, ${tries} tries each in an hour; ${Math.round((cases[0]?.capBytes ?? 0) / 1024)} kB of caps, ${cases.reduce((sum, { evicted }) => sum + evicted, 0)} keys pushed out`,
    table(head, rows),
    verdictTable(verdicts),
  ].join('\n\n');
  const figures = cases.map(({ refused, ...rest }) => ({ ...rest, refused: Object.fromEntries(refused) }));
  return { mode: 'botnet', text, verdicts, figures, plots: {} };
}
