/**
 * From evidence to answer while a whole tree is busy: `ufes up` with three PoPs, 100,000 /24s that are known, a thousand
 * beacons a second about them. Then, again and again, a London /24 that nobody spoke of sends 25 beacons that find
 * Virginia quicker: how long from the last acknowledgement until dns answers so.
 *
 *     node loadtest/collect/evidence.ts [TRIALS 20] [PER-SECOND 1000]     → loadtest/results/evidence.json
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { adminGet } from '@ufes/io/admin-client.ts';
import { testContext } from '@ufes/io/testing.ts';
import { endTree, measure, startTree, type Tree } from '../../test/e2e/tree.ts';
import { ended, facts, freePort, load, pause } from '../dns/machine.ts';
import { fill } from './fold.ts';
import type { PostJob } from './poster.ts';

const [trials, perSecond] = [20, 1_000].map((value, i) => Number(process.argv[2 + i] ?? value)) as [number, number];
const name = 'www.shop.example';
const prefixes = 100_000;

async function known(tree: Tree): Promise<void> {
  const context = await testContext({ state: tree.state, node: 'filler', config: { store: tree.store.store } });
  await fill(context.queue.samples, { prefixes, beacons: prefixes }, 0);
  await context.dispose();
  const metric = async (): Promise<number> => {
    try {
      const text = String(await adminGet(tree.state, 'mapper', '/metrics'));
      return Number(/ufes_mapper_prefixes\S* (\d+)/.exec(text)?.[1]);
    } catch {
      return 0;
    }
  };
  while ((await metric()) < prefixes) await pause(500);
}

/** Milliseconds from the last acknowledgement to the first answer that follows from it. */
async function trial(tree: Tree, subnet: string): Promise<number> {
  await measure(tree, subnet.replace('.0/24', '.7'), { 'pop:iad': 85 }, 25);
  const startMs = performance.now();
  while ((await tree.answer(name, subnet)) !== tree.address('20.1')) {
    if (performance.now() - startMs > 30_000) return Number.POSITIVE_INFINITY;
    await pause(10);
  }
  return Math.round(performance.now() - startMs);
}

const port = await freePort();
const before = load();
const tree = await startTree({
  bare: true,
  edit: (yaml) =>
    yaml
      .replace('  probe:\n', `  probe:\n    - { address: '127.0.0.1:${port}', proxy: x-forwarded-for }\n`)
      .replace('trustedProxies: [', 'trustedProxies: [127.0.0.1, '),
});
try {
  await known(tree);
  const job: PostJob = {
    port,
    seconds: 3_600,
    perSecond,
    warmupSeconds: 0,
    connections: 64,
    requests: 150_000,
    again: false,
    prefixes,
    tokenKey: join(tree.state, 'keys', 'token.key'),
    seed: 'evidence',
  };
  const poster = spawn(process.execPath, [join(import.meta.dirname, 'poster.ts')], { stdio: ['pipe', 'pipe', 'pipe'] });
  poster.stdin.end(JSON.stringify(job));
  const posted = ended(poster);
  await pause(15_000);
  const ms: number[] = [];
  for (let i = 64; i < 128 && ms.length < trials; i++) {
    const subnet = `81.2.${i}.0/24`;
    if ((await tree.answer(name, subnet)) !== tree.address('10.1')) continue;
    ms.push(await trial(tree, subnet));
    console.error(subnet, ms.at(-1));
    await pause(300);
  }
  const probe = await adminGet<{ journal: unknown }>(tree.state, 'probe', '/state');
  poster.kill('SIGTERM');
  await posted;
  const sorted = ms.toSorted((a, b) => a - b);
  const result = {
    what: `ms from the last of 25 acknowledged beacons to the answer, ${perSecond} beacons a second about ${prefixes} known /24s beside it`,
    store: tree.store.store,
    median: sorted[sorted.length >> 1],
    most: sorted.at(-1),
    ms,
    journal: probe.journal,
    load: { before, after: load() },
    ...facts([]),
  };
  console.error(result);
  writeFileSync(join(import.meta.dirname, '../results/evidence.json'), `${JSON.stringify(result, null, 1)}\n`);
} finally {
  await endTree(tree);
}
