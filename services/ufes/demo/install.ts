/** The demo's configuration in the state folder, kept as the user changed it, else brought up to date. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The path of the configuration. */
export function installDemo(state: string): string {
  const shipped = readFileSync(fileURLToPath(new URL('./ufes.yaml', import.meta.url)), 'utf8');
  const path = join(state, 'ufes.yaml');
  const marker = join(state, 'ufes.yaml.shipped');
  const hash = (text: string) => createHash('sha256').update(text).digest('hex');
  mkdirSync(join(state, 'objects'), { recursive: true });
  const changed =
    existsSync(path) && existsSync(marker) && readFileSync(marker, 'utf8') !== hash(readFileSync(path, 'utf8'));
  if (changed) process.stderr.write(`ufes: running your changed ${path}; delete it to get the shipped one back\n`);
  else {
    writeFileSync(path, shipped);
    writeFileSync(marker, hash(shipped));
  }
  return path;
}
