/** Children by how far they are, and which of them have failed: for reasons, and for why a release waits. Bounded scans. */
import { rankRange, stageRank } from '#domain/child/progress.ts';
import { endedAt } from '#domain/child/record.ts';
import { ReleaseStatus, StageStatus } from '#domain/child/status.ts';
import type { LocationRef, Rollout } from '#domain/rollout/rollout.ts';
import type { FailedChild } from '#domain/scheduling/snapshot.ts';
import type { ChildStore } from '#store/children/child-store.ts';
import type { RecordHead } from '#store/children/record-codec.ts';
import type { Client } from '#store/connection/client.ts';
import type { Keys } from '#store/layout/keys.ts';

/** Records scanned, at most, to name children. */
const SCANNED = 2_000;
/** Between two scans of a release's failed children for those of its locations: ticks may come a hundred times a second. */
const SCAN_EVERY_MS = 1_000;
/** Releases whose failed children are kept. */
const KEPT = 8;

type Ref = Pick<Rollout, 'release' | 'shortId'>;
type Ranks = readonly [from: number, to: number];
/** `within`: only children of that location, from a bounded scan. */
type Search = { limit: number; within?: Pick<LocationRef, 'n'> | null };

/** `named`: a failed child by the number of its location; `missed`: locations of which none was found. */
type Scan = { at: number; named: Map<number, string>; missed: Set<number> };

type Children = Pick<ChildStore, 'partitions' | 'head' | 'record'>;

export function createFailedChildren(client: Client, keys: Keys, children: Children) {
  const search = createRankSearch(client, keys, children);
  const scans = new Map<string, Scan>();

  async function failedChild(shortId: string, child: string): Promise<FailedChild | null> {
    const record = await children.record(shortId, child);
    if (record === null || record.status !== ReleaseStatus.Failed) return null;
    const stage = endedAt(record);
    return { child, stage, status: record.stages[stage]?.final ?? StageStatus.Pending };
  }

  async function scan({ release, shortId }: Ref): Promise<Scan> {
    const ids = await search.first(release, rankRange(ReleaseStatus.Failed), SCANNED);
    const heads = await Promise.all(ids.map((id) => children.head(shortId, id)));
    const named = new Map<number, string>();
    for (const [i, id] of ids.entries()) {
      const n = heads[i]?.membership.n;
      if (n !== undefined && !named.has(n)) named.set(n, id);
    }
    const found = { at: performance.now(), named, missed: new Set<number>() };
    scans.delete(release);
    scans.set(release, found);
    const [oldest] = scans.keys();
    if (scans.size > KEPT && oldest !== undefined) scans.delete(oldest);
    return found;
  }

  return {
    byRank: search.byRank,
    failedIn: search.failedIn,

    async first({ release, shortId }: Ref): Promise<FailedChild | null> {
      const [child] = await search.first(release, rankRange(ReleaseStatus.Failed), 1);
      return child === undefined ? null : failedChild(shortId, child);
    },

    /** One of each location, by its number, if a bounded scan finds it. */
    async ofLocations(rollout: Rollout, locations: readonly LocationRef[]): Promise<Map<number, FailedChild>> {
      const found = new Map<number, FailedChild>();
      if (locations.length === 0) return found;
      const last = scans.get(rollout.release);
      const isOld = last === undefined || performance.now() - last.at > SCAN_EVERY_MS;
      const isNew = locations.some(({ n }) => last?.named.has(n) !== true && (isOld || !last.missed.has(n)));
      const { named, missed } = last === undefined || isNew ? await scan(rollout) : last;
      await Promise.all(
        locations.map(async ({ n }) => {
          const id = named.get(n);
          const failed = id === undefined ? null : await failedChild(rollout.shortId, id);
          if (failed !== null) return void found.set(n, failed);
          // It may be tried again by now.
          named.delete(n);
          missed.add(n);
        }),
      );
      return found;
    },
  };
}

/** Children with a rank in a range. */
function createRankSearch(client: Client, keys: Keys, children: Children) {
  /** The first ids. O(log n). */
  async function first(release: string, [from, to]: Ranks, limit: number): Promise<string[]> {
    const found: string[] = [];
    for (let p = 0; p < children.partitions && found.length < limit; p++)
      found.push(
        ...(await client.zrange(keys.index(p, release), from, String(to), 'BYSCORE', 'LIMIT', 0, limit - found.length)),
      );
    return found;
  }

  /** Those of some children whose record is as asked for. */
  async function filtered(shortId: string, ids: readonly string[], limit: number, isIt: (head: RecordHead) => boolean) {
    const heads = await Promise.all(ids.map((id) => children.head(shortId, id)));
    const isFound = (head: RecordHead | null | undefined): boolean => head != null && isIt(head);
    return ids.filter((_, i) => isFound(heads[i])).slice(0, limit);
  }

  return {
    first,

    /** The first children, by how far they are. */
    async byRank({ release, shortId }: Ref, ranks: Ranks, { limit, within = null }: Search): Promise<string[]> {
      if (within === null) return first(release, ranks, limit);
      const ids = await first(release, ranks, SCANNED);
      return filtered(shortId, ids, limit, ({ membership }) => membership.n === within.n);
    },

    /** Children that failed a stage and went on with another, from a bounded scan of those that are past it. */
    async failedIn({ release, shortId }: Ref, stage: number, { limit, within = null }: Search): Promise<string[]> {
      const ranks = [stageRank(stage, StageStatus.Pending), rankRange(ReleaseStatus.Doing)[1]] as const;
      const past = await first(release, ranks, SCANNED);
      const hasFailed = ({ statuses, membership }: RecordHead): boolean =>
        Number(statuses[stage]) >= StageStatus.Failure && (within === null || membership.n === within.n);
      return filtered(shortId, past, limit, hasFailed);
    },
  };
}
