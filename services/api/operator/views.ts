/** How a release, and a child in it, read to operators. */
import { type Counts, inRelease, inStage, stageMetrics } from '#domain/counts.ts';
import { gatePassed, type OpenLocation, type Rollout } from '#domain/rollout.ts';
import { endedAt } from '#domain/record.ts';
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
import { type Wait, waitsOf } from '#domain/waiting.ts';
import type { ChildDetails } from '#store/child-store.ts';
import type { StoredRecord } from '#store/record-codec.ts';
import type { Release } from '#store/release-store.ts';
import type { Aggregates } from '#store/snapshot-store.ts';
import type { Stores } from '#store/stores.ts';
import type { ReleaseChildView, ReleaseView, StageProgressView } from '#wire/operator.ts';

const NAMED_CHILDREN = 10;

const isoTime = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

/** Only an abort takes an offer back: a child that is held reads Todo and may yet get the release. */
export const readsAs = (rollout: Rollout, status: ReleaseStatus): ReleaseStatus =>
  effectiveReleaseStatus(status, rollout.state === 'aborted');

export function releaseItem({ strategy, publishedAt }: Release, rollout: Rollout) {
  return {
    id: strategy.id,
    name: strategy.name,
    type: strategy.type,
    state: rollout.state,
    reason: rollout.reason,
    plan: { name: rollout.plan.name as ReleaseView['plan']['name'] },
    published_at: new Date(publishedAt).toISOString(),
    started_at: isoTime(rollout.startedAt),
    ended_at: isoTime(rollout.endedAt),
  };
}

export async function releaseView(
  release: Release,
  rollout: Rollout,
  { snapshots, children }: Pick<Stores, 'snapshots' | 'children'>,
  now: number,
): Promise<ReleaseView> {
  const aggregates = await snapshots.aggregates(rollout);
  const waits = waitsOf(rollout, { ...aggregates, partitions: children.partitions });
  const waiting = await Promise.all(
    waits.map(async (wait) => {
      const ids = await namesIn(wait, rollout, aggregates, snapshots);
      const details = await children.details(ids);
      return {
        location: wait.location,
        stage: wait.stage,
        for: wait.for,
        children: ids,
        details: ids.map((id, i) => waitingChild(id, details[i] ?? null, now)),
      };
    }),
  );
  return {
    ...releaseItem(release, rollout),
    version: rollout.version,
    warnings: [...release.warnings],
    progress: {
      children: childrenByStatus(rollout, aggregates.totals),
      not_enrolled: { silent: aggregates.silent },
      locations_through: rollout.closed.locations,
      locations_to_come: aggregates.waiting,
      locations: rollout.open.map((location) => ({
        id: location.id,
        children: location.children,
        stages: stagesOf(rollout, aggregates.locations.get(location.id)?.counts ?? new Map(), location),
      })),
      stages: stagesOf(rollout, aggregates.totals, null, letThrough(rollout, aggregates)),
    },
    waiting,
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
  if (rollout.plan.locations === 'child') return locations.has(wait.location) ? [wait.location] : [];
  const behind = await snapshots.byRank(rollout.release, ...wait.ranks, NAMED_CHILDREN);
  if (wait.failedStage === undefined || behind.length >= NAMED_CHILDREN) return behind;
  return [...behind, ...(await snapshots.failedIn(rollout, wait.failedStage, NAMED_CHILDREN - behind.length))];
}

const waitingChild = (id: string, details: ChildDetails | null, now: number) => ({
  id,
  silent_seconds: details === null ? null : Math.max(0, Math.round((now - details.lastSeen) / 1000)),
  left_release: details?.leftAt != null,
});

function childrenByStatus(rollout: Rollout, totals: Counts): ReleaseView['progress']['children'] {
  const byStatus: ReleaseView['progress']['children'] = { Todo: 0, Doing: 0, Done: 0, Failed: 0 };
  for (const status of [ReleaseStatus.Todo, ReleaseStatus.Doing, ReleaseStatus.Done, ReleaseStatus.Failed] as const) {
    const name = RELEASE_STATUSES[readsAs(rollout, status)];
    byStatus[name] = (byStatus[name] ?? 0) + inRelease(totals, status);
  }
  return byStatus;
}

/** Stages of one location, or (with location null) over all of them; `through` are those whom an open gate lets go. */
function stagesOf(
  rollout: Rollout,
  counts: Counts,
  location: OpenLocation | null,
  through: (stage: number) => number = () => 0,
): StageProgressView[] {
  return rollout.stages.map(({ name, type }, i) => {
    const open = location?.gates.includes(i) ?? false;
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
      .filter(({ gates }) => gates.includes(stage))
      .reduce(
        (sum, { id }) => sum + inStage(locations.get(id)?.counts ?? new Map(), stage, StageStatus.SuccessWaiting),
        0,
      );

/** A child in a release; `record` null: it's known but not enrolled, and reads No. */
export function releaseChildView(
  id: string,
  rollout: Rollout,
  record: StoredRecord | null,
  leftAt: number | null,
): ReleaseChildView {
  const status = readsAs(rollout, record?.status ?? ReleaseStatus.No);
  return {
    id,
    release_status: RELEASE_STATUSES[status],
    location: record?.location ?? null,
    attempt: record?.attempt ?? null,
    left_release: record?.status === ReleaseStatus.Doing && leftAt !== null,
    stages: rollout.stages.map(({ name, type }, i) => {
      const stage = record?.stages[i];
      const open = record !== null && gatePassed(rollout, record.location, i, endedAt(record));
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
