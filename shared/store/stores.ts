/** All stores over one connection, but for the writes that are answered for (see replicated.ts). */
import { createChildStore } from './children/child-store.ts';
import { createDeadLetterStore } from './children/dead-letter-store.ts';
import { createFlagStore } from './children/flag-store.ts';
import { createServedStore } from './children/served-store.ts';
import type { Client } from './connection/client.ts';
import { createReplicated, type Replicated } from './connection/replicated.ts';
import { createAssignmentStore } from './enrolment/assignment-store.ts';
import { createEnrolmentStore } from './enrolment/enrolment-store.ts';
import { createOrderStore } from './enrolment/order-store.ts';
import { createSurveyStore } from './enrolment/survey-store.ts';
import type { Keys } from './layout/keys.ts';
import { createPlanCache } from './releases/plan-cache.ts';
import { createReleaseStore } from './releases/release-store.ts';
import { createRevertStore } from './releases/revert-store.ts';
import { createSnapshotStore } from './releases/snapshot-store.ts';

export type Stores = ReturnType<typeof createStores>;

export function createStores(
  client: Client,
  keys: Keys,
  partitions: number,
  replicated: Replicated = createReplicated(client, 0),
) {
  const children = createChildStore(client, keys, partitions, replicated);
  const releases = createReleaseStore(client, keys, replicated);
  const plans = createPlanCache(releases);
  const orders = createOrderStore({ client, keys, children, plans });
  const reverts = createRevertStore({ client, keys, children, releases, plans });
  return {
    children,
    releases,
    orders,
    served: createServedStore(client, keys),
    deadLetters: createDeadLetterStore(client, keys, partitions),
    flags: createFlagStore(client, keys, children),
    assignment: createAssignmentStore({ client, keys, children, releases, plans, orders, reverts }),
    enrolment: createEnrolmentStore({ client, keys, children, releases, replicated }),
    surveys: createSurveyStore({ client, keys, children }),
    snapshots: createSnapshotStore({ client, keys, children, orders, reverts }),
  };
}
