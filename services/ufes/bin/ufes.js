#!/usr/bin/env node
// Starts the command on a Node that runs TypeScript: this one, or the pinned one beside it when this one is too old.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

const least = 24;
const major = (version) => Number(version.replace('v', '').split('.')[0]);

if (major(process.version) >= least) {
  // A quarter of a start is reading TypeScript otherwise, of each process. Where this cannot be written to, it is.
  const cache = fileURLToPath(new URL('../../../node_modules/.cache/ufes', import.meta.url));
  enableCompileCache(cache);
  process.env.NODE_COMPILE_CACHE ??= cache;
  const { run } = await import('../main.ts');
  process.exitCode = await run(process.argv.slice(2));
} else {
  const pinned = fileURLToPath(new URL('../../../node_modules/.bin/node', import.meta.url));
  if (!existsSync(pinned)) {
    process.stderr.write(
      `ufes needs Node ${least} or newer; this is ${process.version}. Run npm install here, or put a newer Node on PATH.\n`,
    );
    process.exit(1);
  }
  const child = spawn(pinned, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => signal === 'SIGTERM' && child.kill(signal));
  child.on('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
}
