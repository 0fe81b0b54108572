import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ensureKeyFile, ensureSigningKeys } from './keys.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ufes-keys-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('keys are made once, for their owner alone, and kept', () => {
  const keys = join(folder, 'keys');
  const first = ensureSigningKeys(keys);
  expect(statSync(join(keys, 'signing.key')).mode & 0o777).toBe(0o600);
  expect(statSync(keys).mode & 0o777).toBe(0o700);
  expect(existsSync(join(keys, 'signing.pub'))).toBe(true);
  rmSync(join(keys, 'signing.pub'));
  expect(ensureSigningKeys(keys).publicKey.equals(first.publicKey)).toBe(true);
  expect(readdirSync(keys).sort()).toEqual(['signing.key', 'signing.pub']);
});

test('processes that start together agree on the key', async () => {
  const module = JSON.stringify(new URL('./keys.ts', import.meta.url).href);
  const program = `
    const { ensureSigningKeys } = await import(${module});
    process.stdin.once('data', () => {
      const { publicKey } = ensureSigningKeys(${JSON.stringify(folder)});
      process.stdout.write(publicKey.export({ type: 'spki', format: 'pem' }));
      process.exit();
    });
    process.stdout.write('ready\\n');
  `;
  const children = [1, 2, 3, 4].map(() =>
    spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['pipe', 'pipe', 'inherit'] }),
  );
  const outputs = children.map(() => '');
  const ended = children.map((child, i) => {
    child.stdout.on('data', (chunk) => {
      outputs[i] += String(chunk);
    });
    return once(child, 'close');
  });
  await Promise.all(children.map((child) => once(child.stdout, 'data')));
  for (const child of children) child.stdin.write('go');
  await Promise.all(ended);
  expect(new Set(outputs).size).toBe(1);
  expect(outputs[0]).toContain('PUBLIC KEY');
});

test('a folder that cannot be written is an error, not a key of one process alone', () => {
  writeFileSync(join(folder, 'keys'), 'in the way');
  expect(() => ensureKeyFile(join(folder, 'keys', 'a.key'), () => Uint8Array.of(1))).toThrow(/ENOTDIR|EEXIST/);
});
