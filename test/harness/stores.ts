/** Stores over a Redis of the test's own. */
import { createKeys } from '#store/keys.ts';
import { connectRedis, untilReady } from '#store/redis.ts';
import { createStores } from '#store/stores.ts';
import { startRedis } from './redis.ts';

export async function openStores(stack: AsyncDisposableStack, partitions = 2) {
  const redis = await startRedis(stack);
  const keys = createKeys('uc');
  const connect = async () => {
    const client = connectRedis(redis.url, 'work', () => {});
    stack.defer(() => client.disconnect());
    await untilReady(client);
    return client;
  };
  const client = await connect();
  return { client, connect, keys, partitions, redis, ...createStores(client, keys, partitions) };
}
