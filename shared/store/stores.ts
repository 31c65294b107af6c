/** All stores over one connection, but for the writes that somebody is told of (see replicated.ts). */
import { createAssignmentStore } from './assignment-store.ts';
import { createChildStore } from './child-store.ts';
import { createEnrolmentStore } from './enrolment-store.ts';
import type { Keys } from './keys.ts';
import { createMarksStore } from './marks-store.ts';
import { createOrderStore } from './order-store.ts';
import { createPlans } from './plans.ts';
import type { Client } from './redis.ts';
import { createReleaseStore } from './release-store.ts';
import { createReplicated, type Replicated } from './replicated.ts';
import { createServedStore } from './served.ts';
import { createSnapshotStore } from './snapshot-store.ts';
import { createSourceStore } from './source-store.ts';
import { createSurveyStore } from './survey-store.ts';

export type Stores = ReturnType<typeof createStores>;

export function createStores(
  client: Client,
  keys: Keys,
  partitions: number,
  replicated: Replicated = createReplicated(client, 0),
) {
  const children = createChildStore(client, keys, partitions, replicated);
  const releases = createReleaseStore(client, keys, replicated);
  const plans = createPlans(releases);
  const orders = createOrderStore(client, keys, children, plans);
  const sources = createSourceStore({ client, keys, children, releases, plans });
  return {
    children,
    releases,
    orders,
    served: createServedStore(client, keys),
    marks: createMarksStore(client, keys, children),
    assignment: createAssignmentStore({ client, keys, children, releases, plans, orders, sources }),
    enrolment: createEnrolmentStore(client, keys, children, releases, replicated),
    surveys: createSurveyStore(client, keys, children),
    snapshots: createSnapshotStore(client, keys, children, orders, sources),
  };
}
