/** All stores over one connection. */
import { createChildStore } from './child-store.ts';
import { createEnrolmentStore } from './enrolment-store.ts';
import type { Keys } from './keys.ts';
import type { Client } from './redis.ts';
import { createReleaseStore } from './release-store.ts';
import { createSnapshotStore } from './snapshot-store.ts';

export type Stores = ReturnType<typeof createStores>;

export function createStores(client: Client, keys: Keys, partitions: number) {
  const children = createChildStore(client, keys, partitions);
  const releases = createReleaseStore(client, keys);
  return {
    children,
    enrolment: createEnrolmentStore(client, keys, children, releases),
    releases,
    snapshots: createSnapshotStore(client, keys, children),
  };
}
