/** How a release reads to operators: its state, its progress and what it waits for. */
import { FLAG } from '#domain/child/flags.ts';
import { RELEASE_STATUSES, ReleaseStatus } from '#domain/child/status.ts';
import { addCounts, type Counts, ejected, flagged, inRelease, NO_COUNTS } from '#domain/counts/counts.ts';
import { waitsOf } from '#domain/explain/release-waits.ts';
import type { Wait } from '#domain/explain/wait.ts';
import { compensationId } from '#domain/rollout/compensation-id.ts';
import { isByCohorts } from '#domain/rollout/membership.ts';
import type { OpenLocation, Rollout } from '#domain/rollout/rollout.ts';
import { bothCounts, enrolledIn } from '#domain/scheduling/gates.ts';
import type { ChildDetails } from '#store/children/child-views.ts';
import type { Aggregates } from '#store/releases/snapshot-store.ts';
import type { Stores } from '#store/stores.ts';
import type { ReleaseView } from '#wire/operator/responses.ts';
import { planView } from '#wire/plan/plan-view.ts';
import type { Found } from '../changes.ts';
import { readsAs } from './child-view.ts';
import { stagesOfAll, stagesOfLocation } from './stage-view.ts';

const NAMED_CHILDREN = 10;

type Reads = Pick<Stores, 'snapshots' | 'children' | 'releases'>;

const isoTime = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

export const itemView = ({ release: { strategy, publishedAt }, rollout }: Found) => ({
  id: strategy.id,
  name: strategy.name,
  type: strategy.type,
  state: rollout.state,
  reason: rollout.reason,
  plan: { name: rollout.plan.name },
  published_at: new Date(publishedAt).toISOString(),
  started_at: isoTime(rollout.startedAt),
  ended_at: isoTime(rollout.endedAt),
});

/** `most`: how many open locations, and how many waits, are told. */
export async function releaseView(found: Found, reads: Reads, now: number, most = Infinity): Promise<ReleaseView> {
  const { release, rollout } = found;
  const { snapshots, children, releases } = reads;
  const [aggregates, plan] = await Promise.all([snapshots.aggregates(rollout), releases.plan(rollout.release)]);
  const waits = waitsOf(rollout, { ...aggregates, partitions: children.partitions }, now);
  return {
    ...itemView(found),
    plan: plan === null ? { name: rollout.plan.name } : { ...planView(plan), name: plan.name },
    version: rollout.version,
    warnings: [...release.warnings],
    progress: progressView(rollout, aggregates, most),
    reverted_by: rollout.state === 'reverting' || rollout.state === 'reverted' ? compensationId(rollout, null) : null,
    waiting: await Promise.all(waits.slice(0, most).map((wait) => waitView(wait, { rollout, aggregates, now }, reads))),
  };
}

function progressView(rollout: Rollout, aggregates: Aggregates, most: number): ReleaseView['progress'] {
  const { totals } = aggregates;
  const { open, order, started, approvedWaves, skip, completed, withdrawn } = rollout;
  return {
    children: childrenByStatus(rollout, totals),
    lost: flagged(totals, FLAG.lost),
    overdue: flagged(totals, FLAG.overdue),
    ejected: ejected(totals),
    not_enrolled: { silent: aggregates.silent, outside: order?.outside ?? 0 },
    waves_started: started.waves,
    waves_approved: approvedWaves,
    to_skip: skip.filter((id) => !withdrawn.some((each) => each.id === id)),
    locations_through: completed.locations,
    locations_to_come: aggregates.order?.left ?? 0,
    locations: open.slice(0, most).map((location) => locationView(rollout, aggregates, location)),
    aside: withdrawn.map(({ id, n, as, reason, children: count }) => ({
      id,
      as,
      reason,
      children: count,
      release: as === 'reverting' || as === 'reverted' ? compensationId(rollout, n) : null,
    })),
    stages: stagesOfAll(rollout, aggregates),
  };
}

function locationView(rollout: Rollout, { locations }: Aggregates, location: OpenLocation) {
  const view = locations.get(location.id);
  const counts = view === undefined ? NO_COUNTS : addCounts(bothCounts(view));
  return {
    id: location.id,
    children: location.children,
    enrolled: view === undefined ? 0 : enrolledIn(view),
    held: location.held ?? null,
    failed: inRelease(counts, ReleaseStatus.Failed),
    lost: flagged(counts, FLAG.lost),
    stages: stagesOfLocation(rollout, counts, location),
  };
}

function childrenByStatus(rollout: Rollout, totals: Counts): ReleaseView['progress']['children'] {
  const byStatus: ReleaseView['progress']['children'] = { Todo: 0, Doing: 0, Done: 0, Failed: 0 };
  for (const status of [ReleaseStatus.Todo, ReleaseStatus.Doing, ReleaseStatus.Done, ReleaseStatus.Failed] as const) {
    const name = RELEASE_STATUSES[readsAs(rollout, status)];
    byStatus[name] = (byStatus[name] ?? 0) + inRelease(totals, status);
  }
  return byStatus;
}

async function waitView(
  wait: Wait,
  { rollout, aggregates, now }: { rollout: Rollout; aggregates: Aggregates; now: number },
  { snapshots, children }: Reads,
): Promise<ReleaseView['waiting'][number]> {
  const ids = await childrenBehind(wait, rollout, aggregates, snapshots);
  const details = await children.details(ids);
  return {
    location: wait.location,
    stage: wait.stage,
    for: wait.for,
    children: ids,
    details: ids.map((id, i) => waitingChild(id, details[i] ?? null, rollout, now)),
  };
}

/** Some of the children that a wait is about. */
async function childrenBehind(
  { ranks, location, failedStage }: Wait,
  rollout: Rollout,
  { locations }: Aggregates,
  snapshots: Stores['snapshots'],
): Promise<string[]> {
  if (ranks === null || location === null) return [];
  // A location that is one child waits for that child.
  const here = rollout.open.find(({ id }) => id === location);
  if (here === undefined || (rollout.plan.by === 'child' && !isByCohorts(rollout.plan)))
    return locations.has(location) ? [location] : [];
  const within = rollout.plan.direct ? null : here;
  const behind = await snapshots.byRank(rollout, ranks, { limit: NAMED_CHILDREN, within });
  const limit = NAMED_CHILDREN - behind.length;
  if (failedStage === undefined || limit <= 0) return behind;
  return [...behind, ...(await snapshots.failedIn(rollout, failedStage, { limit, within }))];
}

function waitingChild(id: string, details: ChildDetails | null, { plan, release }: Rollout, now: number) {
  const silentMs = details === null ? null : Math.max(0, now - details.lastSeen);
  const left = silentMs === null || plan.lostAfterMs === null ? null : Math.max(0, plan.lostAfterMs - silentMs);
  return {
    id,
    silent_seconds: silentMs === null ? null : Math.round(silentMs / 1000),
    left_release: details?.leftAt != null,
    runs: details === null || details.underway === release ? null : details.underway,
    lost_in_seconds: left === null ? null : Math.round(left / 1000),
  };
}
