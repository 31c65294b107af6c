/** How a release, and a child in it, read to operators. */
import { bothCounts } from '#domain/budget.ts';
import { addCounts, type Counts, ejected, inRelease, inStage, marked, stageMetrics } from '#domain/counts.ts';
import { enrolledIn } from '#domain/gates.ts';
import { MARK } from '#domain/marks.ts';
import { endedAt } from '#domain/record.ts';
import { gatePassed, isByCohorts, isOnItsOwn, isWithdrawn, parseMembership, type Place } from '#domain/membership.ts';
import { compensationId, type OpenLocation, type Rollout } from '#domain/rollout.ts';
import {
  effectiveReleaseStatus,
  effectiveStageStatus,
  RELEASE_STATUSES,
  ReleaseStatus,
  STAGE_STATUSES,
  StageStatus,
  type StageStatusName,
} from '#domain/status.ts';
import { unpackSummary } from '#domain/summary.ts';
import { childWait } from '#domain/waiting-child.ts';
import { type Wait, waitsOf } from '#domain/waiting.ts';
import type { LocationView } from '#domain/decide.ts';
import type { ChildDetails } from '#store/child-store.ts';
import type { StoredRecord } from '#store/record-codec.ts';
import type { Release } from '#store/release-store.ts';
import type { Aggregates } from '#store/snapshot-store.ts';
import type { Stores } from '#store/stores.ts';
import type { ReleaseChildView, ReleaseView, StageProgressView } from '#wire/operator.ts';
import { planView } from '#wire/plan-view.ts';

const NAMED_CHILDREN = 10;

const isoTime = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

const WITHDRAWN: ReadonlySet<Rollout['state']> = new Set(['aborted', 'reverting', 'reverted']);

/** Only what can't be undone takes an offer back: a child that is held reads Todo and may yet get the release. */
export const readsAs = (rollout: Rollout, status: ReleaseStatus, place: Place | null = null): ReleaseStatus =>
  effectiveReleaseStatus(status, WITHDRAWN.has(rollout.state) || (place !== null && isWithdrawn(rollout, place)));

export function releaseItem({ strategy, publishedAt }: Release, rollout: Rollout) {
  return {
    id: strategy.id,
    name: strategy.name,
    type: strategy.type,
    state: rollout.state,
    reason: rollout.reason,
    plan: { name: rollout.plan.name },
    published_at: new Date(publishedAt).toISOString(),
    started_at: isoTime(rollout.startedAt),
    ended_at: isoTime(rollout.endedAt),
  };
}

/** `most`: how many open locations, and how many waits, are told. */
export async function releaseView(
  release: Release,
  rollout: Rollout,
  { snapshots, children, releases }: Pick<Stores, 'snapshots' | 'children' | 'releases'>,
  now: number,
  most = Infinity,
): Promise<ReleaseView> {
  const [aggregates, plan] = await Promise.all([snapshots.aggregates(rollout), releases.plan(rollout.release)]);
  const waits = waitsOf(rollout, { ...aggregates, partitions: children.partitions }, now);
  const waiting = await Promise.all(
    waits.slice(0, most).map(async (wait) => {
      const ids = await namesIn(wait, rollout, aggregates, snapshots);
      const details = await children.details(ids);
      return {
        location: wait.location,
        stage: wait.stage,
        for: wait.for,
        children: ids,
        details: ids.map((id, i) => waitingChild(id, details[i] ?? null, rollout, now)),
      };
    }),
  );
  return {
    ...releaseItem(release, rollout),
    plan: plan === null ? { name: rollout.plan.name } : { ...planView(plan), name: plan.name },
    version: rollout.version,
    warnings: [...release.warnings],
    progress: {
      children: childrenByStatus(rollout, aggregates.totals),
      lost: marked(aggregates.totals, MARK.lost),
      overdue: marked(aggregates.totals, MARK.overdue),
      ejected: ejected(aggregates.totals),
      not_enrolled: { silent: aggregates.silent, outside: rollout.order?.outside ?? 0 },
      waves_started: rollout.started.waves,
      waves_approved: rollout.approvedWaves,
      to_skip: rollout.skip.filter((id) => !rollout.aside.some((each) => each.id === id)),
      locations_through: rollout.closed.locations,
      locations_to_come: aggregates.order?.left ?? 0,
      locations: rollout.open.slice(0, most).map((location) => locationView(rollout, aggregates, location)),
      aside: rollout.aside.map(({ id, n, as, reason, children: count }) => ({
        id,
        as,
        reason,
        children: count,
        release: as === 'reverting' || as === 'reverted' ? compensationId(rollout, n) : null,
      })),
      stages: stagesOf(rollout, aggregates.totals, null, letThrough(rollout, aggregates)),
    },
    reverted_by: rollout.state === 'reverting' || rollout.state === 'reverted' ? compensationId(rollout, null) : null,
    waiting,
  };
}

function locationView(rollout: Rollout, { locations }: Aggregates, location: OpenLocation) {
  const view = locations.get(location.id);
  const counts = view === undefined ? new Map<string, number>() : addCounts(bothCounts(view));
  return {
    id: location.id,
    children: location.children,
    enrolled: view === undefined ? 0 : enrolledIn(view),
    held: location.held ?? null,
    failed: inRelease(counts, ReleaseStatus.Failed),
    lost: marked(counts, MARK.lost),
    stages: stagesOf(rollout, counts, location),
  };
}

async function namesIn(
  wait: Wait,
  rollout: Rollout,
  { locations }: Aggregates,
  snapshots: Stores['snapshots'],
): Promise<string[]> {
  if (wait.ranks === null || wait.location === null) return [];
  // A location that is one child waits for that child.
  const here = rollout.open.find(({ id }) => id === wait.location);
  if (here === undefined || (rollout.plan.by === 'child' && !isByCohorts(rollout.plan)))
    return locations.has(wait.location) ? [wait.location] : [];
  const within = rollout.plan.direct ? null : here;
  const behind = await snapshots.byRank(rollout, ...wait.ranks, NAMED_CHILDREN, within);
  if (wait.failedStage === undefined || behind.length >= NAMED_CHILDREN) return behind;
  return [...behind, ...(await snapshots.failedIn(rollout, wait.failedStage, NAMED_CHILDREN - behind.length, within))];
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

function childrenByStatus(rollout: Rollout, totals: Counts): ReleaseView['progress']['children'] {
  const byStatus: ReleaseView['progress']['children'] = { Todo: 0, Doing: 0, Done: 0, Failed: 0 };
  for (const status of [ReleaseStatus.Todo, ReleaseStatus.Doing, ReleaseStatus.Done, ReleaseStatus.Failed] as const) {
    const name = RELEASE_STATUSES[readsAs(rollout, status)];
    byStatus[name] = (byStatus[name] ?? 0) + inRelease(totals, status);
  }
  return byStatus;
}

/** Each child of a wave of children is let through by its own word. */
const isOpenToEach = (rollout: Rollout, { n, id }: OpenLocation): boolean =>
  isByCohorts(rollout.plan) && isOnItsOwn(rollout.plan) && gatePassed(rollout, { n, id }, 0, -1);

/** Stages of one location, or (with location null) over all of them; `through` are those whom an open gate lets go. */
function stagesOf(
  rollout: Rollout,
  counts: Counts,
  location: OpenLocation | null,
  through: (stage: number) => number = () => 0,
): StageProgressView[] {
  return rollout.stages.map(({ name, type }, i) => {
    const open = location !== null && (location.gates.includes(i) || isOpenToEach(rollout, location));
    const byStatus: Partial<Record<StageStatusName, number>> = {};
    const add = (status: StageStatus, count: number): void => {
      if (count > 0) byStatus[STAGE_STATUSES[status]] = (byStatus[STAGE_STATUSES[status]] ?? 0) + count;
    };
    for (const status of Object.values(StageStatus)) {
      const count = inStage(counts, i, status);
      const ending = status === StageStatus.SuccessWaiting ? Math.min(through(i), count) : 0;
      add(StageStatus.ShouldEnd, ending);
      add(effectiveStageStatus(status, open), count - ending);
    }
    const { f1, f2, e1, e2 } = stageMetrics(counts, i);
    const signalled = type === 'WaitForSignal' && location !== null;
    const gate = !signalled ? null : open ? ('open' as const) : ('closed' as const);
    return {
      name,
      type,
      ...byStatus,
      gate,
      metrics: { f1_response_ms: f1, f2_response_ms: f2, f1_error_rate: e1, f2_error_rate: e2 },
    };
  });
}

/** How many children, over all open locations, wait in a stage whose gate is open to them. */
const letThrough =
  (rollout: Rollout, { locations }: Pick<Aggregates, 'locations'>) =>
  (stage: number): number =>
    rollout.open
      .filter((location) => location.gates.includes(stage) || isOpenToEach(rollout, location))
      .reduce((sum, { id }) => sum + waitingIn(locations.get(id), stage), 0);

const waitingIn = (view: LocationView | undefined, stage: number): number =>
  view === undefined
    ? 0
    : bothCounts(view).reduce((sum, counts) => sum + inStage(counts, stage, StageStatus.SuccessWaiting), 0);

/** Why a child doesn't get on; asks for the aggregates only where they are what it waits for. */
export async function childWaits(
  id: string,
  rollout: Rollout,
  record: StoredRecord | null,
  aggregates: () => Promise<Pick<Aggregates, 'locations'>>,
  runs: string | null,
  now: number,
): Promise<string | null> {
  const membership = record === null ? null : parseMembership(record.membership, id);
  const waits = record?.stages.some(({ status }) => status === StageStatus.SuccessWaiting) ?? false;
  const views = waits && rollout.state === 'running' ? (await aggregates()).locations : null;
  return childWait(rollout, record, membership, views?.get(membership?.id ?? '') ?? null, now, runs);
}

/** A child in a release; `record` null: it's known but not enrolled, and reads No. */
export function releaseChildView(
  id: string,
  rollout: Rollout,
  record: StoredRecord | null,
  leftAt: number | null,
  wait: string | null,
): ReleaseChildView {
  const membership = record === null ? null : parseMembership(record.membership, id);
  const status = readsAs(rollout, record?.status ?? ReleaseStatus.No, membership);
  const marks = record === null || endedAt(record) >= 0 ? 0 : record.marks;
  return {
    id,
    release_status: RELEASE_STATUSES[status],
    // Where each child is a location, its wave is none.
    location: membership === null ? null : rollout.plan.by === 'child' ? id : membership.id,
    attempt: record?.attempt ?? null,
    left_release: record?.status === ReleaseStatus.Doing && leftAt !== null,
    lost: (marks & MARK.lost) > 0,
    overdue: (marks & MARK.overdue) > 0,
    ejected: ((record?.marks ?? 0) & MARK.ejected) > 0,
    late_joiner: membership?.late ?? false,
    waits_for: wait,
    stages: rollout.stages.map(({ name, type }, i) => {
      const stage = record?.stages[i];
      const open =
        record !== null &&
        membership !== null &&
        (i < record.hand || gatePassed(rollout, membership, i, endedAt(record)));
      return {
        name,
        type,
        status: STAGE_STATUSES[effectiveStageStatus(stage?.status ?? StageStatus.Pending, open)],
        summary: stage?.kept == null ? null : summaryView(stage.kept.summary),
      };
    }),
  };
}

function summaryView(packed: string): ReleaseChildView['stages'][number]['summary'] {
  const { proxy, f1, f2, f1ErrRate, f2ErrRate } = unpackSummary(packed);
  return {
    proxy_times: proxy,
    f1_times_summary: f1,
    f2_times_summary: f2,
    f1_err_rate: f1ErrRate,
    f2_err_rate: f2ErrRate,
  };
}

export const childView = (child: ChildDetails) => ({
  id: child.id,
  geographic_area: { type: 'Polygon' as const, coordinates: child.area },
  number_of_children: child.childCount,
  first_seen: new Date(child.firstSeen).toISOString(),
  last_seen: new Date(child.lastSeen).toISOString(),
  release: child.underway,
  left_release: child.leftAt !== null,
});
