/** Versions, judgements and live state as they come back from the past, out of a real store. */
import { type DesiredState, desiredFormat } from '@ufes/core/desired.ts';
import { limits } from '@ufes/core/limits.ts';
import { type Fact, LiveJournal } from '@ufes/core/live-facts.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import type { SteeringMap } from '@ufes/core/steering/map.ts';
import { encodeMap } from '@ufes/core/steering/map-bytes.ts';
import { judgedMap, judgedPops, rankingAt } from '@ufes/core/steering/testing-judge.ts';
import { formatVersion, type Version } from '@ufes/core/version.ts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { publishArtefact } from './artefact.ts';
import { ManualClock } from './clock.ts';
import { keepLive, keepPublication, openHistory } from './history.ts';
import { type TestContext, testContext } from './testing.ts';

let context: TestContext;
let clock: ManualClock;
beforeEach(async () => {
  clock = new ManualClock();
  context = await testContext({ node: 'mapper', clock });
});
afterEach(() => context.dispose());

const rng = seededRng('history');
/** A map of 300 cells in which some are ranked at random. */
const drawn = (): SteeringMap =>
  judgedMap(
    Array.from({ length: 300 }, (_, i) => ({
      at: i,
      ranking: rng.next() < 0.05 ? judgedPops.toSorted(() => rng.next() - 0.5) : judgedPops,
      ms: { fra: i % 7, iad: 50, lon: 60, sin: 70 },
    })),
  );

describe('versions', () => {
  test('any time gives the map that was newest then, byte for byte, whole or put together', async () => {
    const published: { version: Version; bytes: Uint8Array }[] = [];
    for (let i = 0; i < 2 * limits.history.chain + 5; i++) {
      const bytes = encodeMap(drawn());
      published.push({ version: await publishArtefact(context, 'map', bytes), bytes });
      clock.advance(15_000);
    }
    const history = openHistory(context);
    const rows = await context.store.history.list('map', { limit: 1_000 });
    const sizes = rows.map(({ bytes }) => bytes.length);
    // All but the first say what changed.
    expect(sizes.toSorted((a, b) => a - b).at(-2)).toBeLessThan(sizes.at(-1)! / 2);
    for (const i of [0, 1, 2, 62, 63, 64, 65, 127, 128, 129, 132]) {
      const { version, bytes } = published[i]!;
      const then = (await history.mapAt(version.ms + 7_000))!;
      expect(then.version).toEqual(version);
      expect(Buffer.compare(encodeMap(then.map), bytes)).toBe(0);
      expect((await history.mapOf(version))!.version).toEqual(version);
    }
    expect(await history.mapAt(published[0]!.version.ms - 1)).toBeUndefined();
    expect(await history.mapOf({ ms: 5, writer: 'a' })).toBeUndefined();
  });

  test('another publisher, and a day, begin with a whole one', async () => {
    await publishArtefact(context, 'map', encodeMap(drawn()));
    const other = await testContext({ node: 'other', clock, state: context.state });
    await publishArtefact(other, 'map', encodeMap(drawn()));
    clock.advance(limits.history.wholeMs + 1);
    const last = drawn();
    const version = await publishArtefact(other, 'map', encodeMap(last));
    const rows = await context.store.history.list('map', { limit: 10 });
    const heads = rows.map(({ bytes }) =>
      JSON.parse(Buffer.from(bytes).toString('utf8', 4, 4 + Buffer.from(bytes).readUInt32LE(0))),
    );
    expect(heads.map(({ base }) => base)).toEqual([undefined, undefined, undefined]);
    expect(rankingAt((await openHistory(context).mapOf(version))!.map, 5)).toEqual(rankingAt(last, 5));
    await other.dispose();
  });

  test('what was tampered with, or builds on what is gone, is refused', async () => {
    const first = await publishArtefact(context, 'map', encodeMap(drawn()));
    const second = await publishArtefact(context, 'map', encodeMap(drawn()));
    const { history } = context.store;
    const row = (await history.get('map', formatVersion(second)))!;
    const other = (await history.get('map', formatVersion(first)))!;
    const keep = { fromMs: 0, bytes: 1e9 };
    await history.append('map', { ...other, key: formatVersion(second), atMs: row.atMs }, keep);
    // Its own signature, of another version: what it says must be what it is.
    const read = openHistory(context);
    await expect(read.mapOf(second)).rejects.toMatchObject({ code: 'ARTEFACT_CORRUPT' });
    const bytes = Buffer.from(row.bytes);
    bytes.write('zzzz', 60);
    await history.append('map', { ...row, bytes }, keep);
    await expect(read.mapOf(second)).rejects.toMatchObject({ code: 'ARTEFACT_CORRUPT' });
    await history.append('map', row, { fromMs: row.atMs, bytes: 1e9 });
    await expect(read.mapOf(second)).rejects.toThrow('not kept any more');
  });

  test('desired states too', async () => {
    const payload = (version: Version, name: string) =>
      new TextEncoder().encode(JSON.stringify({ format: desiredFormat, version, pops: [], zones: [{ origin: name }] }));
    const first = await publishArtefact(context, 'desired', (version) => payload(version, 'a.example.'));
    clock.advance(1_000);
    await publishArtefact(context, 'desired', (version) => payload(version, 'b.example.'));
    const history = openHistory(context);
    const then = (await history.desiredAt(first.ms + 999))!;
    expect((then.desired as Pick<DesiredState, 'zones'>).zones[0]!.origin).toBe('a.example.');
    expect(then.desired.version).toEqual(first);
  });
});

describe('live state', () => {
  test('any time gives what the node decided by then, and the versions it had applied', async () => {
    const journal = new LiveJournal('one');
    let number = 0;
    for (let i = 0; i < 300; i++) {
      const applied = [`${1_000 + Math.floor(i / 10)}-a`];
      journal.note(
        new Map<string, Fact>([
          ['time', [i]],
          ['applied/map', applied],
        ]),
        10_000 + 100 * i,
      );
      const batch = i % 3 === 2 ? journal.batch() : undefined;
      if (batch === undefined) continue;
      await keepLive({ ...context, node: 'dns' }, batch, ++number);
      journal.kept(batch);
    }
    const history = openHistory(context);
    expect(await history.nodes()).toEqual(['dns']);
    for (const i of [0, 1, 2, 3, 191, 192, 193, 200, 299]) {
      const then = (await history.liveAt('dns', 10_000 + 100 * i + 50))!;
      expect(then.facts.get('time')).toEqual([i]);
      expect(then).toMatchObject({ sinceMs: 10_000 + 100 * i, applied: { map: `${1_000 + Math.floor(i / 10)}-a` } });
    }
    expect(await history.liveAt('dns', 9_999)).toBeUndefined();
    expect(await history.liveAt('other', 20_000)).toBeUndefined();
  });

  test('a process that takes over goes on with its own', async () => {
    for (const [session, atMs] of [
      ['a', 1_000],
      ['b', 2_000],
    ] as const) {
      const journal = new LiveJournal(session);
      journal.note(new Map([['own/lon', [session]]]), atMs);
      await keepLive({ ...context, node: 'dns' }, journal.batch()!, 1);
    }
    const history = openHistory(context);
    expect((await history.liveAt('dns', 1_500))!.session).toBe('a');
    expect((await history.liveAt('dns', 2_000))!.facts.get('own/lon')).toEqual(['b']);
  });
});

test('judgements come newest first, and one that is kept again takes its place', async () => {
  const one = { atMs: 1_000, kind: 'publish', version: '1000-a', reasons: [] } as const;
  await keepPublication(context, one);
  await keepPublication(context, { atMs: 2_000, kind: 'hold', reasons: [{ guard: 'worse', text: 'so it is' }] });
  const measured = { atMs: 3_000, gainMs: 5, predictedGainMs: 6, known: 1 };
  await keepPublication(context, { ...one, measured });
  const history = openHistory(context);
  expect(await history.publications({ limit: 10 })).toEqual([
    expect.objectContaining({ kind: 'hold' }),
    { ...one, measured },
  ]);
  expect(await history.publications({ toMs: 1_999, limit: 10 })).toHaveLength(1);
});
