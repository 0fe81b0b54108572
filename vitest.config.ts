import { defineConfig } from 'vitest/config';

const exclude = ['**/node_modules/**'];
const timed = '**/*.timed.test.ts';
// The end-to-end tests once more, each tree on a Redis of its own: `vitest run --project e2e-redis --project timed-redis`.
const onRedis = { env: { UFES_TEST_STORE: 'redis' } };
const patient = { testTimeout: 120_000, hookTimeout: 120_000 };

export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // What comes in a moment on a quiet machine takes its time on a busy one.
    expect: { poll: { timeout: 15_000 } },
    // Groups run one after the other: what is timed has the machine to itself.
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['{services,shared,geoip,loadtest}/**/*.test.ts', 'test/{conformance,fuzz,docs,sim}/**/*.test.ts'],
          exclude: [...exclude, timed],
          maxWorkers: '100%',
        },
      },
      { extends: true, test: { name: 'tidy', include: ['test/tidy/**/*.test.ts'], exclude, maxWorkers: '100%' } },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          exclude: [...exclude, timed],
          ...patient,
          // A process tree keeps a core busy while it starts, and waits most of the time from then on.
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'timed',
          include: [timed],
          exclude,
          ...patient,
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e-redis',
          include: ['test/e2e/**/*.test.ts'],
          exclude: [...exclude, timed, 'test/e2e/redis.test.ts'],
          ...patient,
          ...onRedis,
          maxWorkers: 2,
          sequence: { groupOrder: 3 },
        },
      },
      {
        extends: true,
        test: {
          name: 'timed-redis',
          include: ['test/e2e/**/*.timed.test.ts'],
          exclude,
          ...patient,
          ...onRedis,
          maxWorkers: 1,
          sequence: { groupOrder: 4 },
        },
      },
    ],
  },
});
