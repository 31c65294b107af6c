/** Which child belongs where: children are put in order within their locations, batch by batch, before any of them is enrolled. */
import type { Rings } from '#domain/child/area.ts';
import { isEjected } from '#domain/child/flag-rules.ts';
import { rankRange } from '#domain/child/progress.ts';
import { ReleaseStatus } from '#domain/child/status.ts';
import { type Candidate, OUTSIDE } from '#domain/plan/assigner.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';
import { unpackArea } from '#store/children/area-codec.ts';
import type { ChildStore } from '#store/children/child-store.ts';
import { parseHead, type RecordHead, toRecord } from '#store/children/record-codec.ts';
import { type Client, unwrap } from '#store/connection/client.ts';
import { runScript } from '#store/connection/script.ts';
import { AGG } from '#store/layout/agg-fields.ts';
import type { Keys } from '#store/layout/keys.ts';
import type { KnownPlan, PlanCache } from '#store/releases/plan-cache.ts';
import type { ReleaseStore } from '#store/releases/release-store.ts';
import type { RevertStore } from '#store/releases/revert-store.ts';
import type { OrderStore } from './order-store.ts';

const BATCH = 250;
/** Of assign.lua. */
const FLEET_IS_ASSIGNED = -2;

/** How far a job has come over children that are Done with another release. */
export type DoneScan = { last: string | null; matched: number; done: number };

export type AssignmentStore = ReturnType<typeof createAssignmentStore>;

type Deps = {
  client: Client;
  keys: Keys;
  children: Pick<ChildStore, 'bySeen'>;
  releases: Pick<ReleaseStore, 'rollout'>;
  plans: PlanCache;
  orders: Pick<OrderStore, 'locations'>;
  reverts: Pick<RevertStore, 'doneIn'>;
};

export function createAssignmentStore(deps: Deps) {
  const { client, keys } = deps;
  return {
    newDoneScan: (): DoneScan => ({ last: null, matched: 0, done: 0 }),

    isAssigned: async (p: number, { release }: Rollout): Promise<boolean> =>
      (await client.hexists(keys.agg(p, release), AGG.assigned)) === 1,

    /** Assigns the next batch of children that are fresh, by last heartbeat. True: the partition is done. */
    fleet: (p: number, rollout: Rollout): Promise<boolean> => assignFleet(deps, p, rollout),

    /**
     * Assigns the next batch of children that are Done with the release that the target names, whenever they were seen.
     * `first`: before the order is known. True: the scan is over.
     */
    done: (p: number, rollout: Rollout, scan: DoneScan, first: boolean): Promise<boolean> =>
      assignDone(deps, { p, rollout, first }, scan),

    /** Assigns the next of the children that have joined since the start. True: there are none left. */
    late: (p: number, rollout: Rollout): Promise<boolean> => assignLate(deps, p, rollout),
  };
}

type Assigned = { id: string; location: string; score: number };
type Read = { child: Candidate; isKnown: boolean; own: RecordHead | null; head: RecordHead | null };

/** Children with their records of the release. `source`: the short id of another one, whose records are read with them. */
async function readCandidates(
  { client, keys }: Deps,
  p: number,
  ids: readonly string[],
  { shortId, source }: { shortId: string; source: string | null },
): Promise<Read[]> {
  const pipeline = client.pipeline();
  for (const id of ids) pipeline.hmget(keys.child(p, id), 'f', 'a', 'n', shortId, source ?? shortId);
  const rows = (ids.length === 0 ? [] : unwrap(await pipeline.exec())) as (string | null)[][];
  return ids.map((id, i) => {
    const [first, area, count, own, head] = rows[i] ?? [];
    return {
      child: candidateOf(id, { first, area, count }),
      isKnown: first != null,
      own: parseHead(own, id),
      head: parseHead(head, id),
    };
  });
}

type Packed = Record<'first' | 'area' | 'count', string | null | undefined>;

export const candidateOf = (id: string, { first, area, count }: Packed): Candidate => ({
  id,
  area: () => unpackArea(area ?? '') as unknown as Rings,
  firstSeen: Number(first),
  childCount: Number(count ?? 0),
});

function assigned(known: KnownPlan, some: readonly Read[]): Assigned[] {
  const { assign } = known.assigner();
  return some.flatMap(({ child, isKnown, own }) => {
    const found = isKnown && own === null ? assign(child) : null;
    return found === null ? [] : [{ id: child.id, ...found }];
  });
}

/** As assign.lua wants it: what is asked for with its two arguments, and what is known at the end. */
type Batch = {
  mode: readonly ['fleet' | 'late' | 'done', first: string | number, second: string | number];
  end?: { silent?: number; gone?: number };
  assigned: readonly Assigned[];
  arrivals?: readonly string[];
};

async function write(
  { client, keys }: Deps,
  p: number,
  { release, shortId, plan, startedAt }: Rollout,
  { mode: [mode, first, second], end = {}, assigned: children, arrivals = [] }: Batch,
): Promise<number> {
  const isByChild = plan.by === 'child';
  // A child that joins while the fleet is assigned is met by the job, where late joiners are taken in.
  const joinedBefore = mode === 'fleet' && plan.lateJoiners === 'none' ? (startedAt ?? 0) : '';
  const where = [keys.child(p, ''), isByChild ? keys.order(p, release) : keys.todo(p, release, ''), isByChild ? 0 : 1];
  const rows = children.flatMap(({ id, location, score }) => [id, isByChild ? '' : location, score]);
  return (await runScript(client, 'assign', {
    keys: { agg: keys.agg(p, release), sizes: keys.sizes(p, release), arrived: keys.arrived(p, release) },
    args: [
      mode,
      shortId,
      ...where,
      first,
      second,
      end.silent ?? '',
      end.gone ?? '',
      joinedBefore,
      ...arrivals,
      ...rows,
    ],
  })) as number;
}

async function assignFleet(deps: Deps, p: number, rollout: Rollout): Promise<boolean> {
  const { client, keys, plans, children } = deps;
  const { release, shortId, plan, freshSince } = rollout;
  const known = await plans(rollout);
  const stored = await client.hget(keys.agg(p, release), AGG.cursor);
  // Before anything is read: a child that joins from now on is noted as having arrived.
  if (stored === null && plan.lateJoiners === 'join') await client.zadd(keys.late(p), freshSince, release);
  // The cursor is exclusive: one millisecond earlier to take `freshSince` itself in.
  const { ids, cursor, last } = await children.bySeen(p, stored === null ? freshSince - 1 : Number(stored), BATCH);
  const found = assigned(known, await readCandidates(deps, p, ids, { shortId, source: null }));
  const end = last ? { silent: await client.zcount(keys.seen(p), '-inf', `(${freshSince}`) } : {};
  const written = await write(deps, p, rollout, { mode: ['fleet', stored ?? '', cursor], end, assigned: found });
  return written === FLEET_IS_ASSIGNED || (written >= 0 && last);
}

/** The ids that are Done with a release, behind one of them. Null: that one is Done no more, and nobody knows where it was. */
async function doneAfter(
  { client, keys }: Deps,
  p: number,
  release: string,
  last: string | null,
): Promise<string[] | null> {
  const index = keys.index(p, release);
  const [rank] = rankRange(ReleaseStatus.Done);
  const start = last === null ? await client.zcount(index, '-inf', `(${rank}`) : await client.zrank(index, last);
  if (start === null) return null;
  const from = last === null ? start : start + 1;
  const rows = await client.zrange(index, from, String(from + BATCH - 1), 'WITHSCORES');
  return rows.filter((_, i) => i % 2 === 0 && Number(rows[i + 1]) === rank);
}

/** Before it was enrolled. */
const wasEjected = (head: RecordHead | null): boolean =>
  head !== null && head.membership.n === 0 && isEjected(toRecord(head, []));

async function assignDone(
  deps: Deps,
  { p, rollout, first }: { p: number; rollout: Rollout; first: boolean },
  scan: DoneScan,
): Promise<boolean> {
  const known = await deps.plans(rollout);
  const { target } = known.plan;
  if (target.kind !== 'done') return true;
  const source = await deps.releases.rollout(target.release);
  const countDone = async (): Promise<number> =>
    source === null ? 0 : deps.reverts.doneIn(p, source, target.location);
  if (scan.last === null) scan.done = await countDone();
  const ids = source === null ? [] : await doneAfter(deps, p, target.release, scan.last);
  if (ids === null) {
    scan.last = null;
    scan.matched = 0;
    return false;
  }
  const all = await readCandidates(deps, p, ids, { shortId: rollout.shortId, source: source?.shortId ?? null });
  const matching = all.filter(({ head }) => target.location === null || head?.membership.id === target.location);
  scan.matched += matching.filter(({ isKnown, own }) => isKnown && !wasEjected(own)).length;
  scan.last = ids.at(-1) ?? scan.last;
  const last = ids.length < BATCH;
  // Those that weren't met, but for children that became Done meanwhile, or are Done no more.
  const gone = last ? { gone: Math.max(Math.min(scan.done, await countDone()) - scan.matched, 0) } : {};
  const end = { ...gone, ...(last && first ? { silent: 0 } : {}) };
  await write(deps, p, rollout, { mode: ['done', '', ''], end, assigned: assigned(known, matching) });
  return last;
}

async function assignLate(deps: Deps, p: number, rollout: Rollout): Promise<boolean> {
  const { client, keys, plans } = deps;
  const { release, shortId, plan } = rollout;
  const known = await plans(rollout);
  const ids = await client.lrange(keys.arrived(p, release), 0, BATCH - 1);
  if (ids.length === 0) return true;
  const found = assigned(known, await readCandidates(deps, p, ids, { shortId, source: null }));
  const takes = plan.by === 'child' ? () => true : await locationsToCome(deps, rollout);
  const taken = found.filter(({ location }) => takes(location));
  await write(deps, p, rollout, {
    mode: ['late', ids.length, found.length - taken.length],
    assigned: taken,
    arrivals: ids,
  });
  return ids.length < BATCH;
}

/** Whether a location is open, or its turn is still to come. */
async function locationsToCome({ orders }: Deps, rollout: Rollout): Promise<(location: string) => boolean> {
  const { index } = await orders.locations(rollout);
  return (location) => {
    if (location === OUTSIDE) return false;
    const position = index.get(location);
    if (position === undefined) return false;
    return position >= rollout.started.locations || rollout.open.some(({ id }) => id === location);
  };
}
