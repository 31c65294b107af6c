/** Who belongs where: children are put in order within their locations, batch by batch, before any of them is enrolled. */
import { MARK } from '#domain/marks.ts';
import { rankRange } from '#domain/record.ts';
import type { Rollout } from '#domain/rollout.ts';
import { ReleaseStatus } from '#domain/status.ts';
import type { ChildStore } from './child-store.ts';
import type { Keys } from './keys.ts';
import type { OrderStore } from './order-store.ts';
import { type Candidate, OUTSIDE } from './placing.ts';
import type { KnownPlan, Plans } from './plans.ts';
import { parseHead, type RecordHead } from './record-codec.ts';
import { type Client, unwrap } from './redis.ts';
import type { ReleaseStore } from './release-store.ts';
import { runScript } from './script.ts';
import type { SourceStore } from './source-store.ts';

const BATCH = 250;
const WALK_IS_OVER = -2;

/** How far a job has come over those who are Done with another release. */
export type Pass = { last: string | null; matched: number; done: number };

export type AssignmentStore = ReturnType<typeof createAssignmentStore>;

type Deps = {
  client: Client;
  keys: Keys;
  children: Pick<ChildStore, 'bySeen'>;
  releases: Pick<ReleaseStore, 'rollout'>;
  plans: Plans;
  orders: Pick<OrderStore, 'places'>;
  sources: Pick<SourceStore, 'doneIn'>;
};

type Placed = { id: string; location: string; score: number };

/** Before it was enrolled. */
const wasTakenOut = (head: RecordHead | null): boolean =>
  head !== null && head.n === 0 && (head.marks & MARK.ejected) > 0;

export function createAssignmentStore({ client, keys, children, releases, plans, orders, sources }: Deps) {
  /** Children with their records of the release. `source`: the tag of another one, whose records are read with them. */
  async function candidates(p: number, ids: readonly string[], tag: string, source: string | null) {
    const pipeline = client.pipeline();
    for (const id of ids) pipeline.hmget(keys.child(p, id), 'f', 'a', 'n', tag, source ?? tag);
    const rows = (ids.length === 0 ? [] : unwrap(await pipeline.exec())) as (string | null)[][];
    return ids.map((id, i) => {
      const [first, area, count, own, head] = rows[i] ?? [];
      const child: Candidate = { id, area: area ?? '', firstSeen: Number(first), childCount: Number(count ?? 0) };
      return { child, isKnown: first != null, own: parseHead(own, id), head: parseHead(head, id) };
    });
  }

  function placedBy(known: KnownPlan, some: Awaited<ReturnType<typeof candidates>>): Placed[] {
    const { place } = known.placing();
    return some.flatMap(({ child, isKnown, own }) => {
      const found = isKnown && own === null ? place(child) : null;
      return found === null ? [] : [{ id: child.id, ...found }];
    });
  }

  async function write(
    p: number,
    { release, tag, plan, startedAt }: Rollout,
    what: readonly [mode: 'walk' | 'late' | 'pass', first: string | number, second: string | number],
    end: { silent?: number; gone?: number },
    placed: readonly Placed[],
    arrivals: readonly string[] = [],
  ): Promise<number> {
    const isByChild = plan.by === 'child';
    const [mode, first, second] = what;
    // Whoever joins while the walk is on its way is met by it, where late joiners are taken in.
    const joinedBefore = mode === 'walk' && plan.lateJoiners === 'none' ? (startedAt ?? 0) : '';
    return (await runScript(
      client,
      'assign',
      { agg: keys.agg(p, release), sizes: keys.sizes(p, release), arrived: keys.arrived(p, release) },
      [
        mode,
        tag,
        keys.child(p, ''),
        isByChild ? keys.order(p, release) : keys.todo(p, release, ''),
        isByChild ? 0 : 1,
        first,
        second,
        end.silent ?? '',
        end.gone ?? '',
        joinedBefore,
        ...arrivals,
        ...placed.flatMap(({ id, location, score }) => [id, isByChild ? '' : location, score]),
      ],
    )) as number;
  }

  /** The ids that are Done with a release, behind one of them. Null: that one is Done no more, and nobody knows where it was. */
  async function doneAfter(p: number, release: string, last: string | null): Promise<string[] | null> {
    const index = keys.index(p, release);
    const [rank] = rankRange(ReleaseStatus.Done);
    const start = last === null ? await client.zcount(index, '-inf', `(${rank}`) : await client.zrank(index, last);
    if (start === null) return null;
    const from = last === null ? start : start + 1;
    const rows = await client.zrange(index, from, String(from + BATCH - 1), 'WITHSCORES');
    return rows.filter((_, i) => i % 2 === 0 && Number(rows[i + 1]) === rank);
  }

  return {
    newPass: (): Pass => ({ last: null, matched: 0, done: 0 }),

    isOrdered: async (p: number, { release }: Rollout): Promise<boolean> =>
      (await client.hexists(keys.agg(p, release), '@ordered')) === 1,

    /** Assigns the next batch of those who are fresh, by last sign of life. True: the partition is done. */
    async walk(p: number, rollout: Rollout): Promise<boolean> {
      const { release, tag, plan, freshSince } = rollout;
      const known = await plans(rollout);
      const stored = await client.hget(keys.agg(p, release), '@cursor');
      // Before anything is read: whoever joins from now on is noted as having arrived.
      if (stored === null && plan.lateJoiners === 'join') await client.zadd(keys.late(p), freshSince, release);
      // The cursor is exclusive: one millisecond earlier to take `freshSince` itself in.
      const { ids, cursor, last } = await children.bySeen(p, stored === null ? freshSince - 1 : Number(stored), BATCH);
      const placed = placedBy(known, await candidates(p, ids, tag, null));
      const silent = last ? { silent: await client.zcount(keys.seen(p), '-inf', `(${freshSince}`) } : {};
      const written = await write(p, rollout, ['walk', stored ?? '', cursor], silent, placed);
      return written === WALK_IS_OVER || (written >= 0 && last);
    },

    /**
     * Assigns the next batch of those who are Done with the release that the target names, whenever they were seen. `first`:
     * before the order is known. True: the pass is over.
     */
    async pass(p: number, rollout: Rollout, pass: Pass, first: boolean): Promise<boolean> {
      const known = await plans(rollout);
      const { target } = known.plan;
      if (target.kind !== 'done') return true;
      const source = await releases.rollout(target.release);
      const done = async (): Promise<number> => (source === null ? 0 : sources.doneIn(p, source, target.location));
      if (pass.last === null) pass.done = await done();
      const ids = source === null ? [] : await doneAfter(p, target.release, pass.last);
      if (ids === null) {
        pass.last = null;
        pass.matched = 0;
        return false;
      }
      const all = await candidates(p, ids, rollout.tag, source?.tag ?? null);
      const matching = all.filter(({ head }) => target.location === null || head?.location === target.location);
      pass.matched += matching.filter(({ isKnown, own }) => isKnown && !wasTakenOut(own)).length;
      pass.last = ids.at(-1) ?? pass.last;
      const last = ids.length < BATCH;
      // Those who weren't met, but for whoever became Done meanwhile, or is Done no more.
      const gone = last ? { gone: Math.max(Math.min(pass.done, await done()) - pass.matched, 0) } : {};
      const end = { ...gone, ...(last && first ? { silent: 0 } : {}) };
      await write(p, rollout, ['pass', '', ''], end, placedBy(known, matching));
      return last;
    },

    /** Assigns the next of those who have joined since the start. True: there are none left. */
    async late(p: number, rollout: Rollout): Promise<boolean> {
      const known = await plans(rollout);
      const ids = await client.lrange(keys.arrived(p, rollout.release), 0, BATCH - 1);
      if (ids.length === 0) return true;
      const found = placedBy(known, await candidates(p, ids, rollout.tag, null));
      const takes = rollout.plan.by === 'child' ? () => true : await locationsToCome(rollout);
      const placed = found.filter(({ location }) => takes(location));
      await write(p, rollout, ['late', ids.length, found.length - placed.length], {}, placed, ids);
      return ids.length < BATCH;
    },
  };

  /** Whether a location is open, or its turn is still to come. */
  async function locationsToCome(rollout: Rollout): Promise<(location: string) => boolean> {
    const { index } = await orders.places(rollout);
    return (location) => {
      if (location === OUTSIDE) return false;
      const place = index.get(location);
      if (place === undefined) return false;
      return place >= rollout.started.locations || rollout.open.some(({ id }) => id === location);
    };
  }
}
