/**
 * The store of a tree under test: the embedded one, or with UFES_TEST_STORE=redis a redis-server of the tree's own. What tests
 * do to a store (take it away, empty it) is done here to either.
 */
import { existsSync, mkdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { hasRedis, type RedisServer, startRedis } from '@ufes/io/redis/testing-server.ts';

export interface TreeStore {
  /** As `store:` and UFES_STORE say it. */
  readonly store: string;
  /** Takes it away; the result puts it back as it was. */
  remove(): Promise<() => Promise<void>>;
  /** Takes it away for good; the result makes room for an empty one. */
  lose(): Promise<() => Promise<void>>;
  /** Forgets all sketches, and not how far they were folded. */
  loseEvidence(): Promise<void>;
  end(): Promise<void>;
}

export const isOnRedis = process.env['UFES_TEST_STORE'] === 'redis';

export async function treeStore(state: string): Promise<TreeStore> {
  if (!isOnRedis) return embedded(join(state, 'store.sqlite'));
  if (!hasRedis) throw new Error('UFES_TEST_STORE=redis needs redis-server on the PATH (Debian package redis-server)');
  return onRedis(await startRedis(['--appendonly', 'yes']));
}

function embedded(path: string): TreeStore {
  const files = ['', '-wal', '-shm'].map((suffix) => `${path}${suffix}`);
  return {
    store: 'embedded',
    remove: async () => {
      for (const file of files) if (existsSync(file)) renameSync(file, `${file}.aside`);
      return async () => {
        for (const file of files) {
          rmSync(file, { force: true });
          if (existsSync(`${file}.aside`)) renameSync(`${file}.aside`, file);
        }
      };
    },
    // One that is there and cannot be used.
    lose: async () => {
      for (const file of files) rmSync(file, { force: true });
      mkdirSync(path);
      return async () => rmdirSync(path);
    },
    loseEvidence: async () => {
      const database = new DatabaseSync(path, { timeout: 5_000 });
      database.exec('DELETE FROM evidence');
      database.close();
    },
    end: async () => {},
  };
}

function onRedis(server: RedisServer): TreeStore {
  return {
    store: server.url,
    remove: async () => {
      await server.kill();
      return () => server.start();
    },
    lose: async () => {
      await server.kill();
      return async () => {
        rmSync(join(server.folder, 'appendonlydir'), { recursive: true, force: true });
        await server.start();
      };
    },
    loseEvidence: async () => {
      const keys = (await server.cli('--scan', '--pattern', '*}:rows')).split('\n').filter((key) => /shard/.test(key));
      if (keys.length > 0) await server.cli('del', ...keys);
    },
    end: () => server.dispose(),
  };
}
