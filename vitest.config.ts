import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/harness/redis/global-setup.ts'],
    pool: 'forks',
    // Most of a test's time is waiting for other processes.
    maxWorkers: 4,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Logs of the processes under test are kept by the harness and shown when a test fails.
    silent: 'passed-only',
  },
});
