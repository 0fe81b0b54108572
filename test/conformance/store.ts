/** What every Store must do (ports.ts). `make` gives an empty one. */
import { OperatingError } from '@ufes/core/errors.ts';
import type { ArtefactKind, Fold, Lease, Store } from '@ufes/core/ports.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { decodeCount, encodeCount, foldOf } from './evidence.ts';
import { type Fixture, startClient } from './fixture.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const unavailable = expect.objectContaining({ code: 'STORE_UNAVAILABLE', retry: true });

export function storeConformance(name: string, make: () => Promise<Fixture>): void {
  describe(`${name} as a store`, () => {
    let fixture: Fixture;
    let store: Store;
    let clock: ManualClock;
    beforeEach(async () => {
      fixture = await make();
      clock = new ManualClock();
      store = fixture.store(clock);
    });
    afterEach(() => fixture.dispose());

    describe('artefacts', () => {
      const put = (kind: ArtefactKind, ms: number, writer: string): Promise<void> =>
        store.artefacts.put(kind, { ms, writer }, bytes(`${kind} ${ms} ${writer}`));

      test('come back byte for byte, by kind and version', async () => {
        expect(await store.artefacts.newestVersion('map')).toBeUndefined();
        await put('map', 5, 'a');
        await put('desired', 7, 'b');
        expect(await store.artefacts.newestVersion('map')).toEqual({ ms: 5, writer: 'a' });
        expect(await store.artefacts.get('map', { ms: 5, writer: 'a' })).toEqual(bytes('map 5 a'));
        expect(await store.artefacts.get('map', { ms: 7, writer: 'b' })).toBeUndefined();
        const other = fixture.store(clock);
        expect(await other.artefacts.get('desired', { ms: 7, writer: 'b' })).toEqual(bytes('desired 7 b'));
        const large = new Uint8Array(8 << 20).map((_, i) => i * 31);
        await store.artefacts.put('map', { ms: 6, writer: 'a' }, large);
        expect(Buffer.compare((await other.artefacts.get('map', { ms: 6, writer: 'a' }))!, large)).toBe(0);
        const pieces: Uint8Array[] = [];
        for (let at = 0; ; at += pieces.at(-1)!.length) {
          const piece = await other.artefacts.read('map', { ms: 6, writer: 'a' }, at);
          if (piece === undefined) break;
          pieces.push(piece);
        }
        expect(Buffer.compare(Buffer.concat(pieces), large)).toBe(0);
        expect(pieces.length).toBeGreaterThan(1);
        expect(await other.artefacts.read('map', { ms: 7, writer: 'b' }, 0)).toBeUndefined();
      });

      test('are ordered by milliseconds, then writer, and must be newer than the newest', async () => {
        await put('map', 10, 'b');
        for (const [ms, writer] of [
          [9, 'z'],
          [10, 'a'],
          [10, 'b'],
        ] as const) {
          await expect(put('map', ms, writer)).rejects.toMatchObject({ code: 'ARTEFACT_STALE' });
        }
        await put('map', 10, 'c');
        await put('map', 11, 'a');
        await put('desired', 1, 'a');
        expect(await store.artefacts.list('map', 2)).toEqual([
          { ms: 11, writer: 'a' },
          { ms: 10, writer: 'c' },
        ]);
      });

      test('of two who publish at once, the older is refused or comes first', async () => {
        const other = fixture.store(clock);
        const outcomes = await Promise.allSettled([
          store.artefacts.put('map', { ms: 20, writer: 'a' }, bytes('a')),
          other.artefacts.put('map', { ms: 20, writer: 'b' }, bytes('b')),
        ]);
        expect(outcomes[1].status).toBe('fulfilled');
        expect(await store.artefacts.newestVersion('map')).toEqual({ ms: 20, writer: 'b' });
        expect(await store.artefacts.list('map', 10)).toHaveLength(outcomes[0].status === 'fulfilled' ? 2 : 1);
      });

      test('are pruned to the newest, each kind by itself', async () => {
        for (let ms = 1; ms <= 5; ms++) await put('map', ms, 'a');
        await put('desired', 1, 'a');
        await store.artefacts.prune('map', 2);
        expect((await store.artefacts.list('map', 10)).map(({ ms }) => ms)).toEqual([5, 4]);
        expect(await store.artefacts.get('map', { ms: 3, writer: 'a' })).toBeUndefined();
        expect(await store.artefacts.read('map', { ms: 3, writer: 'a' }, 0)).toBeUndefined();
        expect(await store.artefacts.list('desired', 10)).toHaveLength(1);
      });
    });

    describe('live state', () => {
      test('is listed by key prefix, as it was last written', async () => {
        await store.live.put([
          { key: 'vote/dns/lon', value: { state: 'up', holdMs: 0 }, ttlMs: 1000 },
          { key: 'vote/probe/lon', value: { state: 'down' }, ttlMs: 1000 },
          { key: 'voter', value: 1, ttlMs: 1000 },
          { key: 'load/lon', value: null, ttlMs: 1000 },
        ]);
        await fixture.store(clock).live.put([{ key: 'vote/dns/lon', value: { state: 'down' }, ttlMs: 500 }]);
        expect(await store.live.list('vote/')).toEqual([
          {
            key: 'vote/dns/lon',
            value: { state: 'down' },
            writtenAtMs: clock.nowMs(),
            expiresAtMs: clock.nowMs() + 500,
          },
          expect.objectContaining({ key: 'vote/probe/lon', value: { state: 'down' } }),
        ]);
        expect(await store.live.list('load/')).toMatchObject([{ value: null }]);
        expect(await store.live.list('')).toHaveLength(4);
        expect(await store.live.list('vote/dns/lon/')).toEqual([]);
      });

      test('expires, is renewed and removed', async () => {
        await store.live.put([
          { key: 'a', value: 1, ttlMs: 100 },
          { key: 'b', value: 2, ttlMs: 200 },
          { key: 'c', value: 3, ttlMs: 1000 },
        ]);
        clock.advance(99);
        expect(await store.live.list('')).toHaveLength(3);
        clock.advance(1);
        expect((await store.live.list('')).map(({ key }) => key)).toEqual(['b', 'c']);
        await store.live.put([{ key: 'b', value: 2, ttlMs: 200 }]);
        clock.advance(150);
        expect((await store.live.list('')).map(({ key }) => key)).toEqual(['b', 'c']);
        await store.live.remove(['c', 'never was']);
        expect((await store.live.list('')).map(({ key }) => key)).toEqual(['b']);
      });
    });

    describe('leases', () => {
      test('have one holder, who renews with the same fence', async () => {
        const lease = await store.leases.acquire('shard/1', 'one', 1000);
        expect(lease).toMatchObject({ name: 'shard/1', owner: 'one' });
        expect(await fixture.store(clock).leases.acquire('shard/1', 'two', 1000)).toBeUndefined();
        clock.advance(900);
        expect(await store.leases.acquire('shard/1', 'one', 1000)).toEqual(lease);
        clock.advance(900);
        expect(await store.leases.acquire('shard/1', 'two', 1000)).toBeUndefined();
        expect(await store.leases.acquire('shard/2', 'two', 1000)).toBeDefined();
      });

      test('rise in fence with every change of holder, by expiry or release', async () => {
        const fences: number[] = [];
        const take = async (owner: string): Promise<Lease> => {
          const lease = await store.leases.acquire('shard/1', owner, 1000);
          fences.push(lease!.fence);
          return lease!;
        };
        const first = await take('one');
        clock.advance(1000);
        const second = await take('two');
        // The one who lost it can neither release nor renew it.
        await store.leases.release(first);
        expect(await store.leases.acquire('shard/1', 'one', 1000)).toBeUndefined();
        await store.leases.release(second);
        await store.leases.release(await take('one'));
        await take('two');
        expect(fences).toEqual([...new Set(fences)].sort((a, b) => a - b));
        expect(fences).toHaveLength(4);
      });
    });

    describe('evidence', () => {
      const fold = (lease: Lease, part: Partial<Fold>): Fold => ({
        shard: 1,
        lease,
        from: {},
        to: {},
        rows: [],
        tokens: [],
        ...part,
      });

      test('a fold writes rows, offsets and tokens of its shard', async () => {
        const lease = (await store.leases.acquire('shard/1', 'one', 1000))!;
        const row = { key: '192.0.2.0/24|pop:lon|browser|rum', bytes: bytes('sketch') };
        const tokens = [{ id: 't1', expiresAtMs: 500 }];
        expect(await store.evidence.fold(fold(lease, { to: { c1: 3, c2: 1 }, rows: [row], tokens }), 100)).toBe('ok');
        const other = fixture.store(clock);
        expect(await other.evidence.offsets(1)).toEqual({ c1: 3, c2: 1 });
        expect(await other.evidence.rows(1)).toEqual([row]);
        expect(await other.evidence.usedTokens(1, ['t0', 't1'])).toEqual(new Set(['t1']));
        expect(await other.evidence.offsets(2)).toEqual({});
        expect(await other.evidence.rows(2)).toEqual([]);
        expect(await other.evidence.usedTokens(2, ['t1'])).toEqual(new Set());
        const changed = { ...row, bytes: bytes('another sketch') };
        const next = fold(lease, { from: { c1: 3, c2: 1 }, to: { c1: 4 }, rows: [changed] });
        expect(await store.evidence.fold(next, 100)).toBe('ok');
        expect(await other.evidence.offsets(1)).toEqual({ c1: 4, c2: 1 });
        expect(await other.evidence.rows(1)).toEqual([changed]);
      });

      test('moved: offsets that are not those it started from leave everything as it is', async () => {
        const lease = (await store.leases.acquire('shard/1', 'one', 1000))!;
        await store.evidence.fold(fold(lease, { to: { c1: 3 } }), 0);
        const attempts: Partial<Fold>[] = [
          { from: {}, to: { c1: 4 } },
          { from: { c1: 2 }, to: { c1: 4 } },
          { from: { c1: 3, c2: 1 }, to: { c1: 4 } },
          { from: {}, to: { c2: 1 } },
        ];
        for (const attempt of attempts) {
          const moved = fold(lease, {
            ...attempt,
            rows: [{ key: 'k', bytes: bytes('x') }],
            tokens: [{ id: 't', expiresAtMs: 9 }],
          });
          expect(await store.evidence.fold(moved, 0)).toBe('moved');
        }
        expect(await store.evidence.offsets(1)).toEqual({ c1: 3 });
        expect(await store.evidence.rows(1)).toEqual([]);
        expect(await store.evidence.usedTokens(1, ['t'])).toEqual(new Set());
      });

      test('fenced: who lost the lease writes nothing', async () => {
        const lost = (await store.leases.acquire('shard/1', 'one', 1000))!;
        clock.advance(1000);
        const held = (await fixture.store(clock).leases.acquire('shard/1', 'two', 1000))!;
        const part = { to: { c1: 1 }, rows: [{ key: 'k', bytes: bytes('x') }] };
        expect(await store.evidence.fold(fold(lost, part), 0)).toBe('fenced');
        expect(await store.evidence.fold(fold({ ...lost, fence: held.fence }, part), 0)).toBe('fenced');
        expect(await store.evidence.fold(fold({ ...lost, name: 'shard/9' }, part), 0)).toBe('fenced');
        expect(await store.evidence.offsets(1)).toEqual({});
        expect(await store.evidence.rows(1)).toEqual([]);
        expect(await store.evidence.fold(fold(held, part), 0)).toBe('ok');
      });

      test('tokens are remembered until they expire', async () => {
        const lease = (await store.leases.acquire('shard/1', 'one', 1000))!;
        const tokens = [
          { id: 'short', expiresAtMs: 100 },
          { id: 'long', expiresAtMs: 200 },
        ];
        await store.evidence.fold(fold(lease, { tokens }), 0);
        await store.evidence.fold(fold(lease, { tokens: [] }), 99);
        expect(await store.evidence.usedTokens(1, ['short', 'long'])).toEqual(new Set(['short', 'long']));
        await store.evidence.fold(fold(lease, { tokens: [] }), 150);
        expect(await store.evidence.usedTokens(1, ['short', 'long'])).toEqual(new Set(['long']));
      });

      test('processes that take turns by lease lose no fold', async () => {
        const count = 40;
        const clients = ['one', 'two'].map((owner) => startClient(fixture, 'increment', { name: owner, count }));
        expect(await Promise.all(clients.map((client) => client.ended))).toEqual([0, 0]);
        expect(await store.evidence.offsets(2)).toEqual({ c: 2 * count });
        expect(decodeCount((await store.evidence.rows(2))[0]!.bytes)).toBe(2 * count);
      });

      test('a folder killed at any moment leaves a fold whole or not at all', async () => {
        const rows = 400;
        let last = 0;
        for (let round = 0; round < 6; round++) {
          const client = startClient(fixture, 'fold', { from: last, rows });
          for (let i = 0; i <= round; i++) await client.next();
          client.child.kill('SIGKILL');
          await client.ended;
          const offset = (await store.evidence.offsets(0))['c'] ?? 0;
          const counts = new Set((await store.evidence.rows(0)).map((row) => decodeCount(row.bytes)));
          expect([...counts]).toEqual(offset === 0 ? [] : [offset]);
          expect(await store.evidence.usedTokens(0, [`token ${offset}`, `token ${offset + 1}`])).toEqual(
            new Set(offset === 0 ? [] : [`token ${offset}`]),
          );
          // It said n before it folded n: all it had finished is there.
          expect(offset).toBeGreaterThanOrEqual(Number(client.said.at(-1)) - 1);
          last = offset;
        }
        const lease = (await store.leases.acquire('shard/0', 'folder', 1000))!;
        expect(await store.evidence.fold(foldOf(lease, last + 1, 1), 0)).toBe('ok');
      });
    });

    describe('secrets', () => {
      test('are put, listed by prefix, replaced and removed', async () => {
        await store.secrets.put('certificate/www.shop.example', bytes('one'));
        await store.secrets.put('certificate/www.shop.example', bytes('two'));
        await store.secrets.put('token', bytes('key'));
        const other = fixture.store(clock);
        expect(await other.secrets.get('certificate/www.shop.example')).toEqual(bytes('two'));
        expect(await other.secrets.list('certificate/')).toEqual(['certificate/www.shop.example']);
        await other.secrets.remove('certificate/www.shop.example');
        expect(await store.secrets.get('certificate/www.shop.example')).toBeUndefined();
        expect(await store.secrets.list('')).toEqual(['token']);
        await store.secrets.put('empty', new Uint8Array());
        expect(await store.secrets.get('empty')).toEqual(new Uint8Array());
      });
    });

    describe('the past', () => {
      const all = { fromMs: 0, bytes: 1e9 };
      const append = (stream: string, atMs: number, key: string, size = 1, keep = all) =>
        store.history.append(stream, { atMs, key, bytes: new Uint8Array(size).fill(atMs) }, keep);
      const keys = async (stream: string, range: Parameters<typeof store.history.list>[1] = { limit: 100 }) =>
        (await store.history.list(stream, range)).map(({ key }) => key);

      test('comes back by key, and newest first by time, then key', async () => {
        for (const [atMs, key] of [
          [2, 'b'],
          [1, 'z'],
          [2, 'a'],
          [3, '0'],
        ] as const) {
          await append('map', atMs, key);
        }
        await append('live/dns', 9, 'a');
        expect(await keys('map')).toEqual(['0', 'b', 'a', 'z']);
        expect(await keys('map', { fromMs: 2, toMs: 2, limit: 100 })).toEqual(['b', 'a']);
        expect(await keys('map', { toMs: 2, limit: 1 })).toEqual(['b']);
        const other = fixture.store(clock).history;
        expect(await other.get('map', 'z')).toEqual({ atMs: 1, key: 'z', bytes: Uint8Array.of(1) });
        expect(await other.get('live/dns', 'z')).toBeUndefined();
        expect(await other.streams('live/')).toEqual(['live/dns']);
        expect(await other.streams('')).toEqual(['live/dns', 'map']);
      });

      test('a row of the same key takes the place of the other', async () => {
        await append('map', 1, 'a', 10);
        await append('map', 5, 'a', 20);
        expect(await keys('map')).toEqual(['a']);
        expect((await store.history.get('map', 'a'))!.bytes).toHaveLength(20);
        // Its size too: 20 and 20 fit into 40.
        await append('map', 6, 'b', 20, { fromMs: 0, bytes: 40 });
        expect(await keys('map')).toEqual(['b', 'a']);
      });

      test('is dropped from its oldest end, by age and by bytes, each stream by itself', async () => {
        await append('publish', 1, 'a', 100);
        for (let atMs = 1; atMs <= 5; atMs++) await append('map', atMs, String(atMs), 10);
        await append('map', 6, '6', 10, { fromMs: 3, bytes: 1e9 });
        expect(await keys('map')).toEqual(['6', '5', '4', '3']);
        await append('map', 7, '7', 10, { fromMs: 0, bytes: 25 });
        expect(await keys('map')).toEqual(['7', '6']);
        expect(await keys('publish')).toEqual(['a']);
      });
    });

    test('audit entries come back newest first', async () => {
      for (const subject of ['a', 'b', 'c']) {
        await store.audit.append({ atMs: 5, actor: 'operator', action: 'fail', subject, detail: { pop: subject } });
      }
      const listed = await fixture.store(clock).audit.list(2);
      expect(listed).toEqual([
        { atMs: 5, actor: 'operator', action: 'fail', subject: 'c', detail: { pop: 'c' } },
        { atMs: 5, actor: 'operator', action: 'fail', subject: 'b', detail: { pop: 'b' } },
      ]);
    });

    test('processes that write at once all get in', async () => {
      const count = 100;
      const clients = ['one', 'two', 'three'].map((client) => startClient(fixture, 'write', { name: client, count }));
      expect(await Promise.all(clients.map((client) => client.ended))).toEqual([0, 0, 0]);
      // Their clock is the machine's; ours is older, so nothing has expired.
      expect(await store.live.list('busy/')).toHaveLength(3 * count);
      expect(await fixture.queue().samples.lastSeq(1, 'two')).toBe(count);
    });

    test('a store that is gone is STORE_UNAVAILABLE to every call, and used again when it is back', async () => {
      await store.live.put([{ key: 'a', value: 1, ttlMs: 1000 }]);
      await fixture.breakIt();
      const lease = { name: 'shard/1', fence: 1, owner: 'one' };
      const calls: (() => Promise<unknown>)[] = [
        () => store.artefacts.put('map', { ms: 1, writer: 'a' }, bytes('x')),
        () => store.artefacts.newestVersion('map'),
        () => store.artefacts.get('map', { ms: 1, writer: 'a' }),
        () => store.artefacts.read('map', { ms: 1, writer: 'a' }, 0),
        () => store.artefacts.list('map', 1),
        () => store.artefacts.prune('map', 1),
        () => store.live.put([{ key: 'a', value: 1, ttlMs: 1 }]),
        () => store.live.list(''),
        () => store.live.remove(['a']),
        () => store.leases.acquire('shard/1', 'one', 1),
        () => store.leases.release(lease),
        () => store.evidence.offsets(1),
        () => store.evidence.rows(1),
        () => store.evidence.usedTokens(1, ['t']),
        () => store.evidence.fold({ shard: 1, lease, from: {}, to: {}, rows: [], tokens: [] }, 0),
        () => store.secrets.put('s', encodeCount(1)),
        () => store.secrets.get('s'),
        () => store.secrets.list(''),
        () => store.secrets.remove('s'),
        () => store.audit.append({ atMs: 0, actor: 'a', action: 'b', subject: 'c', detail: null }),
        () => store.audit.list(1),
        () => store.history.append('map', { atMs: 0, key: 'a', bytes: bytes('x') }, { fromMs: 0, bytes: 9 }),
        () => store.history.get('map', 'a'),
        () => store.history.list('map', { limit: 1 }),
        () => store.history.streams(''),
      ];
      const fails = async (call: () => Promise<unknown>): Promise<void> => {
        await expect(call(), call.toString()).rejects.toThrow(OperatingError);
        await expect(call(), call.toString()).rejects.toEqual(unavailable);
      };
      await Promise.all(calls.map(fails));
      await fixture.mend();
      await store.live.put([{ key: 'b', value: 2, ttlMs: 1000 }]);
      expect((await store.live.list('b')).map(({ value }) => value)).toEqual([2]);
    });
  });
}
