/** All roles in one process: the only root that knows the others. */
import { startApi } from '#services/api/root.ts';
import type { Config } from '#runtime/config.ts';
import { createLog } from '#runtime/log.ts';
import { createMetrics } from '#runtime/metrics.ts';
import { startWorker } from '#workers/intake/root.ts';
import { startScheduler } from '#workers/scheduler/root.ts';
import { openDataDir, operatorToken } from './data-dir.ts';
import { startEmbeddedRedis } from './embedded-redis.ts';

export type Running = { port: number; token: string; redis: string; dataDir: string | null };

/** Without REDIS_URL a Redis of its own is started first and stopped last. */
export async function startAll(config: Config, stack: AsyncDisposableStack): Promise<Running> {
  const log = createLog('all', config.logLevel);
  const metrics = createMetrics('all');
  let address = config.redisUrl ?? '';
  let token = config.operatorToken ?? '';
  let dataDir: string | null = null;
  if (config.redisUrl === undefined) {
    dataDir = openDataDir(config.dataDir, stack);
    token = operatorToken(dataDir, config.operatorToken);
    address = await startEmbeddedRedis(dataDir, config.path, log, stack);
  }
  const { port } = await startApi(config, address, token, log, metrics, stack);
  await startWorker(config, address, log, metrics, stack);
  await startScheduler(config, address, log, metrics, stack);
  return { port, token, redis: address, dataDir };
}
