/**
 * Writes that replicas have before they count (ACK_REPLICAS): what was acknowledged then survives the loss of its master.
 *
 * WAIT speaks of what its own connection wrote. So the write and its WAIT go to one server over one connection, never
 * through the routing of a cluster client, and a connection that was lost in between proves nothing: a WAIT on its
 * successor would answer at once, about nothing.
 */
import { isTransient, NotReplicated } from './errors.ts';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Cluster, type Redis } from 'ioredis';
import { masterOf } from './nodes.ts';
import type { Client } from './client.ts';

/** Replicas answer within a round trip; one that is so far behind is as good as away. */
const WAIT_MS = 1_000;

/**
 * Runs a write of keys that live together with `key`, on the connection that it's given. Fails with a transient error when
 * the replicas don't have it; it may be there all the same.
 */
export type Replicated = <T>(key: string, write: (on: Client) => Promise<T>) => Promise<T>;

/** While a WAIT is pending its connection does nothing else: give it one that nobody reads from. */
export function createReplicated(client: Client, wanted: number): Replicated {
  if (wanted === 0) return (_, write) => write(client);
  const waits = new WeakMap<Redis, Promise<number>>();

  /** Replicas that have all that was written on this connection. Writes that ask in the same turn share one WAIT. */
  function replicasOf(node: Redis): Promise<number> {
    const joined = waits.get(node);
    if (joined !== undefined) return joined;
    const wait = nextTurn().then(() => {
      waits.delete(node);
      return node.wait(wanted, WAIT_MS);
    });
    waits.set(node, wait);
    return wait;
  }

  return async (key, write) => {
    const node = await masterOf(client, key);
    const { stream } = node;
    let value;
    try {
      value = await write(node);
    } catch (error) {
      if (client instanceof Cluster && isTransient(error)) client.refreshSlotsCache();
      throw error;
    }
    const count = await replicasOf(node).catch((error: Error) => {
      throw new NotReplicated(`replicas can't be asked: ${error.message}`, { cause: error });
    });
    if (node.stream !== stream) throw new NotReplicated('the connection was lost before the replicas had it');
    if (count < wanted) throw new NotReplicated(`${count} of ${wanted} replicas (ACK_REPLICAS) have it`);
    return value;
  };
}
