/**
 * `npm run loadtest`: k6's visitors (scenarios.ts) before one collector with its mapper behind it, all in default
 * configuration. Fails when a threshold does.
 *
 *     node loadtest/k6/run.ts [SECONDS 30] [BEACONS 1000] [PLANS 200] [STORE]   → loadtest/results/k6.json, k6.svg
 */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endService, type Running, startService } from '../collect/services.ts';
import { facts, load, pause } from '../dns/machine.ts';
import { plotSeconds, type Series } from './plot.ts';
import { findK6, k6Version, startK6 } from './tool.ts';

const [seconds, beacons, plans] = [30, 1_000, 200].map((value, i) => Number(process.argv[2 + i] ?? value)) as [
  number,
  number,
  number,
];
const store = process.argv[5] ?? 'embedded';
const results = join(import.meta.dirname, '../results');

interface ProbeState {
  readonly desired: unknown;
  readonly journal: { readonly seq: number; readonly lag: number };
}

/** Round trips by second and kind of request. */
function seriesOf(csv: string): Series[] {
  const [head = '', ...lines] = csv.trim().split('\n');
  const columns = head.split(',');
  const at = (name: string): number => columns.indexOf(name);
  const [metric, time, value, name] = ['metric_name', 'timestamp', 'metric_value', 'name'].map(at);
  const series = new Map<string, Map<number, number[]>>();
  for (const line of lines) {
    const fields = line.split(',');
    if (fields[metric!] !== 'http_req_duration') continue;
    const kind = fields[name!]!;
    const bySecond = series.get(kind) ?? new Map<number, number[]>();
    series.set(kind, bySecond);
    const second = Number(fields[time!]);
    const values = bySecond.get(second) ?? [];
    bySecond.set(second, values);
    values.push(Number(fields[value!]));
  }
  return [...series].sort().map(([name, bySecond]) => ({ name, bySecond }));
}

async function drained(probe: Running): Promise<ProbeState['journal']> {
  for (;;) {
    const { journal } = (await probe.ask('/state')) as ProbeState;
    if (journal.lag === 0) return journal;
    await pause(200);
  }
}

const k6 = await findK6();
const folder = mkdtempSync(join(tmpdir(), 'ufes-k6-'));
const running: Running[] = [];
try {
  const state = join(folder, 'state');
  const given = store === 'embedded' ? {} : { store };
  const probe = await startService('probe', { folder: state, ...given });
  running.push(probe);
  running.push(await startService('controller', { folder: state, ...given }));
  running.push(await startService('mapper', { folder: state, ...given }));
  while (((await probe.ask('/state')) as ProbeState).desired === null) await pause(100);

  const [csv, exported] = [join(folder, 'k6.csv'), join(folder, 'summary.json')];
  const scenario = { COLLECTOR: `http://127.0.0.1:${probe.port}`, SECONDS: seconds, BEACONS: beacons, PLANS: plans };
  const out = ['--out', `csv=${csv}`, '--summary-export', exported];
  const before = load();
  const child = startK6(k6, join(import.meta.dirname, 'scenarios.ts'), scenario, out);
  const [code] = (await once(child, 'close')) as [number];
  const journal = await drained(probe);
  const summary = JSON.parse(readFileSync(exported, 'utf8')) as { metrics: Record<string, unknown> };
  const result = {
    what: `${beacons} beacons (each after a plan of its own) and ${plans} plans a second beside them, open model`,
    seconds,
    store,
    thresholdsHeld: code === 0,
    journalled: journal.seq,
    metrics: summary.metrics,
    k6: k6Version(k6),
    load: { before, after: load() },
    ...facts([]),
  };
  writeFileSync(join(results, 'k6.json'), `${JSON.stringify(result, null, 1)}\n`);
  const title = `${beacons} beacons and ${beacons + plans} plans a second: ms until answered`;
  writeFileSync(join(results, 'k6.svg'), plotSeconds(title, seriesOf(readFileSync(csv, 'utf8'))));
  process.exitCode = code;
} finally {
  for (const one of running.reverse()) await endService(one);
  rmSync(folder, { recursive: true, force: true });
}
