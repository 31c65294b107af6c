/** The stages of a release, as operators read them: over all of it, or in one location. */
import { StageStatus, STAGE_STATUSES, type StageStatusName, effectiveStageStatus } from '#domain/child/status.ts';
import { type Counts, inStage, stageMetrics } from '#domain/counts/counts.ts';
import { isByCohorts, isGateOpen, isOnItsOwn } from '#domain/rollout/membership.ts';
import type { OpenLocation, Rollout } from '#domain/rollout/rollout.ts';
import { bothCounts } from '#domain/scheduling/gates.ts';
import type { LocationView } from '#domain/scheduling/snapshot.ts';
import type { Aggregates } from '#store/releases/snapshot-store.ts';
import type { StageProgressView } from '#wire/operator/responses.ts';

/** Stages over all locations. A child at an open gate reads ShouldEnd. */
export const stagesOfAll = (rollout: Rollout, { totals, locations }: Pick<Aggregates, 'totals' | 'locations'>) =>
  stagesOf(rollout, totals, { location: null, ending: (stage) => endingIn(rollout, locations, stage) });

/** Stages of one open location. */
export const stagesOfLocation = (rollout: Rollout, counts: Counts, location: OpenLocation): StageProgressView[] =>
  stagesOf(rollout, counts, { location, ending: () => 0 });

/** `ending`: children that are SuccessWaiting and whose gate is open, where no single location tells. */
type Scope = { location: OpenLocation | null; ending: (stage: number) => number };

function stagesOf(rollout: Rollout, counts: Counts, { location, ending }: Scope): StageProgressView[] {
  return rollout.stages.map(({ name, type }, i) => {
    const isOpen = location !== null && isOpenIn(rollout, location, i);
    const { f1, f2, e1, e2 } = stageMetrics(counts, i);
    return {
      name,
      type,
      ...childrenByStatus(counts, i, { isOpen, ending: ending(i) }),
      gate: type !== 'WaitForSignal' || location === null ? null : isOpen ? 'open' : 'closed',
      metrics: { f1_response_ms: f1, f2_response_ms: f2, f1_error_rate: e1, f2_error_rate: e2 },
    };
  });
}

function childrenByStatus(counts: Counts, stage: number, { isOpen, ending }: { isOpen: boolean; ending: number }) {
  const byStatus: Partial<Record<StageStatusName, number>> = {};
  const add = (status: StageStatus, count: number): void => {
    if (count > 0) byStatus[STAGE_STATUSES[status]] = (byStatus[STAGE_STATUSES[status]] ?? 0) + count;
  };
  for (const status of Object.values(StageStatus)) {
    const count = inStage(counts, stage, status);
    const shouldEnd = status === StageStatus.SuccessWaiting ? Math.min(ending, count) : 0;
    add(StageStatus.ShouldEnd, shouldEnd);
    add(effectiveStageStatus(status, isOpen), count - shouldEnd);
  }
  return byStatus;
}

const isOpenIn = (rollout: Rollout, location: OpenLocation, stage: number): boolean =>
  location.gates.includes(stage) || isOpenToEach(rollout, location);

/** In a wave of children that pass gates on their own, each child's own report opens its gate. */
const isOpenToEach = (rollout: Rollout, { n, id }: OpenLocation): boolean =>
  isByCohorts(rollout.plan) && isOnItsOwn(rollout.plan) && isGateOpen(rollout, { n, id }, 0, -1);

/** Children, over all open locations, that are SuccessWaiting in a stage whose gate is open to them. */
const endingIn = (rollout: Rollout, views: Aggregates['locations'], stage: number): number =>
  rollout.open
    .filter((location) => isOpenIn(rollout, location, stage))
    .reduce((sum, { id }) => sum + waitingIn(views.get(id), stage), 0);

const waitingIn = (view: LocationView | undefined, stage: number): number =>
  view === undefined
    ? 0
    : bothCounts(view).reduce((sum, counts) => sum + inStage(counts, stage, StageStatus.SuccessWaiting), 0);
