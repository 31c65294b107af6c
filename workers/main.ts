import { loadConfig } from '#runtime/config.ts';
import { serveHealth } from '#runtime/health.ts';
import { runRole } from '#runtime/lifecycle.ts';
import { createLog } from '#runtime/log.ts';
import { createMetrics } from '#runtime/metrics.ts';
import { isOneOfSeveral, runProcesses } from '#runtime/processes.ts';
import { startWorker } from './root.ts';

await runRole(async (stack) => {
  const config = loadConfig('worker');
  const log = createLog('worker', config.logLevel);
  const metrics = createMetrics('worker', stack);
  if (config.workerProcesses > 1 && !isOneOfSeveral()) {
    const { port } = await runProcesses(
      { exec: import.meta.filename, count: config.workerProcesses, port: config.port, log },
      stack,
    );
    log.info({ port, processes: config.workerProcesses }, 'the workers are at work');
    return;
  }
  let ready = (): string | null => 'starting';
  const port = await serveHealth(config, () => ready(), metrics, stack);
  ({ ready } = await startWorker({ config, address: config.redisUrl ?? '', log, metrics }, stack));
  log.info({ port }, 'the worker is at work');
});
