/**
 * What is read of a release that another one takes back, and of the compensating release. What it comes to is decided in
 * shared/domain/scheduling/taken-back.ts.
 */
import { rankRange } from '#domain/child/progress.ts';
import { ReleaseStatus } from '#domain/child/status.ts';
import { foldContributions } from '#domain/counts/contribution.ts';
import { addCounts, type Counts, inRelease, NO_COUNTS } from '#domain/counts/counts.ts';
import { compensationId } from '#domain/rollout/compensation-id.ts';
import { isByTurns } from '#domain/rollout/membership.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';
import type { CompensationView, TakenBack } from '#domain/scheduling/snapshot.ts';
import {
  closedStages,
  comesAs,
  type Coming,
  comingByCounts,
  comingSignature,
  compensationView,
  gatedIn,
  NOBODY_COMES,
} from '#domain/scheduling/taken-back.ts';
import type { ChildStore } from '#store/children/child-store.ts';
import { toRecord } from '#store/children/record-codec.ts';
import type { Client } from '#store/connection/client.ts';
import { parseCounts } from '#store/layout/counts-codec.ts';
import type { Keys } from '#store/layout/keys.ts';
import { createLocationCounts, type LocationCountsReader } from './location-counts.ts';
import type { PlanCache } from './plan-cache.ts';
import type { ReleaseStore } from './release-store.ts';

const AT_ONCE = 500;
/** Records of a partition that are scanned to find one that isn't away; where there are more, one may well be among them. */
const SCANNED = 20_000;
/** A scan of single records costs more than a tick should: its answer serves for so long, while the counts stay. */
const SCAN_EVERY_MS = 5_000;
const SCANS_KEPT = 100;

export type RevertStore = ReturnType<typeof createRevertStore>;

type Deps = {
  client: Client;
  keys: Keys;
  children: Pick<ChildStore, 'partition' | 'partitions' | 'head' | 'record'>;
  releases: Pick<ReleaseStore, 'rollout'>;
  plans: PlanCache;
};

/** `members`: children that are known to be meant. There are more when more are Done. */
export type Source = TakenBack & { members: number; unheard: number };

type KnownScan = { signature: string; at: number; found: Coming };
type Reads = Deps & { counts: LocationCountsReader; scans: Map<string, KnownScan>; partitions: readonly number[] };

export function createRevertStore(deps: Deps) {
  const { client, keys, children, releases } = deps;
  const reads: Reads = {
    ...deps,
    counts: createLocationCounts(client, keys, children.partitions),
    scans: new Map(),
    partitions: Array.from({ length: children.partitions }, (_, p) => p),
  };

  async function viewOf(source: Rollout, n: number | null): Promise<CompensationView | null> {
    const rollout = await releases.rollout(compensationId(source, n));
    if (rollout === null || rollout.state === 'published' || rollout.plan.compensates !== source.release) return null;
    const hashes = await Promise.all(reads.partitions.map((p) => client.hgetall(keys.agg(p, rollout.release))));
    const isOver = rollout.state === 'aborted' || rollout.state === 'reverted';
    const about = isOver ? null : await sourceOf(reads, rollout);
    return compensationView({ rollout, counts: addCounts(hashes.map(parseCounts)), about });
  }

  return {
    /** Of the release that a compensating one takes back; null for any other. */
    sourceOf: (rollout: Rollout): Promise<Source | null> => sourceOf(reads, rollout),

    /** Children that are Done with a release, or in one of its locations, in a partition. */
    doneIn: async (p: number, source: Rollout, location: string | null): Promise<number> =>
      inRelease(await sourceCounts(reads, p, source, location), ReleaseStatus.Done),

    /** Of the releases that take this one back: by location, '' = the whole of it. */
    async compensations(source: Rollout): Promise<Map<string, CompensationView>> {
      const asked: [string, number | null][] = source.withdrawn.flatMap(({ id, n, as }) =>
        as === 'reverting' ? [[id, n] as [string, number]] : [],
      );
      if (source.state === 'reverting') asked.push(['', null]);
      const views = await Promise.all(asked.map(([, n]) => viewOf(source, n)));
      return new Map(
        asked.flatMap(([id], i) => {
          const view = views[i];
          return view == null ? [] : [[id, view] as const];
        }),
      );
    },
  };
}

/** What a release, or one of its locations (open, or withdrawn), has come to in a partition. */
async function sourceCounts(
  { counts, children }: Reads,
  p: number,
  source: Rollout,
  location: string | null,
): Promise<Counts> {
  if (location === null) return counts.inPartition(p, source, null);
  if (isByTurns(source.plan)) {
    const record = children.partition(location) === p ? await children.record(source.shortId, location) : null;
    return record === null ? NO_COUNTS : foldContributions([record]);
  }
  const found = [...source.open, ...source.withdrawn].find(({ id }) => id === location);
  return found === undefined ? NO_COUNTS : counts.inPartition(p, source, found);
}

const allSourceCounts = async (reads: Reads, source: Rollout, location: string | null): Promise<Counts> =>
  addCounts(await Promise.all(reads.partitions.map((p) => sourceCounts(reads, p, source, location))));

/** Children of a compensating release in a partition, enrolled or still to be. */
async function knownIn({ client, keys }: Reads, p: number, { release, plan }: Rollout) {
  const [sizes, waiting, own] = await Promise.all([
    client.hgetall(keys.sizes(p, release)),
    plan.by === 'child' ? client.zcard(keys.order(p, release)) : 0,
    plan.by === 'child' ? client.hget(keys.agg(p, release), 'n') : '0',
  ]);
  const assigned = Object.entries(sizes).filter(([field]) => field.startsWith('n:'));
  const members = assigned.reduce((sum, [, n]) => sum + Number(n), 0);
  return { members: members + waiting + Number(own ?? 0), gone: Number(sizes['@gone'] ?? 0) };
}

/** Children that stay in a stage, as its gate is closed to them. */
async function gated(reads: Reads, source: Rollout, location: string | null): Promise<number> {
  const locations = [...source.open, ...source.withdrawn].filter(({ id }) => location === null || id === location);
  const counts = await Promise.all(
    locations.map(async (each) => {
      const stages = closedStages(source, each);
      return stages.length === 0 ? 0 : gatedIn(await allSourceCounts(reads, source, each.id), stages);
    }),
  );
  return counts.reduce((sum, n) => sum + n, 0);
}

async function coming(reads: Reads, source: Rollout, location: string | null, counts: Counts): Promise<Coming> {
  if (inRelease(counts, ReleaseStatus.Doing) === 0) return NOBODY_COMES;
  const stay = await gated(reads, source, location);
  const told = comingByCounts(source, counts, stay);
  if (told !== null) return told;
  const { scans } = reads;
  const key = `${source.release} ${location ?? ''}`;
  const signature = comingSignature(source, counts, stay);
  const before = scans.get(key);
  if (before?.signature === signature && performance.now() - before.at < SCAN_EVERY_MS) return before.found;
  const found = { ...(await scanRecords(reads, source, location)), gated: stay };
  scans.set(key, { signature, at: performance.now(), found });
  if (scans.size > SCANS_KEPT) scans.delete([...scans.keys()][0] ?? '');
  return found;
}

async function scanRecords(
  { client, keys, children, partitions }: Reads,
  source: Rollout,
  location: string | null,
): Promise<Omit<Coming, 'gated'>> {
  const found = { coming: 0, unheard: 0 };
  const [from, to] = rankRange(ReleaseStatus.Doing);
  for (const p of partitions) {
    // At once: a child that leaves the range meanwhile would push another out of sight.
    const index = keys.index(p, source.release);
    const ids = await client.zrange(index, from, String(to), 'BYSCORE', 'LIMIT', 0, SCANNED + 1);
    if (ids.length > SCANNED) return { coming: 1, unheard: 0 };
    for (let at = 0; at < ids.length; at += AT_ONCE) {
      const heads = await Promise.all(ids.slice(at, at + AT_ONCE).map((id) => children.head(source.shortId, id)));
      for (const head of heads) {
        if (head === null || (location !== null && head.membership.id !== location)) continue;
        const as = comesAs(source, toRecord(head, []), head.membership);
        if (as !== null) found.coming++;
        if (as === 'unheard') found.unheard++;
      }
    }
  }
  return found;
}

async function sourceOf(reads: Reads, rollout: Rollout): Promise<Source | null> {
  const { plans, releases, partitions } = reads;
  if (rollout.plan.compensates === null || rollout.startedAt === null) return null;
  const { target } = (await plans(rollout)).plan;
  const source = await releases.rollout(rollout.plan.compensates);
  if (source === null) return { done: 0, ...NOBODY_COMES, members: 0 };
  const location = target.kind === 'done' ? target.location : null;
  // Members first: a child that becomes Done in between is found missing, and is looked for.
  const mine = await Promise.all(partitions.map((p) => knownIn(reads, p, rollout)));
  const counts = await allSourceCounts(reads, source, location);
  const gone = mine.reduce((sum, each) => sum + each.gone, 0);
  return {
    done: Math.max(inRelease(counts, ReleaseStatus.Done) - gone, 0),
    ...(await coming(reads, source, location, counts)),
    members: mine.reduce((sum, { members }) => sum + members, 0),
  };
}
