/** What a tick reads, and what operators are shown: aggregates over all partitions. Never O(children). */
import { addCounts, type Counts, enrolled, inRelease } from '#domain/counts.ts';
import type { LocationView, Snapshot } from '#domain/decide.ts';
import { endedAt, foldContributions } from '#domain/record.ts';
import { ALL, waveSize } from '#domain/plan.ts';
import { isByCohorts, isByTurns } from '#domain/membership.ts';
import { isFinished, type Rollout } from '#domain/rollout.ts';
import { ReleaseStatus } from '#domain/status.ts';
import type { ChildStore } from './child-store.ts';
import { countsOf, sumPlaces } from './count-reads.ts';
import { createFailedChildren } from './failed-children.ts';
import type { Keys } from './keys.ts';
import type { Order, OrderStore } from './order-store.ts';
import { type Client, unwrap } from './redis.ts';
import type { SourceStore } from './source-store.ts';

type Partition = {
  counts: Counts;
  /** Children enrolled here, once the walk over the partition is done. */
  mark: number | null;
  ordered: boolean;
  silent: number;
  /** Children whose turn is still to come, where each is a location, or waves are of children. */
  inOrder: number;
  arrived: boolean;
};

/** A tick's snapshot, and what only operators and walks want to see. `unassigned`: partitions where more children have come. */
export type Aggregates = Snapshot & {
  silent: number;
  partitionsDone: number;
  waiting: number;
  unassigned: readonly number[];
};

export function createSnapshotStore(
  client: Client,
  keys: Keys,
  children: Pick<ChildStore, 'partition' | 'partitions' | 'head' | 'record'>,
  orders: Pick<OrderStore, 'places' | 'read'>,
  sources: Pick<SourceStore, 'sourceOf' | 'compensations'>,
) {
  const { partitions } = children;
  const all = Array.from({ length: partitions }, (_, p) => p);
  const failures = createFailedChildren(client, keys, children);

  async function readPartition(p: number, { release, plan }: Rollout): Promise<Partition> {
    const pipeline = client.pipeline().hgetall(keys.agg(p, release));
    if (plan.by === 'child') pipeline.zcard(keys.order(p, release));
    if (plan.lateJoiners === 'join') pipeline.exists(keys.arrived(p, release));
    const replies = unwrap(await pipeline.exec());
    const hash = replies.shift() as Record<string, string>;
    return {
      counts: countsOf(hash),
      mark: hash['@mark'] === undefined ? null : Number(hash['@mark']),
      ordered: hash['@ordered'] !== undefined,
      silent: Number(hash['@silent'] ?? 0),
      inOrder: plan.by === 'child' ? Number(replies.shift()) : 0,
      arrived: plan.lateJoiners === 'join' && replies.shift() === 1,
    };
  }

  /** A location that is one child: its counts are the child's own, its mark that its turn is no longer to come. */
  async function childLocation({ release, tag }: Rollout, id: string): Promise<LocationView> {
    const [turn, record] = await Promise.all([
      client.zscore(keys.order(children.partition(id), release), id),
      children.record(tag, id),
    ]);
    const view: LocationView = { counts: new Map(), late: new Map(), left: null, enrolled: null, failed: null };
    if (turn !== null) return view;
    if (record === null) return { ...view, enrolled: 0 };
    const stage = endedAt(record);
    const failed =
      record.status === ReleaseStatus.Failed ? { child: id, stage, status: record.stages[stage]?.final ?? 0 } : null;
    return { ...view, counts: foldContributions([record]), enrolled: 1, failed };
  }

  /** Of locations that are open or set aside. */
  async function locationsOf(rollout: Rollout): Promise<Map<string, LocationView>> {
    const { release, plan, open, aside } = rollout;
    const places = [...open, ...aside];
    if (places.length === 0 || plan.direct) return new Map();
    if (isByTurns(plan))
      return new Map(await Promise.all(places.map(async ({ id }) => [id, await childLocation(rollout, id)] as const)));
    const sums = await sumPlaces(client, keys, partitions, release, places, isByCohorts(plan) ? 'all' : 'place');
    const hasFailed = places.filter(({ id }) => {
      const sum = sums.get(id);
      return sum !== undefined && [sum.counts, sum.late].some((each) => inRelease(each, ReleaseStatus.Failed) > 0);
    });
    const failed = await failures.ofPlaces(rollout, hasFailed);
    return new Map(
      places.map(({ id, n }) => {
        const { left = 0, counts = new Map(), late = new Map() } = sums.get(id) ?? {};
        return [id, { counts, late, left, enrolled: null, failed: failed.get(n) ?? null }];
      }),
    );
  }

  /** The children whose turn comes first. */
  async function firstInOrder(release: string, count: number): Promise<string[]> {
    const heads = await Promise.all(
      all.map((p) => client.zrange(keys.order(p, release), 0, String(count - 1), 'WITHSCORES')),
    );
    const rows = heads.flatMap((head) =>
      head.flatMap((id, i) => (i % 2 === 0 ? [{ id, place: Number(head[i + 1]) }] : [])),
    );
    rows.sort((a, b) => a.place - b.place || (a.id < b.id ? -1 : 1));
    return rows.slice(0, count).map(({ id }) => id);
  }

  /** Those whose turn comes next: as many as a wave takes. */
  async function nextOf(rollout: Rollout, order: Order | null, left: number): Promise<Snapshot['next']> {
    const { release, plan, open, aside, started } = rollout;
    if (plan.direct) return started.locations === 0 ? [{ id: ALL, members: null }] : [];
    if (order === null || isFinished(rollout.state)) return [];
    if (isByCohorts(plan)) return left > 0 ? [{ id: 'wave', members: left }] : [];
    if (isByTurns(plan)) {
      // Those who were passed over are still in order.
      const known = new Set([...open, ...aside].map(({ id }) => id));
      const first = await firstInOrder(release, 1 + known.size);
      return first.filter((id) => !known.has(id)).map((id) => ({ id, members: null }));
    }
    // A whole wave, as the one that is open may be through in the same tick.
    const size = waveSize(plan.waves, started, order.locations);
    return (await orders.places(rollout)).all.slice(started.locations, started.locations + size);
  }

  async function leftOf({ release, plan, aside, started }: Rollout, order: Order | null, inOrder: number) {
    if (plan.by !== 'child') return Math.max((order?.locations ?? 0) - started.locations, 0);
    if (!isByTurns(plan)) return inOrder;
    const over = await Promise.all(
      aside
        .filter(({ as }) => as === 'skipped')
        .map(({ id }) => client.zscore(keys.order(children.partition(id), release), id)),
    );
    return inOrder - over.filter((score) => score !== null).length;
  }

  async function aggregates(rollout: Rollout): Promise<Aggregates> {
    const { release, plan, started } = rollout;
    // Locations before totals: a failure that one of them shows is then in the totals too, and nothing goes past it.
    const own = await locationsOf(rollout);
    const parts = await Promise.all(all.map((p) => readPartition(p, rollout)));
    const totals = addCounts(parts.map((part) => part.counts));
    const marks = parts.map((part) => part.mark);
    const walked = marks.includes(null) ? null : marks.reduce((sum: number, mark) => sum + (mark ?? 0), 0);
    const inOrder = parts.reduce((sum, part) => sum + part.inOrder, 0);
    const [order, failed, compensations, source] = await Promise.all([
      plan.direct ? null : orders.read(release),
      totals.has(`r${ReleaseStatus.Failed}`) ? failures.first(rollout) : null,
      sources.compensations(rollout),
      sources.sourceOf(rollout),
    ]);
    const fault = order?.fault;
    const left = await leftOf(rollout, order, inOrder);
    const next = await nextOf(rollout, fault === undefined ? order : null, left);
    const everybody: LocationView = { counts: totals, late: new Map(), left: null, enrolled: walked, failed };
    return {
      totals,
      locations: plan.direct ? new Map([...rollout.open, ...rollout.aside].map(({ id }) => [id, everybody])) : own,
      next,
      ordered: plan.direct || (order !== null && fault === undefined),
      order: order === null ? null : knownOrder(rollout, order, totals, left),
      failed,
      compensations,
      source,
      ...(fault === undefined ? {} : { fault }),
      silent: parts.reduce((sum, part) => sum + part.silent, 0),
      partitionsDone: parts.filter((part) => (plan.direct ? part.mark !== null : part.ordered)).length,
      waiting: plan.direct ? 0 : started.locations === 0 && order === null ? inOrder : left,
      unassigned: all.filter((p) => parts[p]?.arrived === true || (source !== null && source.done > source.members)),
    };
  }

  return {
    byRank: failures.byRank,
    failedIn: failures.failedIn,
    aggregates,

    /** Whether a location's turn is still to come. */
    async isToCome(rollout: Rollout, id: string): Promise<boolean> {
      const { release, plan, started } = rollout;
      if (plan.direct) return id === ALL && started.locations === 0;
      if (isByTurns(plan)) return (await client.zscore(keys.order(children.partition(id), release), id)) !== null;
      // Who will be in a wave of children is known only when it opens.
      if (isByCohorts(plan)) return false;
      return ((await orders.places(rollout)).index.get(id) ?? -1) >= started.locations;
    },
  };
}

/** Late joiners make the order of children longer; that of locations never changes. */
function knownOrder({ plan }: Rollout, { locations, children, outside }: Order, totals: Counts, left: number) {
  const now = isByCohorts(plan) ? enrolled(totals) + left : 0;
  return { locations: Math.max(locations, now), children, outside, left };
}
