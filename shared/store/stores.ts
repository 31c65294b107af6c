/** All stores over one connection, but for the writes that somebody is told of (see replicated.ts). */
import { createChildStore } from './child-store.ts';
import { createEnrolmentStore } from './enrolment-store.ts';
import type { Keys } from './keys.ts';
import { createMarksStore } from './marks-store.ts';
import type { Client } from './redis.ts';
import { createReleaseStore } from './release-store.ts';
import { createReplicated, type Replicated } from './replicated.ts';
import { createServedStore } from './served.ts';
import { createSnapshotStore } from './snapshot-store.ts';

export type Stores = ReturnType<typeof createStores>;

export function createStores(
  client: Client,
  keys: Keys,
  partitions: number,
  replicated: Replicated = createReplicated(client, 0),
) {
  const children = createChildStore(client, keys, partitions, replicated);
  const releases = createReleaseStore(client, keys, replicated);
  return {
    children,
    enrolment: createEnrolmentStore(client, keys, children, releases, replicated),
    marks: createMarksStore(client, keys, children),
    releases,
    served: createServedStore(client, keys),
    snapshots: createSnapshotStore(client, keys, children),
  };
}
