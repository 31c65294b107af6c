/** The whole manager in the test's own process: roles over a Redis of its own, on free ports. */
import { loadConfig } from '#runtime/config.ts';
import { createLog } from '#runtime/log.ts';
import { createMetrics } from '#runtime/metrics.ts';
import { startApi } from '#services/api/root.ts';
import { startWorker } from '#workers/root.ts';
import { startScheduler } from '#workers/scheduler/root.ts';
import { type ChildClient, createChildClient } from './child-client.ts';
import { createOperator, type Operator } from './operator.ts';
import { startRedis, type TestRedis } from '#test/harness/redis/redis.ts';

export const TOKEN = 'test-operator-token';

export type Manager = {
  redis: TestRedis;
  url: string;
  operator: Operator;
  child(id: string): ChildClient;
  startApi(): Promise<string>;
  startWorker(): Promise<AsyncDisposable>;
  startScheduler(): Promise<AsyncDisposable>;
  stopWorkers(): Promise<void>;
};

type Settings = Record<string, string>;

const QUIET: Settings = { PORT: '0', LOG_LEVEL: 'fatal', OPERATOR_TOKEN: TOKEN, PARTITIONS: '4', DRAIN_GRACE: '0s' };

export async function startManager(
  stack: AsyncDisposableStack,
  settings: Settings = {},
  roles: readonly ('worker' | 'scheduler')[] = ['worker', 'scheduler'],
  given?: TestRedis,
): Promise<Manager> {
  const redis = given ?? (await startRedis(stack));
  const env: Settings = { ...QUIET, REDIS_URL: redis.url, ...settings };
  const log = createLog('test', env['LOG_LEVEL'] ?? 'fatal');

  async function role(start: (own: AsyncDisposableStack) => Promise<unknown>): Promise<AsyncDisposable> {
    const own = new AsyncDisposableStack();
    await start(own);
    stack.use(own);
    return own;
  }
  async function api(): Promise<string> {
    const options = { config: loadConfig('api', env), address: redis.url, token: TOKEN, log };
    const { port } = await startApi({ ...options, metrics: createMetrics('api') }, stack);
    return `http://127.0.0.1:${port}`;
  }
  const workers: AsyncDisposable[] = [];
  const worker = async (): Promise<AsyncDisposable> => {
    const options = { config: loadConfig('worker', env), address: redis.url, log };
    const running = await role((own) => startWorker({ ...options, metrics: createMetrics('worker') }, own));
    workers.push(running);
    return running;
  };
  const scheduler = (): Promise<AsyncDisposable> => {
    const options = { config: loadConfig('scheduler', env), address: redis.url, log };
    return role((own) => startScheduler({ ...options, metrics: createMetrics('scheduler') }, own));
  };

  const url = await api();
  if (roles.includes('worker')) await worker();
  if (roles.includes('scheduler')) await scheduler();
  return {
    redis,
    url,
    operator: createOperator(url, TOKEN),
    child: (id) => createChildClient(url, id),
    startApi: api,
    startWorker: worker,
    startScheduler: scheduler,
    async stopWorkers() {
      for (const running of workers.splice(0)) await running[Symbol.asyncDispose]();
    },
  };
}
