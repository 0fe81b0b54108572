/** Health over a real tree: who is cut off, what is really dead, what is said from outside, and what a restart knows. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DnsState } from '@ufes/core/dashboard.ts';
import type { DesiredPop } from '@ufes/core/desired.ts';
import type { Vote } from '@ufes/core/votes.ts';
import { adminGet, adminPost } from '@ufes/io/admin-client.ts';
import { createPopVantage } from '@ufes/io/health/pop-checker.ts';
import { ensureInternalCa } from '@ufes/io/internal-ca.ts';
import { testContext } from '@ufes/io/testing.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endTree, pause, QueryLoad, restartDns, startTree, stopped, type Tree, until } from './tree.ts';

const name = 'www.shop.example';
const subnet = '81.2.69.0/24';
const ttlMax = 30;
const more = `
  spare:
    name: spare.shop.example
    pops: [lon, iad, sin]
    origin: eu
    allDown: { fallback: [192.0.2.99] }
  quiet:
    name: quiet.shop.example
    pops: [lon, iad, sin]
    origin: eu
    allDown: nodata
  api:
    name: api.shop.example
    pops: [lon, iad, sin]
    origin: eu
    check: { kind: https, path: /api/health, body: "I am" }

probes:
`;
let tree: Tree;
beforeAll(async () => {
  tree = await startTree({ edit: (yaml) => yaml.replace('\nprobes:\n', more), bare: true });
  await allUp();
}, 60_000);
afterAll(() => endTree(tree));

const london = () => tree.address('10.1');
const edges = ['edge-lon', 'edge-iad', 'edge-sin'];
type State = Omit<DnsState, 'pops'> & {
  votes: Record<string, Vote[]>;
  pops: { id: string; state: string; votes: number }[];
};
const state = () => adminGet<State>(tree.state, 'dns', '/state', {});
/** Of a dns that knows any: one that has just started knows none. */
const everyPop = ({ pops }: State, holds: (pop: State['pops'][number]) => boolean) =>
  pops.length === 3 && pops.every(holds);
const allUp = () =>
  until('all are up', async () => everyPop(await state(), (pop) => pop.state === 'up'), 30_000, tree.output);
const ttlOf = async () => (await tree.dig(name, { subnet })).answers[0]?.ttl;
const quiet = () => until('TTL is the longest', async () => (await ttlOf()) === ttlMax, 20_000);

/** A store that cannot be used, until `during` is over; then everybody makes do with an empty one. */
async function withoutStore(during: () => Promise<void>): Promise<void> {
  const makeRoom = await tree.store.lose();
  try {
    await during();
  } finally {
    await makeRoom();
  }
  await until('votes count again', async () => everyPop(await state(), ({ votes }) => votes >= 3), 20_000, tree.output);
}

/** Everything that was answered while `during` ran, at 50 a second. */
async function answersDuring(during: () => Promise<void>): Promise<QueryLoad> {
  const load = new QueryLoad(tree, name, subnet, 50);
  try {
    await during();
  } finally {
    await load.stop();
  }
  expect(load.unanswered).toBe(0);
  expect(load.rcodes()).toEqual(['NOERROR']);
  return load;
}
const addresses = (load: QueryLoad) => [...new Set(load.answers.map((one) => one.address))];

/** Milliseconds until an answer is another one. */
async function leaves(service: string, address: string): Promise<number> {
  return until(`${address} leaves`, async () => (await tree.answer(service, subnet)) !== address, 10_000, tree.output);
}

describe('in quiet times', () => {
  test('every vantage votes: dns, probe and the edges of the other PoPs', async () => {
    await until(
      'all vote',
      async () => (await state()).votes['lon']?.length === 4,
      10_000,
      () => tree.output(),
    );
    const { votes } = await state();
    expect(votes['lon']!.map(({ vantage }) => vantage).sort()).toEqual(['dns', 'edge-iad', 'edge-sin', 'probe']);
    expect(votes['lon/api']!.map(({ vantage }) => vantage).sort()).toEqual(['dns', 'edge-iad', 'edge-sin', 'probe']);
  });

  test('every TTL is the longest, unless a check has just failed', async () => {
    await quiet();
    const sure = async () => (await state()).votes['lon']!.every(({ holdMs }) => holdMs === 0);
    const ttls: (number | undefined)[] = [];
    let samples = 0;
    for (; samples < 400 && ttls.length < 100; samples++) {
      const before = await sure();
      const ttl = await ttlOf();
      // Between a result and the answer there is a store and a wake-up: only what was sure before and after is quiet.
      if (before && (await sure())) ttls.push(ttl);
      await pause(50);
    }
    console.log(`quiet: ${ttls.filter((ttl) => ttl === ttlMax).length} of ${ttls.length} TTLs are the maximum`);
    expect(ttls.length).toBeGreaterThan(20);
    expect([...new Set(ttls)]).toEqual([ttlMax]);
  });
});

describe('one vantage cut off moves no answer', () => {
  test('one that stands still (SIGSTOP)', async () => {
    const load = await answersDuring(() => stopped(tree, ['probe'], () => pause(4_000)));
    expect(addresses(load)).toEqual([london()]);
  });

  test('one whose checks all fail: its CA is another', async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), 'ufes-vantage-'));
    await ensureInternalCa(elsewhere);
    await strayVantage(elsewhere, (pop) => pop, ['lon', 'iad', 'sin']);
  });

  test('one that cannot reach one PoP', async () => {
    await strayVantage(tree.state, (pop) => (pop.id === 'lon' ? { ...pop, httpsPort: 1 } : pop), ['lon']);
  });

  /** A real vantage that votes into the tree's store, and sees `down`. */
  async function strayVantage(
    own: string,
    change: (pop: DesiredPop) => DesiredPop,
    down: readonly string[],
  ): Promise<void> {
    const context = await testContext({ node: 'stray', state: tree.state, config: { store: tree.store.store } });
    const vantage = createPopVantage({ ...context, state: own });
    const pops = ['lon', 'iad', 'sin'].map(
      (id, i): DesiredPop => ({
        id,
        title: id,
        latitude: 0,
        longitude: 0,
        vips: { v4: tree.address(`${i + 1}0.1`) },
        httpsPort: 8443,
        httpPort: 8080,
        requestsPerSecond: 1,
        backboneRttMs: {},
      }),
    );
    vantage.follow({ pops: pops.map(change), services: [] });
    try {
      const load = await answersDuring(async () => {
        await vantage.start();
        const votedDown = async () => {
          const { votes } = await state();
          const isDown = (pop: string) =>
            votes[pop]?.some((vote) => vote.vantage === 'stray' && vote.state === 'down') ?? false;
          return ['lon', 'iad', 'sin'].every((pop) => isDown(pop) === down.includes(pop));
        };
        await until('the stray votes', votedDown, 10_000);
        await pause(3_000);
      });
      expect(addresses(load)).toEqual([london()]);
    } finally {
      await vantage.stop();
      await context.dispose();
      if (own !== tree.state) rmSync(own, { recursive: true, force: true });
    }
  }
});

describe('what is really dead', () => {
  test('all PoPs: each service answers by its all-down rule within 3 s, and all come back', async () => {
    await quiet();
    await stopped(tree, edges, async () => {
      const ms = await until(
        'all are down',
        async () => everyPop(await state(), (pop) => pop.state === 'down'),
        10_000,
        tree.output,
      );
      console.log(`all PoPs dead: seen after ${Math.round(ms)} ms`);
      expect(ms).toBeLessThan(3_000);
      const [preferred, fallback, nodata] = await Promise.all(
        [name, 'spare.shop.example', 'quiet.shop.example'].map((service) => tree.dig(service, { subnet })),
      );
      expect(preferred!.answers[0]!.address).toBe(london());
      expect(preferred!.answers[0]!.ttl).toBe(5);
      expect(fallback!.answers.map((one) => one.address)).toEqual(['192.0.2.99']);
      expect([nodata!.rcode, nodata!.answers]).toEqual(['NOERROR', []]);
      expect((await tree.explain(name, '81.2.69.160')).why).toContain('all down: serve preferred');
    });
    await allUp();
  });

  test('one PoP with the store cut, within 3 s', async () => {
    await quiet();
    await withoutStore(async () => {
      await stopped(tree, ['edge-lon'], async () => {
        const ms = await leaves(name, london());
        console.log(`store cut, PoP dead: left answers after ${Math.round(ms)} ms`);
        expect(ms).toBeLessThan(3_000);
      });
      await until('London is back', async () => (await tree.answer(name, subnet)) === london(), 10_000);
    });
  });

  test('a PoP that flaps with a period of 2 s changes answers no more often than hysteresis allows', async () => {
    await quiet();
    const pid = await tree.pid('edge-lon');
    const seen: boolean[] = [];
    let flapping = true;
    const watch = (async () => {
      // One after the other: answers that overtake each other would look like changes.
      while (flapping) {
        seen.push((await tree.answer(name, subnet)) === london());
        await pause(20);
      }
    })();
    try {
      for (let i = 0; i < 6; i++) {
        // A check that waits for it when it goes on is well: long enough that two of each vantage fail, on a busy machine too.
        process.kill(pid, 'SIGSTOP');
        await pause(1_700);
        process.kill(pid, 'SIGCONT');
        await pause(300);
      }
    } finally {
      process.kill(pid, 'SIGCONT');
      flapping = false;
    }
    await watch;
    const changes = seen.filter((one, i) => i > 0 && one !== seen[i - 1]).length;
    console.log(`flapping for 12 s: ${changes} changes`);
    // At least 1.5 s up and 2.5 s down: two changes in 4 s.
    expect(changes).toBeGreaterThanOrEqual(1);
    expect(changes).toBeLessThanOrEqual(7);
    await allUp();
  });

  test('a service that fails its own check at every PoP is not the PoPs’ fault', async () => {
    await until(
      'api is down where its check fails',
      async () => (await tree.explain('api.shop.example', '81.2.69.160')).pops.every((pop) => pop.state === 'down'),
      10_000,
    );
    await until(
      'the PoPs are up',
      async () => (await tree.explain(name, '81.2.69.160')).pops.every((pop) => pop.state === 'up'),
      10_000,
    );
  });
});

describe('an external verdict', () => {
  test('takes a PoP out at once, without the store too, over a restart, until its end', async () => {
    await withoutStore(async () => {
      const said = await tree.ufes('verdict', 'lon', 'down', '--for', '12s', '--why', 'fire drill');
      expect([said.code, said.stderr]).toEqual([0, expect.stringContaining('the store could not be told')]);
      const endMs = performance.now() + 12_000;
      expect(await tree.answer(name, subnet)).not.toBe(london());
      expect((await tree.ufes('verdict')).stdout).toContain('fire drill');
      await restartDns(tree, name);
      expect(await tree.answer(name, subnet)).not.toBe(london());
      await until('it ends', async () => (await tree.answer(name, subnet)) === london(), 30_000);
      expect(performance.now()).toBeGreaterThan(endMs - 2_000);
    });
  });

  test('is refused without an end, a reason, or a PoP that there is; is audited and taken back', async () => {
    const refused = (body: object) =>
      adminPost(tree.state, 'dns', '/verdicts', { state: 'down', forMs: 60_000, reason: 'x', ...body }).catch(String);
    expect((await tree.ufes('verdict', 'lon', 'down')).stderr).toContain('usage');
    expect(await refused({ pop: 'ldn' })).toContain('no PoP "ldn"; there are lon, iad, sin');
    expect(await refused({ pop: 'lon', service: 'shp' })).toContain('no service "shp"');
    expect(await refused({ pop: 'lon', forMs: 30 * 86_400_000 })).toContain('a verdict has an end');
    expect(await refused({ pop: 'lon', forMs: undefined })).toContain('a verdict has an end');
    expect(await refused({ pop: 'lon', reason: ' ' })).toContain('must say why');
    expect(await refused({ pop: 'iad', state: 'none' })).toContain('nothing said');
    expect((await tree.ufes('verdict', 'lon/spare', 'down', '--for', '1m', '--why', 'bad build')).code).toBe(0);
    expect(await tree.answer('spare.shop.example', subnet)).not.toBe(london());
    expect(await tree.answer(name, subnet)).toBe(london());
    const context = await testContext({ node: 'auditor', state: tree.state, config: { store: tree.store.store } });
    const [newest] = (await context.store.audit.list(20)).filter(({ action }) => action === 'verdict');
    await context.dispose();
    expect(newest).toMatchObject({ subject: 'lon/spare', detail: { state: 'down', reason: 'bad build' } });
    expect((await tree.ufes('verdict', 'lon/spare', 'none')).code).toBe(0);
    expect(await tree.answer('spare.shop.example', subnet)).toBe(london());
  });
});

test('a restart with a corrupt newest map, stale live state and nobody to ask serves last good, corrected by own checks', async () => {
  await until('a map', async () => (await state()).map !== undefined, 20_000);
  const others = ['mapper', 'probe', 'controller'];
  await withoutStore(() =>
    stopped(tree, others, async () => {
      const folder = join(tree.state, 'nodes/dns');
      const before = await tree.dig(name, { subnet });
      const kept = JSON.parse(readFileSync(join(folder, 'live.json'), 'utf8'));
      kept.atMs -= 86_400_000;
      kept.verdicts.lon.state = 'down';
      const old = await tree.pid('dns');
      process.kill(old, 'SIGKILL');
      writeFileSync(join(folder, 'live.json'), JSON.stringify(kept));
      writeFileSync(join(folder, 'map.current'), 'this is no map');
      const ms = await until(
        'dns answers',
        async () => (await tree.pid('dns')) !== old && (await tree.answer(name, subnet)) === london(),
        30_000,
        tree.output,
      );
      console.log(`restart with a corrupt map and stale live state: right answer after ${Math.round(ms)} ms`);
      const after = await tree.dig(name, { subnet });
      expect(after.answers[0]!.address).toBe(before.answers[0]!.address);
      expect((await state()).pops.map((pop) => pop.state)).toEqual(['up', 'up', 'up']);
    }),
  );
});
