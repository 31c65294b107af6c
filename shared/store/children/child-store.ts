/** Children: what they are and how far they are in a release. One hash per child holds it all: one read for any request. */
import { partitionOf } from '#domain/ids.ts';
import type { Client } from '#store/connection/client.ts';
import type { Replicated } from '#store/connection/replicated.ts';
import type { Keys } from '#store/layout/keys.ts';
import { createChildList } from './child-list.ts';
import { createChildMessages } from './child-messages.ts';
import { createChildViews } from './child-views.ts';
import { createCompareAndSet } from './compare-and-set.ts';

export type ChildStore = ReturnType<typeof createChildStore>;

export function createChildStore(client: Client, keys: Keys, partitions: number, replicated: Replicated) {
  const partition = (id: string): number => partitionOf(id, partitions);
  return {
    partitions,
    partition,
    ...createChildMessages({ client, keys, replicated, partition }),
    ...createChildViews(client, keys, partition),
    ...createChildList(client, keys, partitions, partition),
    /** Records as they are, to be changed by the manager itself; and the change, which is made only to what was read. */
    ...createCompareAndSet(client, keys, replicated),
  };
}
