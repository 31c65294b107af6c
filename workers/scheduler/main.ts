import { loadConfig } from '#runtime/config.ts';
import { serveHealth } from '#runtime/health.ts';
import { runRole } from '#runtime/lifecycle.ts';
import { createLog } from '#runtime/log.ts';
import { createMetrics } from '#runtime/metrics.ts';
import { startScheduler } from './root.ts';

await runRole(async (stack) => {
  const config = loadConfig('scheduler');
  const log = createLog('scheduler', config.logLevel);
  const metrics = createMetrics('scheduler', stack);
  let ready = (): string | null => 'starting';
  const port = await serveHealth(config, () => ready(), metrics, stack);
  ({ ready } = await startScheduler({ config, address: config.redisUrl ?? '', log, metrics }, stack));
  log.info({ port }, 'the scheduler is at work');
});
