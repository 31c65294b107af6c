import { loadConfig } from '#runtime/config.ts';
import { serveHealth } from '#runtime/health.ts';
import { runRole } from '#runtime/lifecycle.ts';
import { createLog } from '#runtime/log.ts';
import { createMetrics } from '#runtime/metrics.ts';
import { startWorker } from './root.ts';

await runRole(async (stack) => {
  const config = loadConfig('worker');
  const log = createLog('worker', config.logLevel);
  const metrics = createMetrics('worker');
  let ready = (): string | null => 'starting';
  const port = await serveHealth(config, () => ready(), metrics, stack);
  ({ ready } = await startWorker(config, config.redisUrl ?? '', log, metrics, stack));
  log.info({ port }, 'the worker is at work');
});
