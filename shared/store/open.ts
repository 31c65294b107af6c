/** What every role opens first: connections, the schema's check, the clock, the stores. */

import { isTransient } from './connection/errors.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Config, ConfigError } from '#runtime/config.ts';
import type { Logger } from '#runtime/log.ts';
import { isClusterAddress, type RedisAddress } from '#runtime/redis-address.ts';
import { createKeys } from './layout/keys.ts';
import { keepLease } from './layout/lease.ts';
import { openSchema } from './layout/meta.ts';
import { infoOf } from './connection/nodes.ts';
import { connectRedis, type Purpose } from './connection/redis.ts';
import { type Client, untilReady } from './connection/client.ts';
import { followRedisClock } from './connection/redis-clock.ts';
import { createReplicated } from './connection/replicated.ts';
import { createStores } from './stores.ts';

const LOG_EVERY_MS = 5_000;
/** A cluster may be there and not able to serve. */
const RETRY_MS = 100;

/** `purpose`: see connectRedis. Waits for Redis as long as it takes; a wrong setting is an error. */
export async function openBase(
  { config, address, purpose, log }: { config: Config; address: RedisAddress; purpose: 'serve' | 'work'; log: Logger },
  stack: AsyncDisposableStack,
) {
  const keys = createKeys(config.keyPrefix);
  const connect = async (why: Purpose = purpose): Promise<Client> => {
    const client = connectRedis(address, why, quietly(log));
    stack.defer(() => client.disconnect());
    await untilReady(client);
    return client;
  };
  const client = await connect();
  const checked = async (): Promise<number> => {
    await checkServer(client, config.ackReplicas, log);
    return openSchema(client, keys, config.partitions, isClusterAddress(address));
  };
  const partitions = await onceReady(client, checked);
  await onceReady(client, () => keepLease({ client, keys, partitions, log }, stack));
  const clock = await onceReady(client, () => followRedisClock(client, keys.meta, stack));
  const replicated = createReplicated(config.ackReplicas === 0 ? client : await connect(), config.ackReplicas);
  return {
    client,
    connect,
    keys,
    partitions,
    clock,
    replicated,
    ...createStores(client, keys, partitions, replicated),
  };
}

/** Does it as often as Redis goes away in the middle of it. */
async function onceReady<T>(client: Client, work: () => Promise<T>): Promise<T> {
  for (;;)
    try {
      await untilReady(client);
      return await work();
    } catch (error) {
      if (!isTransient(error)) throw error;
      await sleep(RETRY_MS);
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

async function checkServer(client: Client, replicas: number, log: Logger): Promise<void> {
  for (const info of await infoOf(client)) {
    const policy = /maxmemory_policy:(\S+)/.exec(info)?.[1];
    const limit = Number(/maxmemory:(\d+)/.exec(info)?.[1] ?? 0);
    if (policy !== undefined && policy !== 'noeviction' && limit > 0)
      throw new ConfigError(
        `REDIS_URL names a Redis that evicts keys when full (maxmemory-policy ${policy}): set it to noeviction`,
      );
    if (/aof_enabled:0/.test(info))
      log.warn(
        'this Redis keeps no append-only file: what was acknowledged is lost when it stops (set appendonly yes)',
      );
    const connected = Number(/connected_slaves:(\d+)/.exec(info)?.[1] ?? 0);
    if (connected < replicas)
      log.warn({ connected }, `ACK_REPLICAS is ${replicas}: no result is taken before a Redis has as many replicas`);
  }
}
