import { loadConfig } from '#runtime/config.ts';
import { runRole } from '#runtime/lifecycle.ts';
import { createLog } from '#runtime/log.ts';
import { createMetrics } from '#runtime/metrics.ts';
import { isOneOfSeveral, runProcesses } from '#runtime/processes.ts';
import { startApi } from './root.ts';

await runRole(async (stack) => {
  const config = loadConfig('api');
  const log = createLog('api', config.logLevel);
  const metrics = createMetrics('api', stack);
  const { port } =
    config.apiProcesses > 1 && !isOneOfSeveral()
      ? await runProcesses({ exec: import.meta.filename, count: config.apiProcesses, port: config.port, log }, stack)
      : await startApi(
          { config, address: config.redisUrl ?? '', token: config.operatorToken ?? '', log, metrics },
          stack,
        );
  log.info({ port }, 'the API serves');
});
