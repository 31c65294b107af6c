/** How a child reads to operators: in the fleet, and in a release. */
import { FLAG, hasFlag } from '#domain/child/flags.ts';
import { endedAt } from '#domain/child/record.ts';
import {
  effectiveReleaseStatus,
  effectiveStageStatus,
  RELEASE_STATUSES,
  ReleaseStatus,
  STAGE_STATUSES,
  StageStatus,
} from '#domain/child/status.ts';
import { unpackSummary } from '#domain/child/summary.ts';
import { childWait } from '#domain/explain/child-waits.ts';
import { isGateOpen, isWithdrawn } from '#domain/rollout/membership.ts';
import type { LocationRef, Rollout } from '#domain/rollout/rollout.ts';
import type { ChildDetails } from '#store/children/child-views.ts';
import type { StoredRecord } from '#store/children/record-codec.ts';
import type { Aggregates } from '#store/releases/snapshot-store.ts';
import type { ReleaseChildView } from '#wire/operator/responses.ts';

const TAKING_BACK_OFFERS: ReadonlySet<Rollout['state']> = new Set(['aborted', 'reverting', 'reverted']);

/** Only what can't be undone takes an offer back: a child in a held location reads Todo and may yet get the release. */
export const readsAs = (rollout: Rollout, status: ReleaseStatus, location: LocationRef | null = null): ReleaseStatus =>
  effectiveReleaseStatus(
    status,
    TAKING_BACK_OFFERS.has(rollout.state) || (location !== null && isWithdrawn(rollout, location)),
  );

/** A known child; `record` null: it isn't enrolled in the release, and reads No. `runs`: the release that it runs. */
export type KnownChild = { id: string; record: StoredRecord | null; leftAt: number | null; runs: string | null };

/** `aggregates` is called only where a child waits for what they say. */
export async function releaseChildView(
  rollout: Rollout,
  child: KnownChild,
  aggregates: () => Promise<Pick<Aggregates, 'locations'>>,
  now: number,
): Promise<ReleaseChildView> {
  const { id, record, leftAt } = child;
  const membership = record?.membership ?? null;
  const status = readsAs(rollout, record?.status ?? ReleaseStatus.No, membership);
  const flags = record?.flags ?? 0;
  const isUnderway = record !== null && endedAt(record) < 0;
  return {
    id,
    release_status: RELEASE_STATUSES[status],
    // Where each child is a location, its wave is none.
    location: membership === null ? null : rollout.plan.by === 'child' ? id : membership.id,
    attempt: record?.attempt ?? null,
    left_release: record?.status === ReleaseStatus.Doing && leftAt !== null,
    lost: isUnderway && hasFlag(flags, FLAG.lost),
    overdue: isUnderway && hasFlag(flags, FLAG.overdue),
    ejected: hasFlag(flags, FLAG.ejected),
    late_joiner: membership?.late ?? false,
    waits_for: await waitOf(rollout, child, aggregates, now),
    stages: rollout.stages.map(({ name, type }, i) => {
      const stage = record?.stages[i];
      const isOpen = record !== null && isOpenTo(rollout, record, i);
      return {
        name,
        type,
        status: STAGE_STATUSES[effectiveStageStatus(stage?.status ?? StageStatus.Pending, isOpen)],
        summary: stage?.kept == null ? null : summaryView(stage.kept.summary),
      };
    }),
  };
}

const isOpenTo = (rollout: Rollout, record: StoredRecord, stage: number): boolean =>
  stage < record.promotedUpTo || isGateOpen(rollout, record.membership, stage, endedAt(record));

async function waitOf(
  rollout: Rollout,
  { record, runs }: KnownChild,
  aggregates: () => Promise<Pick<Aggregates, 'locations'>>,
  now: number,
): Promise<string | null> {
  if (record === null) return childWait(rollout, null, now);
  const { membership } = record;
  const isWaiting = record.stages.some(({ status }) => status === StageStatus.SuccessWaiting);
  const views = isWaiting && rollout.state === 'running' ? (await aggregates()).locations : null;
  return childWait(rollout, { record, membership, view: views?.get(membership.id) ?? null, runs }, now);
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
