import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '@ufes/io/log.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StateFile } from './state.ts';

let folder: string;
let errors: string[];
const log = { ...silentLog, error: (_: object, message: string) => void errors.push(message) };
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ufes-state-'));
  await mkdir(join(folder, 'controller'));
  errors = [];
});
afterEach(() => rm(folder, { recursive: true }));

const load = async (text?: string): Promise<StateFile> => {
  if (text !== undefined) await writeFile(join(folder, 'controller/state.json'), text);
  const state = new StateFile(folder);
  await state.load(log);
  return state;
};

const pop = { address: '192.0.2.17', isApplied: true };
const programme = {
  ...{ host: 'app.shop.example', owner: 'shop/web', className: 'ufes', ttlSecondsMin: 5, ttlSecondsMax: 20 },
  candidates: [{ pop: 'lon', address: '192.0.2.17' }],
  paths: [{ path: '/', match: 'prefix', timeoutMs: 1_000 }],
  origins: [{ id: 'shop/web:80', endpoints: [{ address: '192.0.2.201', port: 8080 }] }],
} as const;
const change = {
  phases: { 'app.shop.example': { programme, state: 'live', sinceMs: 1, pops: { lon: pop } } },
  allocations: { held: { 'files|class/ufes|lon': { pop: 'lon', address: '192.0.2.17', sinceMs: 1 } }, quarantine: [] },
} as const;

describe('the state of the controller', () => {
  it('is what it was after a restart, also when two write at once', async () => {
    const state = await load();
    await Promise.all([
      state.update({ phases: change.phases }),
      state.update({ allocations: { ...change.allocations, quarantine: [] } }),
      state.update({ unwanted: { a: 1 } }),
    ]);
    expect((await load()).get()).toMatchObject({ ...change, unwanted: { a: 1 } });
    expect(errors).toEqual([]);
  });

  it.each([
    ['{"format":1,"certificates":{}}', 'certificates'],
    ['{"format":1,"allocations":{"held":{},"quarantine":7}}', 'allocations.quarantine'],
    ['{"format":1,"phases":{"a.example":{"state":"live"}}}', 'phases.a.example.programme'],
    ['{"format":1,"owners":[]}', 'owners'],
    ['{"format":1,"published":null}', 'published'],
    ['null', ''],
    ['[1]', 'format'],
    ['{"format"', 'JSON'],
  ])('of another shape (%s) is set aside, and we go on', async (text, where) => {
    const state = await load(text);
    expect(errors).toEqual([expect.stringMatching(/damaged .*set aside/)]);
    expect(errors[0]).toContain(where);
    expect(state.get().phases).toEqual({});
    expect(await readdir(join(folder, 'controller'))).toEqual(['state.json.damaged']);
    expect(await readFile(join(folder, 'controller/state.json.damaged'), 'utf8')).toBe(text);
  });
});
