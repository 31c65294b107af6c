import { loadConfig } from '#runtime/config.ts';
import { runRole } from '#runtime/lifecycle.ts';
import { startAll } from './root.ts';

await runRole(async (stack) => {
  const config = loadConfig('all');
  const { port, token, dataDir } = await startAll(config, stack);
  const url = `http://${config.host}:${port}`;
  const state = dataDir === null ? 'in the Redis of REDIS_URL' : `in ${dataDir}, with a Redis of its own`;
  process.stdout.write(
    `Umbilical Choir release manager\n` +
      `  children   ${url}\n` +
      `  operators  ${url}/api/v1 (token ${token})\n` +
      `  state      ${state}\n`,
  );
});
