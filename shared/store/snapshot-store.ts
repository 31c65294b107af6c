/** What a tick reads, and what operators are shown: aggregates over all partitions. Never O(children). */
import { addCounts, type Counts } from '#domain/counts.ts';
import type { Snapshot } from '#domain/decide.ts';
import { endedAt, foldContributions, rankRange, stageRank } from '#domain/record.ts';
import type { Rollout } from '#domain/rollout.ts';
import { ReleaseStatus, StageStatus } from '#domain/status.ts';
import type { Keys } from './keys.ts';
import type { ChildStore } from './child-store.ts';
import type { Client } from './redis.ts';

/** Records looked at, at most, to name children. */
const LOOKED_AT = 2_000;

type PartitionCounts = {
  counts: Counts;
  /** Children enrolled here, once the walk over the partition is done. */
  mark: number | null;
  ordered: boolean;
  silent: number;
};

/** A tick's snapshot, and what only operators want to see. */
export type Aggregates = Snapshot & { silent: number; partitionsDone: number; waiting: number };

export type SnapshotStore = ReturnType<typeof createSnapshotStore>;

export function createSnapshotStore(
  client: Client,
  keys: Keys,
  children: Pick<ChildStore, 'partition' | 'partitions' | 'head' | 'record'>,
) {
  const { partitions } = children;
  const all = Array.from({ length: partitions }, (_, p) => p);

  async function partitionCounts(p: number, release: string): Promise<PartitionCounts> {
    const hash = await client.hgetall(keys.agg(p, release));
    const counts = new Map<string, number>();
    for (const [field, value] of Object.entries(hash)) if (!field.startsWith('@')) counts.set(field, Number(value));
    return {
      counts,
      mark: hash['@mark'] === undefined ? null : Number(hash['@mark']),
      ordered: hash['@ordered'] !== undefined,
      silent: Number(hash['@silent'] ?? 0),
    };
  }

  /** A location that is one child: its counts are the child's own, its mark that its turn is no longer to come. */
  async function childLocation(
    { release, tag }: Rollout,
    id: string,
  ): Promise<{ counts: Counts; enrolled: number | null }> {
    const [turn, record] = await Promise.all([
      client.zscore(keys.order(children.partition(id), release), id),
      children.record(tag, id),
    ]);
    if (turn !== null) return { counts: new Map(), enrolled: null };
    return record === null ? { counts: new Map(), enrolled: 0 } : { counts: foldContributions([record]), enrolled: 1 };
  }

  /** The children whose turn comes first, in order of joining. */
  async function firstInOrder(release: string, count: number): Promise<string[]> {
    const heads = await Promise.all(
      all.map((p) => client.zrange(keys.order(p, release), 0, String(count - 1), 'WITHSCORES')),
    );
    const rows = heads.flatMap((head) =>
      head.flatMap((id, i) => (i % 2 === 0 ? [{ id, joined: Number(head[i + 1]) }] : [])),
    );
    rows.sort((a, b) => a.joined - b.joined || (a.id < b.id ? -1 : 1));
    return rows.slice(0, count).map(({ id }) => id);
  }

  /** The first children, by how far they are, with a rank in the range. O(log n). */
  async function byRank(release: string, from: number, to: number, limit: number): Promise<string[]> {
    const found: string[] = [];
    for (const p of all) {
      if (found.length >= limit) break;
      found.push(
        ...(await client.zrange(keys.index(p, release), from, String(to), 'BYSCORE', 'LIMIT', 0, limit - found.length)),
      );
    }
    return found;
  }

  async function firstFailed({ release, tag }: Rollout): Promise<Snapshot['failed']> {
    const [from, to] = rankRange(ReleaseStatus.Failed);
    const [child] = await byRank(release, from, to, 1);
    if (child === undefined) return null;
    const record = await children.record(tag, child);
    const stage = record === null ? -1 : endedAt(record);
    return { child, stage, status: record?.stages[stage]?.final ?? 0 };
  }

  /** Children who failed a stage and went on with another, from a bounded look at those who are past it. */
  async function failedIn({ release, tag }: Rollout, stage: number, limit: number): Promise<string[]> {
    const past = await byRank(release, stageRank(stage, 0), rankRange(ReleaseStatus.Doing)[1], LOOKED_AT);
    const heads = await Promise.all(past.map((id) => children.head(tag, id)));
    return past.filter((_, i) => Number(heads[i]?.statuses[stage]) >= StageStatus.Failure).slice(0, limit);
  }

  return {
    byRank,
    failedIn,

    async aggregates(rollout: Rollout): Promise<Aggregates> {
      const { release, plan, open } = rollout;
      const perChild = plan.locations === 'child';
      // Children before totals: a failure that one of them shows is then in the totals too, and nothing goes past it.
      const own = new Map(
        perChild ? await Promise.all(open.map(async ({ id }) => [id, await childLocation(rollout, id)] as const)) : [],
      );
      const parts = await Promise.all(all.map((p) => partitionCounts(p, release)));
      const totals = addCounts(parts.map((part) => part.counts));
      const marks = parts.map((part) => part.mark);
      const enrolled = marks.includes(null) ? null : marks.reduce((sum: number, mark) => sum + (mark ?? 0), 0);
      const [next, failed, waiting] = await Promise.all([
        perChild ? firstInOrder(release, plan.wave + open.length) : [],
        totals.has(`r${ReleaseStatus.Failed}`) ? firstFailed(rollout) : null,
        perChild ? Promise.all(all.map((p) => client.zcard(keys.order(p, release)))) : [],
      ]);
      const isOpen = new Set(open.map(({ id }) => id));
      const once = open.length === 0 && rollout.closed.locations === 0 ? [plan.locations] : [];
      return {
        totals,
        locations: perChild ? own : new Map(open.map(({ id }) => [id, { counts: totals, enrolled }])),
        next: perChild ? next.filter((id) => !isOpen.has(id)) : once,
        ordered: !perChild || parts.every((part) => part.ordered),
        failed,
        silent: parts.reduce((sum, part) => sum + part.silent, 0),
        partitionsDone: parts.filter((part) => (perChild ? part.ordered : part.mark !== null)).length,
        waiting: waiting.reduce((sum, n) => sum + n, 0),
      };
    },
  };
}
