/** Enrolling: batch by batch through a partition, resumable at any batch, each batch atomic. */
import { ALL } from '#domain/plan/plan.ts';
import { hasOwnCounts, membershipToken } from '#domain/rollout/membership.ts';
import type { OpenLocation, Rollout } from '#domain/rollout/rollout.ts';
import type { ChildStore } from '#store/children/child-store.ts';
import { type Client, unwrap } from '#store/connection/client.ts';
import type { Replicated } from '#store/connection/replicated.ts';
import { runScript } from '#store/connection/script.ts';
import { AGG } from '#store/layout/agg-fields.ts';
import type { Keys } from '#store/layout/keys.ts';
import type { ReleaseStore } from '#store/releases/release-store.ts';

/** Children in one Lua call: about a millisecond, in which Redis serves nobody else. */
const BATCH = 250;
/** Children that are read together, over all partitions, by a job that may enrol so many and no more. */
const HEADS = 2_000;
/** More than its share is asked of each partition, as children aren't spread quite evenly. */
const HEADS_SLACK = { factor: 1.5, more: 10 } as const;
const FIRST_ATTEMPT = 1;

type Location = Pick<OpenLocation, 'id' | 'n' | 'children'>;
type Head = { p: number; id: string; score: number };

type Deps = {
  client: Client;
  keys: Keys;
  children: Pick<ChildStore, 'partitions'>;
  releases: Pick<ReleaseStore, 'unfinished'>;
  replicated: Replicated;
};

export type EnrolmentStore = ReturnType<typeof createEnrolmentStore>;

export function createEnrolmentStore(deps: Deps) {
  const { client, keys } = deps;
  return {
    /** Enrols the next batch of a partition in the one location of all children. True: the partition is done. */
    async enrolFleet(p: number, rollout: Rollout): Promise<boolean> {
      const location = { id: ALL, n: 1, children: null };
      const { startedAt, freshSince } = rollout;
      const what = ['fleet', startedAt ?? 0, freshSince];
      return (await enrol(deps, { p, rollout, location }, keys.seen(p), what)) === 1;
    },

    /** Enrols a child that is a location of its own. */
    async enrolChild(p: number, rollout: Rollout, id: string): Promise<void> {
      const location = { id, n: 0, children: null };
      await enrol(deps, { p, rollout, location }, keys.order(p, rollout.release), ['named', '', '', id]);
    },

    /** Those of some locations with children that are still to be enrolled in a partition. */
    async waitingIn<L extends Location>(p: number, { release }: Rollout, locations: readonly L[]): Promise<L[]> {
      const pipeline = client.pipeline();
      for (const { id } of locations) pipeline.exists(keys.todo(p, release, id));
      const found = locations.length === 0 ? [] : unwrap(await pipeline.exec());
      return locations.filter((_, i) => found[i] === 1);
    },

    /** Enrols the next batch of a location's children in a partition. True: none is left there. */
    async enrolFirst(p: number, rollout: Rollout, location: Location): Promise<boolean> {
      const from = waitingKey(deps, { p, rollout, location });
      return (await enrol(deps, { p, rollout, location }, from, ['first', sizedAs(rollout, location)])) === 1;
    },

    /**
     * Enrols the next children of a location, in order over all partitions, until so many are enrolled there; never more,
     * whatever other jobs do. True: there is nothing left to do for this job.
     */
    enrolUpTo: (rollout: Rollout, location: Location, upTo: number): Promise<boolean> =>
      enrolUpTo(deps, rollout, location, upTo),

    /** Whether every child of a partition is enrolled that is to be, straight from the fleet. */
    isEnrolmentComplete: async (p: number, { release }: Rollout): Promise<boolean> =>
      (await client.hexists(keys.agg(p, release), AGG.enrolled)) === 1,
  };
}

type Where = { p: number; rollout: Rollout; location: Location };

/** `from`: the key of the set where they come from; `what`: see enrol.lua. */
async function enrol(
  { keys, releases, replicated }: Deps,
  { p, rollout, location }: Where,
  from: string,
  what: readonly (string | number)[],
): Promise<number> {
  const { release, shortId, epoch, plan, stages } = rollout;
  // A child that belongs to it when it's known how many they are keeps its gates closed; the others come late.
  const membership = membershipToken(location, plan, location.children !== null);
  const agg = keys.agg(p, release);
  const unfinished = (await releases.unfinished()).join(' ');
  const offer = hasOwnCounts(membership) ? `${release}:${epoch}:${location.n}` : `${release}:${epoch}`;
  const args = [
    release,
    shortId,
    epoch,
    FIRST_ATTEMPT,
    membership,
    stages.length,
    BATCH,
    keys.child(p, ''),
    unfinished,
    keys.childChanged,
    offer,
    keys.aggOf(p, release, ''),
    ...what,
  ];
  const names = { agg, index: keys.index(p, release), from, sizes: keys.sizes(p, release) };
  // A child that is offered a release and then finds itself not enrolled ends.
  return (await replicated(agg, (on) => runScript(on, 'enrol', { keys: names, args }))) as number;
}

/** Where children of a location wait: by location, or all together where waves are of children. */
const waitingKey = ({ keys }: Deps, { p, rollout: { release, plan }, location }: Where): string =>
  plan.by === 'child' ? keys.order(p, release) : keys.todo(p, release, location.id);

const sizedAs = ({ plan }: Rollout, { id }: Location): string => (plan.by === 'child' ? '' : id);

async function enrolUpTo(deps: Deps, rollout: Rollout, location: Location, upTo: number): Promise<boolean> {
  const { client, keys } = deps;
  if (upTo <= 0) return true;
  const fence = await client.hincrby(keys.rollout(rollout.release), 'fence', 1);
  const found = await firstInOrder(deps, { rollout, location }, fence, Math.min(HEADS, upTo));
  if (found === null) return true;
  const taken = found.first.slice(0, Math.max(upTo - found.enrolled, 0));
  if (taken.length === 0) return true;
  const replies = await Promise.all(
    [...Map.groupBy(taken, ({ p }) => p)].map(async ([p, some]) => {
      const where = { p, rollout, location };
      for (let at = 0; at < some.length; at += BATCH) {
        const ids = some.slice(at, at + BATCH).map(({ id }) => id);
        const what = ['named', sizedAs(rollout, location), fence, ...ids];
        if ((await enrol(deps, where, waitingKey(deps, where), what)) < 0) return false;
      }
      return true;
    }),
  );
  return replies.includes(false);
}

/** The first in order over all partitions, and how many are enrolled already; null: another job is at it. */
async function firstInOrder(
  deps: Deps,
  { rollout, location }: Omit<Where, 'p'>,
  fence: number,
  count: number,
): Promise<{ enrolled: number; first: Head[] } | null> {
  const { client, keys, children } = deps;
  const { release } = rollout;
  const share = Math.ceil((count / children.partitions) * HEADS_SLACK.factor) + HEADS_SLACK.more;
  const limit = Math.min(count, share);
  const token = `${location.n}/${location.id}`;
  const replies = await Promise.all(
    Array.from({ length: children.partitions }, (_, p) =>
      runScript(client, 'first-in-order', {
        keys: {
          own: keys.aggOf(p, release, token),
          late: keys.aggOf(p, release, `+${token}`),
          from: waitingKey(deps, { p, rollout, location }),
        },
        args: [fence, limit],
      }),
    ),
  );
  return merged(replies as (readonly [number, ...string[]] | null)[], limit);
}

function merged(replies: readonly (readonly [number, ...string[]] | null)[], limit: number) {
  const found: Head[] = [];
  let enrolled = 0;
  // Where a partition has more than was asked for, no child behind its last one is known to be first.
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

const inOrder = (a: Head, b: Head): number => a.score - b.score || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
