/** All roles at once: the only root that knows the others. In one process, or with processes of their own for some. */
import { fileURLToPath } from 'node:url';
import { startApi } from '#services/api/root.ts';
import type { Config } from '#runtime/config.ts';
import { createLog } from '#runtime/log.ts';
import { createMetrics } from '#runtime/metrics.ts';
import { runProcesses } from '#runtime/processes.ts';
import { startWorker } from '#workers/root.ts';
import { startScheduler } from '#workers/scheduler/root.ts';
import { openDataDir, operatorToken } from './data-dir.ts';
import { startEmbeddedRedis } from './embedded-redis.ts';

export type Running = { port: number; token: string; redis: string; dataDir: string | null };

const API = fileURLToPath(new URL('../api/main.ts', import.meta.url));
const WORKER = fileURLToPath(new URL('../../workers/main.ts', import.meta.url));

/** Without REDIS_URL a Redis of its own is started first and stopped last. */
export async function startAll(config: Config, stack: AsyncDisposableStack): Promise<Running> {
  const log = createLog('all', config.logLevel);
  const metrics = createMetrics('all', stack);
  let address = config.redisUrl ?? '';
  let token = config.operatorToken ?? '';
  let dataDir: string | null = null;
  if (config.redisUrl === undefined) {
    dataDir = openDataDir(config.dataDir, stack);
    token = operatorToken(dataDir, config.operatorToken);
    address = await startEmbeddedRedis(dataDir, config.path, log, stack);
  }
  const env = { REDIS_URL: address.startsWith('/') ? `unix://${address}` : address, OPERATOR_TOKEN: token };
  const { apiProcesses, workerProcesses } = config;
  const role = { config, address, log, metrics };
  const { port } =
    apiProcesses > 1
      ? await runProcesses({ exec: API, count: apiProcesses, port: config.port, env, log }, stack)
      : await startApi({ ...role, token }, stack);
  // Their health is asked for by nobody but the API's own port: any free one will do.
  if (workerProcesses > 1) await runProcesses({ exec: WORKER, count: workerProcesses, port: 0, env, log }, stack);
  else await startWorker(role, stack);
  await startScheduler(role, stack);
  return { port, token, redis: address, dataDir };
}
