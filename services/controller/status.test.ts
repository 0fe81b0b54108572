import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '@ufes/io/clock.ts';
import { silentLog } from '@ufes/io/log.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createStatusFiles, type StatusFiles } from './status.ts';

let folder: string;
let errors: string[];
const open = (at = folder): StatusFiles =>
  createStatusFiles(at, new ManualClock(), { ...silentLog, error: (_, message) => void errors.push(message) });
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ufes-status-'));
  errors = [];
});
afterEach(() => rm(folder, { recursive: true }));

const verdict = (key: string) => ({ key, objections: [], hosts: [] });

describe('status files', () => {
  it('have a name for every Ingress, however long its own', async () => {
    const long = `a/${'n'.repeat(253)}`;
    const other = `a/${'n'.repeat(252)}m`;
    const files = open();
    await files.write([verdict(long), verdict(other), verdict('a/b-c'), verdict('a-b/c')], new Map());
    const names = await readdir(folder);
    expect(names).toHaveLength(4);
    expect(names).toEqual(expect.arrayContaining(['a-b-c.json', 'a_b-c.json']));
    expect(files.current().map(({ metadata }) => metadata.name)).toHaveLength(4);
    const again = open();
    await again.load();
    await again.write([verdict(long)], new Map());
    expect(await readdir(folder)).toEqual([expect.stringMatching(/^a-n+_[0-9a-f]{32}\.json$/)]);
    expect(errors).toEqual([]);
  });

  it('that cannot be written are told once, and hold up no others', async () => {
    await mkdir(join(folder, 'a-bad.json'));
    const files = open();
    for (let i = 0; i < 2; i++) await files.write([verdict('a/bad'), verdict('b/good')], new Map());
    expect(await readdir(folder)).toContain('b-good.json');
    expect(errors).toEqual([expect.stringMatching(/^status file: /)]);
  });

  it('are removed by the one who wrote them, after a restart too', async () => {
    await open().write([verdict('a/one')], new Map());
    await writeFile(join(folder, 'mine.json'), '{"controller":"other","status":{"conditions":[null]}}');
    const files = open();
    await files.load();
    await files.clear();
    await files.write([verdict('a/one')], new Map());
    expect(await readdir(folder)).toEqual(['mine.json']);
  });
});
