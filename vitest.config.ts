import { defineConfig } from 'vitest/config';

const exclude = ['**/node_modules/**'];

export default defineConfig({
  test: {
    testTimeout: 30_000,
    // Real sockets and processes with bounds in seconds, on machines that others share: what is broken fails twice.
    retry: 1,
    hookTimeout: 60_000,
    // What comes in a moment on a quiet machine takes its time on a busy one.
    expect: { poll: { timeout: 15_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['{services,shared,geoip,loadtest}/**/*.test.ts', 'test/{conformance,fuzz,docs,sim}/**/*.test.ts'],
          exclude,
        },
      },
      { extends: true, test: { name: 'tidy', include: ['test/tidy/**/*.test.ts'], exclude } },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          exclude,
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
