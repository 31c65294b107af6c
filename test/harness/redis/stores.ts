/** Stores over a Redis of the test's own. */
import type { HeartbeatMessage, JoinMessage } from '#domain/child/messages.ts';
import { untilReady } from '#store/connection/client.ts';
import { connectRedis } from '#store/connection/redis.ts';
import { createKeys } from '#store/layout/keys.ts';
import { createStores } from '#store/stores.ts';
import { startRedis } from './redis.ts';

/** `given`: the address of one that runs already, or of a cluster. */
export async function openStores(stack: AsyncDisposableStack, partitions = 2, given?: string) {
  const redis = given === undefined ? await startRedis(stack) : null;
  const address = given ?? redis?.url ?? '';
  const keys = createKeys('uc');
  const connect = async () => {
    const client = connectRedis(address, 'work', () => {});
    stack.defer(() => client.disconnect());
    await untilReady(client);
    return client;
  };
  const client = await connect();
  const stores = createStores(client, keys, partitions);
  const { children } = stores;
  return {
    client,
    connect,
    keys,
    partitions,
    redis,
    ...stores,
    /** True: the child is new. */
    join: async (message: Omit<JoinMessage, 'kind'>): Promise<boolean> =>
      (await children.joinAll(children.partition(message.id), [message]))[0] === 1,
    /** True: there is such a child. */
    heartbeat: async (message: Omit<HeartbeatMessage, 'kind'>): Promise<boolean> =>
      (await children.heartbeatAll(children.partition(message.id), [message]))[0] !== 0,
  };
}
