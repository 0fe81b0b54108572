import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { writeDurably } from './kept.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ufes-kept-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it('writers of one path at the same time each write whole, and leave nothing aside', async () => {
  const path = join(folder, 'a', 'file');
  const contents = Array.from({ length: 20 }, (_, i) => `${i} `.repeat(1_000 * (20 - i)));
  await Promise.all(contents.map((one) => writeDurably(path, Buffer.from(one))));
  expect(contents).toContain(await readFile(path, 'utf8'));
  expect(await readdir(join(folder, 'a'))).toEqual(['file']);
});

it('what cannot be put in place leaves nothing aside', async () => {
  await writeDurably(join(folder, 'taken', 'file'), Buffer.from('x'));
  await expect(writeDurably(join(folder, 'taken'), Buffer.from('y'))).rejects.toMatchObject({ code: 'EISDIR' });
  expect(await readdir(folder)).toEqual(['taken']);
});
