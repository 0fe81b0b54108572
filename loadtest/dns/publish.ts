/**
 * Publishes a map every second, in turn the world's own and the one with every PoP moved on by one, until SIGTERM; then
 * tells how many. A program: publish.ts CONFIG SEED KEY.
 */
import { publishArtefact } from '@ufes/io/artefact.ts';
import { standardSize } from './stage.ts';
import { encodeWorld, withContext } from './ufes.ts';
import { makeWorld } from './world.ts';

const [configPath, seed, key] = process.argv.slice(2);
const world = makeWorld(seed!, standardSize);
const maps = [encodeWorld(world, key!, { shifted: true }), encodeWorld(world, key!)];
let published = 0;
let wanted = true;
let endPause = () => {};
process.on('SIGTERM', () => {
  wanted = false;
  endPause();
});
await withContext(configPath!, 'mapper', async (context) => {
  process.stdout.write('ready\n');
  for (let dueMs = performance.now(); wanted; dueMs += 1_000) {
    await publishArtefact(context, 'map', maps[published % 2]!);
    published++;
    await new Promise<void>((resolve) => {
      endPause = resolve;
      setTimeout(resolve, Math.max(0, dueMs + 1_000 - performance.now()));
    });
  }
});
process.stdout.write(`${published}\n`);
process.exit(0);
