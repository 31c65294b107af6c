/** What a tick reads, and what operators are shown: counts over all partitions. Never O(children). */
import { endedAt } from '#domain/child/record.ts';
import { ReleaseStatus, StageStatus } from '#domain/child/status.ts';
import { foldContributions } from '#domain/counts/contribution.ts';
import { addCounts, type Counts, inRelease, NO_COUNTS } from '#domain/counts/counts.ts';
import type { Order } from '#domain/plan/location-order.ts';
import { ALL } from '#domain/plan/plan.ts';
import { isByCohorts, isByTurns } from '#domain/rollout/membership.ts';
import { isFinished, type Rollout } from '#domain/rollout/rollout.ts';
import { emptyView, type LocationView, type Snapshot } from '#domain/scheduling/snapshot.ts';
import { childrenToRead, nextLocations, orderNow, turnsLeft } from '#domain/scheduling/turns.ts';
import type { ChildStore } from '#store/children/child-store.ts';
import { type Client, unwrap } from '#store/connection/client.ts';
import type { OrderStore } from '#store/enrolment/order-store.ts';
import { AGG } from '#store/layout/agg-fields.ts';
import { parseCounts } from '#store/layout/counts-codec.ts';
import type { Keys } from '#store/layout/keys.ts';
import { createFailedChildren } from './failed-children.ts';
import { createLocationCounts } from './location-counts.ts';
import type { RevertStore } from './revert-store.ts';

type Partition = {
  counts: Counts;
  /** Children enrolled here, once the enrolment of the partition is complete. */
  enrolled: number | null;
  assigned: boolean;
  silent: number;
  /** Children whose turn is still to come, where each is a location, or waves are of children. */
  inOrder: number;
  arrived: boolean;
};

/** A tick's snapshot, and what only operators and jobs want to see. `unassigned`: partitions where more children have come. */
export type Aggregates = Snapshot & {
  silent: number;
  partitionsDone: number;
  waiting: number;
  unassigned: readonly number[];
};

type Deps = {
  client: Client;
  keys: Keys;
  children: Pick<ChildStore, 'partition' | 'partitions' | 'head' | 'record'>;
  orders: Pick<OrderStore, 'locations' | 'read'>;
  reverts: Pick<RevertStore, 'sourceOf' | 'compensations'>;
};

type Reads = Deps & {
  failures: ReturnType<typeof createFailedChildren>;
  counts: ReturnType<typeof createLocationCounts>;
  partitions: readonly number[];
};

export function createSnapshotStore(deps: Deps) {
  const { client, keys, children, orders } = deps;
  const failures = createFailedChildren(client, keys, children);
  const reads: Reads = {
    ...deps,
    failures,
    counts: createLocationCounts(client, keys, children.partitions),
    partitions: Array.from({ length: children.partitions }, (_, p) => p),
  };
  return {
    byRank: failures.byRank,
    failedIn: failures.failedIn,
    aggregates: (rollout: Rollout): Promise<Aggregates> => readAggregates(reads, rollout),

    /** Whether a location's turn is still to come. */
    async isToCome(rollout: Rollout, id: string): Promise<boolean> {
      const { release, plan, started } = rollout;
      if (plan.direct) return id === ALL && started.locations === 0;
      if (isByTurns(plan)) return (await client.zscore(keys.order(children.partition(id), release), id)) !== null;
      // Which children will be in a wave of children is known only when it opens.
      if (isByCohorts(plan)) return false;
      return ((await orders.locations(rollout)).index.get(id) ?? -1) >= started.locations;
    },
  };
}

async function readPartition({ client, keys }: Reads, p: number, { release, plan }: Rollout): Promise<Partition> {
  const pipeline = client.pipeline().hgetall(keys.agg(p, release));
  if (plan.by === 'child') pipeline.zcard(keys.order(p, release));
  if (plan.lateJoiners === 'join') pipeline.exists(keys.arrived(p, release));
  const replies = unwrap(await pipeline.exec());
  const hash = replies.shift() as Record<string, string>;
  return {
    counts: parseCounts(hash),
    enrolled: hash[AGG.enrolled] === undefined ? null : Number(hash[AGG.enrolled]),
    assigned: hash[AGG.assigned] !== undefined,
    silent: Number(hash[AGG.silent] ?? 0),
    inOrder: plan.by === 'child' ? Number(replies.shift()) : 0,
    arrived: plan.lateJoiners === 'join' && replies.shift() === 1,
  };
}

/** A location that is one child: its counts are the child's own. Its enrolment is complete when its turn is no longer to come. */
async function childLocation({ client, keys, children }: Reads, rollout: Rollout, id: string): Promise<LocationView> {
  const [turn, record] = await Promise.all([
    client.zscore(keys.order(children.partition(id), rollout.release), id),
    children.record(rollout.shortId, id),
  ]);
  const view = emptyView(NO_COUNTS);
  if (turn !== null) return view;
  if (record === null) return { ...view, enrolled: 0 };
  const stage = endedAt(record);
  const status = record.stages[stage]?.final ?? StageStatus.Pending;
  const failed = record.status === ReleaseStatus.Failed ? { child: id, stage, status } : null;
  return { ...view, counts: foldContributions([record]), enrolled: 1, failed };
}

/** Of locations that are open or withdrawn. */
async function readLocations(reads: Reads, rollout: Rollout): Promise<Map<string, LocationView>> {
  const { plan, open, withdrawn } = rollout;
  const locations = [...open, ...withdrawn];
  if (locations.length === 0 || plan.direct) return new Map();
  if (isByTurns(plan))
    return new Map(
      await Promise.all(locations.map(async ({ id }) => [id, await childLocation(reads, rollout, id)] as const)),
    );
  const sums = await reads.counts.sum(rollout, locations);
  const hasFailed = locations.filter(({ id }) => {
    const sum = sums.get(id);
    return sum !== undefined && [sum.counts, sum.late].some((each) => inRelease(each, ReleaseStatus.Failed) > 0);
  });
  const failed = await reads.failures.ofLocations(rollout, hasFailed);
  return new Map(
    locations.map(({ id, n }) => {
      const { left = 0, counts = NO_COUNTS, late = NO_COUNTS } = sums.get(id) ?? {};
      return [id, { counts, late, left, enrolled: null, failed: failed.get(n) ?? null }];
    }),
  );
}

/** The children whose turn comes first. */
async function firstInOrder({ client, keys, partitions }: Reads, release: string, count: number): Promise<string[]> {
  if (count === 0) return [];
  const heads = await Promise.all(
    partitions.map((p) => client.zrange(keys.order(p, release), 0, String(count - 1), 'WITHSCORES')),
  );
  const rows = heads.flatMap((head) =>
    head.flatMap((id, i) => (i % 2 === 0 ? [{ id, score: Number(head[i + 1]) }] : [])),
  );
  rows.sort((a, b) => a.score - b.score || (a.id < b.id ? -1 : 1));
  return rows.slice(0, count).map(({ id }) => id);
}

/** Locations that were skipped and are still in order, where each child is one. */
async function skippedInOrder({ client, keys, children }: Reads, rollout: Rollout): Promise<number> {
  if (!isByTurns(rollout.plan)) return 0;
  const skipped = rollout.withdrawn.filter(({ as }) => as === 'skipped');
  const scores = await Promise.all(
    skipped.map(({ id }) => client.zscore(keys.order(children.partition(id), rollout.release), id)),
  );
  return scores.filter((score) => score !== null).length;
}

async function readNext(reads: Reads, rollout: Rollout, order: Order | null, left: number): Promise<Snapshot['next']> {
  const isOrdered = order !== null && order.fault === undefined && !isFinished(rollout.state);
  const children = isOrdered ? await firstInOrder(reads, rollout.release, childrenToRead(rollout)) : [];
  const isByLocation = isOrdered && rollout.plan.by !== 'child';
  const all = isByLocation ? (await reads.orders.locations(rollout)).all : [];
  return nextLocations(rollout, order, left, {
    children,
    locations: (from, count) => all.slice(from, from + count),
  });
}

async function readAggregates(reads: Reads, rollout: Rollout): Promise<Aggregates> {
  const { plan, started, open, withdrawn, release } = rollout;
  // Locations before totals: a failure that one of them shows is then in the totals too, and nothing goes past it.
  const own = await readLocations(reads, rollout);
  const parts = await Promise.all(reads.partitions.map((p) => readPartition(reads, p, rollout)));
  const totals = addCounts(parts.map((part) => part.counts));
  const inOrder = parts.reduce((sum, part) => sum + part.inOrder, 0);
  const [order, failed, compensations, source, skipped] = await Promise.all([
    plan.direct ? null : reads.orders.read(release),
    inRelease(totals, ReleaseStatus.Failed) > 0 ? reads.failures.first(rollout) : null,
    reads.reverts.compensations(rollout),
    reads.reverts.sourceOf(rollout),
    skippedInOrder(reads, rollout),
  ]);
  const left = turnsLeft(rollout, { order, children: inOrder, skipped });
  const allTogether = { ...emptyView(NO_COUNTS), counts: totals, enrolled: sumOfAll(parts), failed };
  const fault = order?.fault;
  return {
    totals,
    locations: plan.direct ? new Map([...open, ...withdrawn].map(({ id }) => [id, allTogether])) : own,
    next: await readNext(reads, rollout, order, left),
    ordered: plan.direct || (order !== null && fault === undefined),
    order: orderNow(plan, order, left, totals.enrolled),
    failed,
    compensations,
    takenBack: source,
    ...(fault === undefined ? {} : { fault }),
    silent: parts.reduce((sum, part) => sum + part.silent, 0),
    partitionsDone: parts.filter((part) => (plan.direct ? part.enrolled !== null : part.assigned)).length,
    waiting: plan.direct ? 0 : started.locations === 0 && order === null ? inOrder : left,
    unassigned: reads.partitions.filter(
      (p) => parts[p]?.arrived === true || (source !== null && source.done > source.members),
    ),
  };
}

/** Children enrolled, once enrolment is complete in every partition. */
function sumOfAll(parts: readonly Partition[]): number | null {
  let sum = 0;
  for (const { enrolled } of parts) {
    if (enrolled === null) return null;
    sum += enrolled;
  }
  return sum;
}
