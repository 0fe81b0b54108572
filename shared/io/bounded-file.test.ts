import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readBoundedFile } from './bounded-file.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ufes-bounded-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test('a file up to the bound is read whole, also by a link', async () => {
  const path = join(folder, 'a');
  await writeFile(path, 'x'.repeat(100));
  await symlink(path, join(folder, 'b'));
  expect(Buffer.from(await readBoundedFile(join(folder, 'b'), 100)).toString()).toBe('x'.repeat(100));
  await expect(readBoundedFile(path, 99)).rejects.toThrow('100 bytes, at most 99 are read');
  await writeFile(path, '');
  expect(await readBoundedFile(path, 99)).toHaveLength(0);
});

test('files whose size the file system does not know are read up to the bound', async () => {
  const status = '/proc/self/status';
  expect(Buffer.from(await readBoundedFile(status, 1 << 16)).toString()).toMatch(/\nPid:.*\n$/s);
  await expect(readBoundedFile(status, 10)).rejects.toThrow(/more than 10 bytes/);
});

test('a pipe, a device and a folder are refused at once', async () => {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  await expect(readBoundedFile(pipe, 100)).rejects.toThrow('no regular file');
  await symlink('/dev/zero', join(folder, 'zero'));
  await expect(readBoundedFile(join(folder, 'zero'), 100)).rejects.toThrow('no regular file');
  await expect(readBoundedFile(folder, 100)).rejects.toThrow('it is a folder');
});
