/** What every role opens first: connections, the schema's check, the clock, the stores. */
import { type Config, ConfigError } from '#runtime/config.ts';
import type { Logger } from '#runtime/log.ts';
import { createKeys } from './keys.ts';
import { keepLease } from './lease.ts';
import { openSchema } from './meta.ts';
import { type Client, connectRedis, isClusterAddress, isTransient, type RedisAddress, untilReady } from './redis.ts';
import { followRedisClock } from './redis-clock.ts';
import { createStores } from './stores.ts';

const LOG_EVERY_MS = 5_000;

/** `purpose`: see connectRedis. Waits for Redis as long as it takes; a wrong setting is an error. */
export async function openBase(
  config: Config,
  address: RedisAddress,
  purpose: 'serve' | 'work',
  log: Logger,
  stack: AsyncDisposableStack,
) {
  const keys = createKeys(config.keyPrefix);
  const connect = async (why = purpose): Promise<Client> => {
    const client = connectRedis(address, why, quietly(log));
    stack.defer(() => client.disconnect());
    await untilReady(client);
    return client;
  };
  const client = await connect();
  const checked = async (): Promise<number> => {
    await checkServer(client, log);
    return openSchema(client, keys, config.partitions, isClusterAddress(address));
  };
  const partitions = await onceReady(client, checked);
  await onceReady(client, () => keepLease(client, keys, partitions, log, stack));
  const clock = await onceReady(client, () => followRedisClock(client, stack));
  return { client, connect, keys, partitions, clock, ...createStores(client, keys, partitions) };
}

/** Does it as often as Redis goes away in the middle of it. */
async function onceReady<T>(client: Client, work: () => Promise<T>): Promise<T> {
  for (;;)
    try {
      await untilReady(client);
      return await work();
    } catch (error) {
      if (!isTransient(error)) throw error;
    }
}

/** While Redis is away every connection says so many times a second: once in a while is enough. */
function quietly(log: Logger): (error: Error) => void {
  let last = -Infinity;
  return (error) => {
    if (performance.now() - last < LOG_EVERY_MS) return;
    last = performance.now();
    log.warn({ error: error.message || String(error) }, 'Redis is away');
  };
}

async function checkServer(client: Client, log: Logger): Promise<void> {
  const info = await client.info();
  const policy = /maxmemory_policy:(\S+)/.exec(info)?.[1];
  const limit = Number(/maxmemory:(\d+)/.exec(info)?.[1] ?? 0);
  if (policy !== undefined && policy !== 'noeviction' && limit > 0)
    throw new ConfigError(
      `REDIS_URL names a Redis that evicts keys when full (maxmemory-policy ${policy}): set it to noeviction`,
    );
  if (/aof_enabled:0/.test(info))
    log.warn('this Redis keeps no append-only file: what was acknowledged is lost when it stops (set appendonly yes)');
}
