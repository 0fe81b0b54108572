/** What is particular to the store in a file; what every store must do is in test/conformance. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Log, Store } from '@ufes/core/ports.ts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../clock.ts';
import { silentLog } from '../log.ts';
import { openDatabase } from './database.ts';
import { schemaVersion } from './schema.ts';
import { openStore } from './sqlite.ts';

let folder: string;
let path: string;
const opened: { close(): Promise<void> | void }[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ufes-store-'));
  path = join(folder, 'store.sqlite');
});
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
  rmSync(folder, { recursive: true, force: true });
});

function make(log: Log = silentLog): Store {
  const store = openStore({ path, keysFolder: join(folder, 'keys'), clock: systemClock, log });
  opened.push(store);
  return store;
}

const put = (store: Store, key: string): Promise<void> => store.live.put([{ key, value: 1, ttlMs: 60_000 }]);
const keys = async (store: Store): Promise<string[]> => (await store.live.list('')).map(({ key }) => key);

/** Calls until the store is there again: the calls themselves are the wait. */
async function eventually<T>(call: () => Promise<T>): Promise<{ value: T; refused: unknown[] }> {
  const refused: unknown[] = [];
  for (;;) {
    try {
      return { value: await call(), refused };
    } catch (error) {
      refused.push(error);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

test.each([
  ['the file', ['store.sqlite']],
  ['the file, then what belongs to it', ['store.sqlite', 'store.sqlite-wal', 'store.sqlite-shm', 'store.sqlite.lock']],
  ['what belongs to it first', ['store.sqlite-shm', 'store.sqlite-wal', 'store.sqlite']],
])('removed while two run: %s; both say so, then share a new one', async (_title, names) => {
  const messages: string[] = [];
  const a = make({ ...silentLog, warn: (_fields, message) => messages.push(message) });
  const b = make();
  await put(a, 'old');
  expect(await keys(b)).toEqual(['old']);
  for (const name of names) rmSync(join(folder, name), { force: true });
  await expect(put(a, 'lost')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', retry: true });
  const { refused } = await eventually(() => put(a, 'new'));
  for (const error of refused) expect(error).toMatchObject({ code: 'STORE_UNAVAILABLE' });
  expect((await eventually(() => keys(b))).value).toEqual(['new']);
  await put(b, 'newer');
  expect(await keys(a)).toEqual(['new', 'newer']);
  expect(messages).toEqual([expect.stringContaining('was removed')]);
});

test('the folder removed while it runs, and put back', async () => {
  const inner = join(folder, 'inner');
  mkdirSync(inner);
  path = join(inner, 'store.sqlite');
  const store = make();
  await put(store, 'old');
  rmSync(inner, { recursive: true });
  await expect(put(store, 'lost')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  mkdirSync(inner);
  await eventually(() => put(store, 'new'));
  expect(await keys(store)).toEqual(['new']);
});

test('replaced by a backup while it runs', async () => {
  const store = make();
  await put(store, 'old');
  const backup = join(folder, 'backup');
  new DatabaseSync(path).exec(`VACUUM INTO '${backup}'`);
  await put(store, 'after the backup');
  renameSync(backup, path);
  rmSync(`${path}-wal`, { force: true });
  rmSync(`${path}-shm`, { force: true });
  expect(await keys(store)).toEqual(['old']);
});

test('what is no store, and a store of a newer ufes, are refused with the reason and left as they are', async () => {
  writeFileSync(path, 'this is a text file, not a database; '.repeat(200));
  const before = readFileSync(path);
  await expect(keys(make())).rejects.toMatchObject({
    code: 'STORE_UNAVAILABLE',
    message: expect.stringContaining('store.sqlite is damaged; remove it: it is made anew'),
    cause: expect.objectContaining({ message: expect.stringContaining('not a database') }),
  });
  expect(readFileSync(path).equals(before)).toBe(true);
  rmSync(path);
  const newer = new DatabaseSync(path);
  newer.exec(`PRAGMA user_version = ${schemaVersion + 1}`);
  newer.close();
  await expect(keys(make())).rejects.toMatchObject({
    code: 'STORE_UNAVAILABLE',
    cause: expect.objectContaining({ message: expect.stringContaining('newer ufes') }),
  });
});

test('an empty file, left by a process killed while making it, becomes a store', async () => {
  writeFileSync(path, '');
  const store = make();
  await put(store, 'a');
  expect(await keys(store)).toEqual(['a']);
});

test('a writer that waits does not stop the event loop, and gives up in time', async () => {
  const store = make();
  await put(store, 'a');
  const holder = new DatabaseSync(path);
  holder.exec('BEGIN IMMEDIATE');
  let turns = 0;
  let longestMs = 0;
  let lastMs = performance.now();
  const count = (): void => {
    longestMs = Math.max(longestMs, performance.now() - lastMs);
    lastMs = performance.now();
    turns++;
    pending = setImmediate(count);
  };
  let pending = setImmediate(count);
  const startedMs = performance.now();
  await expect(put(store, 'b')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  const waitedMs = performance.now() - startedMs;
  clearImmediate(pending);
  expect(await keys(store)).toEqual(['a']);
  holder.exec('ROLLBACK');
  holder.close();
  expect(waitedMs).toBeGreaterThan(1_900);
  expect(turns).toBeGreaterThan(100);
  expect(longestMs).toBeLessThan(500);
  await put(store, 'c');
  expect(await keys(store)).toEqual(['a', 'c']);
});

test('what a caller throws rolls its transaction back and passes', async () => {
  const database = openDatabase({ path, log: silentLog });
  opened.push(database);
  const work = database.write((statements) => {
    statements.run("INSERT INTO secret (name, sealed) VALUES ('a', x'00')");
    throw new RangeError('mine');
  });
  await expect(work).rejects.toThrow(new RangeError('mine'));
  expect(await database.read((statements) => statements.all('SELECT * FROM secret'))).toEqual([]);
});

test('secrets are encrypted at rest, and bound to their names and to the key', async () => {
  const store = make();
  const plain = Buffer.from('-----BEGIN PRIVATE KEY----- of www.shop.example');
  await store.secrets.put('certificate/www.shop.example', plain);
  await store.secrets.put('other', Buffer.from('x'));
  for (const name of readdirSync(folder).filter((one) => statSync(join(folder, one)).isFile())) {
    expect(readFileSync(join(folder, name)).includes('PRIVATE KEY'), name).toBe(false);
  }
  expect(statSync(join(folder, 'keys', 'secrets.key')).mode & 0o777).toBe(0o600);
  const direct = new DatabaseSync(path);
  direct.exec("UPDATE secret SET sealed = (SELECT sealed FROM secret WHERE name = 'other') WHERE name <> 'other'");
  direct.close();
  const unreadable = { code: 'SECRET_UNREADABLE', message: expect.stringContaining('certificate/www.shop.example') };
  await expect(store.secrets.get('certificate/www.shop.example')).rejects.toMatchObject(unreadable);
  expect(await store.secrets.get('other')).toEqual(new Uint8Array(Buffer.from('x')));
  rmSync(join(folder, 'keys', 'secrets.key'));
  await expect(store.secrets.get('other')).rejects.toMatchObject({ code: 'SECRET_UNREADABLE' });
  writeFileSync(join(folder, 'keys', 'secrets.key'), 'short');
  await expect(store.secrets.put('more', Buffer.from('x'))).rejects.toMatchObject({ code: 'SECRET_UNREADABLE' });
  await expect(store.secrets.put('big', new Uint8Array(2 << 20))).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' });
});

test('processes that start together on a new folder make one store', async () => {
  const urls = ['./sqlite.ts', '../clock.ts', '../log.ts'].map((one) => new URL(one, import.meta.url).href);
  const program = `
    const [{ openStore }, { systemClock: clock }, { silentLog: log }] =
      await Promise.all(${JSON.stringify(urls)}.map((url) => import(url)));
    const store = openStore({ path: ${JSON.stringify(path)}, keysFolder: ${JSON.stringify(join(folder, 'keys'))}, clock, log });
    process.stdin.once('data', async (name) => {
      for (let i = 0; i < 10; i++) await store.live.put([{ key: name + '/' + i, value: i, ttlMs: 60_000 }]);
      process.exit(0);
    });
    process.stdout.write('ready');
  `;
  const children = ['a', 'b', 'c', 'd'].map((name) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    return { name, child, ended: once(child, 'exit') };
  });
  await Promise.all(children.map(({ child }) => once(child.stdout, 'data')));
  for (const { child, name } of children) child.stdin.write(name);
  expect((await Promise.all(children.map(({ ended }) => ended))).map(([code]) => code)).toEqual([0, 0, 0, 0]);
  expect(await keys(make())).toHaveLength(40);
});
