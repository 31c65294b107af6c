/** Enrolling: batch by batch through a partition, resumable at any batch, each batch atomic. */
import { ALL } from '#domain/plan.ts';
import { membershipToken } from '#domain/membership.ts';
import { type OpenLocation, type Rollout } from '#domain/rollout.ts';
import type { ChildStore } from './child-store.ts';
import type { Keys } from './keys.ts';
import { type Client, unwrap } from './redis.ts';
import type { ReleaseStore } from './release-store.ts';
import type { Replicated } from './replicated.ts';
import { runScript } from './script.ts';

/** Children in one Lua call: about a millisecond, in which Redis serves nobody else. */
const BATCH = 250;
/** Children that a job which may enrol so many and no more looks at together, over all partitions. */
const HEADS = 2_000;
/** More than its share is asked of each partition, as children aren't spread quite evenly. */
const HEADS_SLACK = { factor: 1.5, more: 10 } as const;
const FIRST_ATTEMPT = 1;

type Place = Pick<OpenLocation, 'id' | 'n' | 'children'>;
type Head = { p: number; id: string; score: number };

export type EnrolmentStore = ReturnType<typeof createEnrolmentStore>;

export function createEnrolmentStore(
  client: Client,
  keys: Keys,
  { partitions }: Pick<ChildStore, 'partitions'>,
  { unfinished }: Pick<ReleaseStore, 'unfinished'>,
  replicated: Replicated,
) {
  const all = Array.from({ length: partitions }, (_, p) => p);

  async function enrol(
    p: number,
    { release, tag, epoch, plan, stages }: Rollout,
    place: Place,
    from: string,
    what: readonly (string | number)[],
  ): Promise<number> {
    // Whoever belongs to it when it's known how many they are holds its gates; the others come late.
    const membership = membershipToken(place, plan, place.children !== null);
    const agg = keys.agg(p, release);
    const live = (await unfinished()).join(' ');
    const args = [
      release,
      tag,
      epoch,
      FIRST_ATTEMPT,
      membership,
      stages.length,
      BATCH,
      keys.child(p, ''),
      live,
      keys.moved,
      membership.includes('/') ? `${release}:${epoch}:${place.n}` : `${release}:${epoch}`,
      ...what,
    ];
    const names = { agg, index: keys.index(p, release), from, sizes: keys.sizes(p, release) };
    // A child that is offered a release and then finds itself not enrolled ends.
    return (await replicated(agg, (on) => runScript(on, 'enrol', names, args))) as number;
  }

  /** Where children of a location wait: by location, or all together where waves are of children. */
  const waiting = (p: number, { release, plan }: Rollout, { id }: Place): string =>
    plan.by === 'child' ? keys.order(p, release) : keys.todo(p, release, id);
  const sized = ({ plan }: Rollout, { id }: Place): string => (plan.by === 'child' ? '' : id);

  /** The first in order over all partitions, and how many are enrolled already; null: another job is at it. */
  async function heads(rollout: Rollout, place: Place, fence: number, count: number) {
    const { release } = rollout;
    const share = Math.ceil((count / partitions) * HEADS_SLACK.factor) + HEADS_SLACK.more;
    const limit = Math.min(count, share);
    const replies = await Promise.all(
      all.map(
        (p) =>
          runScript(client, 'heads', { agg: keys.agg(p, release), from: waiting(p, rollout, place) }, [
            `${place.n}/${place.id}`,
            fence,
            limit,
          ]) as Promise<[number, ...string[]] | null>,
      ),
    );
    const found: Head[] = [];
    let enrolled = 0;
    // Where a partition has more than was asked for, nobody behind its last one is known to be first.
    let known: Head | null = null;
    for (const [p, reply] of replies.entries()) {
      if (reply === null) return null;
      const [n, ...rows] = reply;
      enrolled += n;
      const some = rows.flatMap((id, i): Head[] => (i % 2 === 0 ? [{ p, id, score: Number(rows[i + 1]) }] : []));
      found.push(...some);
      const last = some.at(-1);
      if (last !== undefined && some.length === limit && (known === null || inOrder(last, known) < 0)) known = last;
    }
    const end: Head | null = known;
    return { enrolled, first: found.sort(inOrder).filter((head) => end === null || inOrder(head, end) <= 0) };
  }

  return {
    /** Enrols the next batch of a partition in the one location of all children. True: the partition is done. */
    async enrolBatch(p: number, rollout: Rollout): Promise<boolean> {
      const place = { id: ALL, n: 1, children: null };
      const { startedAt, freshSince } = rollout;
      return (await enrol(p, rollout, place, keys.seen(p), ['walk', startedAt ?? 0, freshSince])) === 1;
    },

    /** Enrols a child that is a location of its own. */
    async enrolChild(p: number, rollout: Rollout, id: string): Promise<void> {
      const place = { id, n: 0, children: null };
      await enrol(p, rollout, place, keys.order(p, rollout.release), ['named', '', '', id]);
    },

    /** Those of some locations where somebody is still to be enrolled in a partition. */
    async waitingIn<P extends Place>(p: number, { release }: Rollout, places: readonly P[]): Promise<P[]> {
      const pipeline = client.pipeline();
      for (const { id } of places) pipeline.exists(keys.todo(p, release, id));
      const found = places.length === 0 ? [] : unwrap(await pipeline.exec());
      return places.filter((_, i) => found[i] === 1);
    },

    /** Enrols the next batch of a location's children in a partition. True: nobody is left there. */
    async enrolFirst(p: number, rollout: Rollout, place: Place): Promise<boolean> {
      return (await enrol(p, rollout, place, waiting(p, rollout, place), ['first', sized(rollout, place)])) === 1;
    },

    /**
     * Enrols the next children of a location, in order over all partitions, until so many are enrolled there; never more,
     * whoever else is at it. True: there is nothing left to do for this job.
     */
    async enrolUpTo(rollout: Rollout, place: Place, upTo: number): Promise<boolean> {
      if (upTo <= 0) return true;
      const fence = await client.hincrby(keys.rollout(rollout.release), 'fence', 1);
      const found = await heads(rollout, place, fence, Math.min(HEADS, upTo));
      if (found === null) return true;
      const taken = found.first.slice(0, Math.max(upTo - found.enrolled, 0));
      if (taken.length === 0) return true;
      const byPartition = Map.groupBy(taken, ({ p }) => p);
      const replies = await Promise.all(
        [...byPartition].map(async ([p, some]) => {
          const from = waiting(p, rollout, place);
          for (let at = 0; at < some.length; at += BATCH) {
            const ids = some.slice(at, at + BATCH).map(({ id }) => id);
            const what = ['named', sized(rollout, place), fence, ...ids];
            if ((await enrol(p, rollout, place, from, what)) < 0) return false;
          }
          return true;
        }),
      );
      return replies.includes(false);
    },

    /** Whether a walk over the fleet is done with a partition. */
    isMarked: async (p: number, { release }: Rollout): Promise<boolean> =>
      (await client.hexists(keys.agg(p, release), '@mark')) === 1,
  };
}

const inOrder = (a: Head, b: Head): number => a.score - b.score || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
