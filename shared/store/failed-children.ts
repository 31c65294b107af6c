/** Children by how far they are, and who of them has failed: for reasons, and for why a release waits. Bounded looks. */
import type { FailedChild } from '#domain/decide.ts';
import { endedAt, rankRange, stageRank } from '#domain/record.ts';
import type { OpenLocation, Rollout } from '#domain/rollout.ts';
import { ReleaseStatus, StageStatus } from '#domain/status.ts';
import type { ChildStore } from './child-store.ts';
import type { Keys } from './keys.ts';
import type { RecordHead } from './record-codec.ts';
import type { Client } from './redis.ts';

/** Records looked at, at most, to name children. */
const LOOKED_AT = 2_000;
/** Between two looks through the failed of a release for those of its locations: ticks may come a hundred times a second. */
const LOOK_EVERY_MS = 1_000;
/** Releases whose failed children are kept. */
const KEPT = 8;

type Ref = Pick<Rollout, 'release' | 'tag'>;
/** A location, or null: wherever they are. */
type Within = Pick<OpenLocation, 'n'> | null;

/** `named`: a failed child by the number of its location; `missed`: locations of which none was found. */
type Look = { at: number; named: Map<number, string>; missed: Set<number> };

export function createFailedChildren(
  client: Client,
  keys: Keys,
  children: Pick<ChildStore, 'partitions' | 'head' | 'record'>,
) {
  const looks = new Map<string, Look>();

  /** The first ids with a rank in the range. O(log n). */
  async function first(release: string, from: number, to: number, limit: number): Promise<string[]> {
    const found: string[] = [];
    for (let p = 0; p < children.partitions && found.length < limit; p++)
      found.push(
        ...(await client.zrange(keys.index(p, release), from, String(to), 'BYSCORE', 'LIMIT', 0, limit - found.length)),
      );
    return found;
  }

  /** Those of some children whose record is as asked for. */
  async function filtered(tag: string, ids: readonly string[], limit: number, isIt: (head: RecordHead) => boolean) {
    const heads = await Promise.all(ids.map((id) => children.head(tag, id)));
    const isFound = (head: RecordHead | null | undefined): boolean => head != null && isIt(head);
    return ids.filter((_, i) => isFound(heads[i])).slice(0, limit);
  }

  async function failedChild(tag: string, child: string): Promise<FailedChild | null> {
    const record = await children.record(tag, child);
    if (record === null || record.status !== ReleaseStatus.Failed) return null;
    const stage = endedAt(record);
    return { child, stage, status: record.stages[stage]?.final ?? 0 };
  }

  async function look({ release, tag }: Ref): Promise<Look> {
    const [from, to] = rankRange(ReleaseStatus.Failed);
    const ids = await first(release, from, to, LOOKED_AT);
    const heads = await Promise.all(ids.map((id) => children.head(tag, id)));
    const named = new Map<number, string>();
    for (const [i, id] of ids.entries()) {
      const n = heads[i]?.n;
      if (n !== undefined && !named.has(n)) named.set(n, id);
    }
    const found = { at: performance.now(), named, missed: new Set<number>() };
    looks.delete(release);
    looks.set(release, found);
    const [oldest] = looks.keys();
    if (looks.size > KEPT && oldest !== undefined) looks.delete(oldest);
    return found;
  }

  return {
    /** The first children, by how far they are, with a rank in the range; `within`: of that location, from a bounded look. */
    async byRank(
      { release, tag }: Ref,
      from: number,
      to: number,
      limit: number,
      within: Within = null,
    ): Promise<string[]> {
      if (within === null) return first(release, from, to, limit);
      return filtered(tag, await first(release, from, to, LOOKED_AT), limit, ({ n }) => n === within.n);
    },

    async first({ release, tag }: Ref): Promise<FailedChild | null> {
      const [from, to] = rankRange(ReleaseStatus.Failed);
      const [child] = await first(release, from, to, 1);
      return child === undefined ? null : failedChild(tag, child);
    },

    /** One of each location, by its number, if a bounded look finds it. */
    async ofPlaces(rollout: Rollout, places: readonly Pick<OpenLocation, 'n'>[]): Promise<Map<number, FailedChild>> {
      const found = new Map<number, FailedChild>();
      if (places.length === 0) return found;
      const last = looks.get(rollout.release);
      const isOld = last === undefined || performance.now() - last.at > LOOK_EVERY_MS;
      const isNew = places.some(({ n }) => last?.named.has(n) !== true && (isOld || !last.missed.has(n)));
      const { named, missed } = last === undefined || isNew ? await look(rollout) : last;
      await Promise.all(
        places.map(async ({ n }) => {
          const id = named.get(n);
          const failed = id === undefined ? null : await failedChild(rollout.tag, id);
          if (failed !== null) return void found.set(n, failed);
          // It may be tried again by now.
          named.delete(n);
          missed.add(n);
        }),
      );
      return found;
    },

    /** Children who failed a stage and went on with another, from a bounded look at those who are past it. */
    async failedIn({ release, tag }: Ref, stage: number, limit: number, within: Within = null): Promise<string[]> {
      const past = await first(release, stageRank(stage, 0), rankRange(ReleaseStatus.Doing)[1], LOOKED_AT);
      const hasFailed = ({ statuses, n }: RecordHead): boolean =>
        Number(statuses[stage]) >= StageStatus.Failure && (within === null || n === within.n);
      return filtered(tag, past, limit, hasFailed);
    },
  };
}
