/** Why a release waits: the conditions that don't hold yet, with their numbers. Read from what `decide` reads. */
import { ReleaseStatus } from '#domain/child/status.ts';
import { type Counts, ejected, inRelease, NO_COUNTS, underwayNotLost } from '#domain/counts/counts.ts';
import { compensationId } from '#domain/rollout/compensation-id.ts';
import type { OpenLocation, Rollout } from '#domain/rollout/rollout.ts';
import { bothCounts, enrolledIn } from '#domain/scheduling/gates.ts';
import { emptyView, type LocationView, type Snapshot, type TakenBack } from '#domain/scheduling/snapshot.ts';
import { waveWaits } from '#domain/scheduling/waves.ts';
import { paceText } from './pace-text.ts';
import { stageWaits } from './stage-waits.ts';
import { general, type Wait } from './wait.ts';

export type WaitView = Pick<
  Snapshot,
  'locations' | 'totals' | 'ordered' | 'order' | 'next' | 'compensations' | 'takenBack'
> & {
  partitionsDone: number;
  partitions: number;
};

const NOBODY: LocationView = emptyView(NO_COUNTS);

export function waitsOf(rollout: Rollout, view: WaitView, now: number): Wait[] {
  const reverting = rollout.withdrawn.flatMap(({ id, n, as }): Wait[] =>
    as === 'reverting' ? [{ ...general(`release ${compensationId(rollout, n)} to take it back`), location: id }] : [],
  );
  if (rollout.state === 'halted') return [general(`an operator: ${rollout.reason ?? 'halted'}`), ...reverting];
  if (rollout.state === 'paused') return [general('an operator to resume it: it is paused'), ...reverting];
  if (rollout.state === 'reverting') return [general(`release ${compensationId(rollout, null)} to take it back`)];
  if (rollout.state !== 'running') return reverting;
  if (rollout.effects.some((effect) => effect.kind === 'assign'))
    return [general(`the order of locations: ${partitionsText(view)}`)];
  const waits = [...rollout.open.flatMap((location) => locationWaits(rollout, location, view, now)), ...reverting];
  if (rollout.plan.compensates !== null && view.takenBack !== null)
    return [...waits, ...takenBackWaits(rollout, view.takenBack)];
  if (waits.length > 0 || rollout.open.length > 0) return waits;
  if (!view.ordered || view.next.length > 0) return [general(waveWaits(rollout, now) ?? turnText(rollout, view))];
  return endWaits(rollout, view);
}

const partitionsText = ({ partitionsDone, partitions }: WaitView): string =>
  `${partitionsDone} of ${partitions} partitions are done`;

/** What a compensating release waits for beside its own children. */
function takenBackWaits({ plan, order }: Rollout, { done, coming, gated }: TakenBack): Wait[] {
  if (coming > 0) return [general(`${coming} children that may still become Done with release ${plan.compensates}`)];
  if (gated > 0)
    return [
      general(
        `${gated} children that wait at a closed gate of release ${plan.compensates} (revert --open-gates lets them pass)`,
      ),
    ];
  return order !== null && order.children === 0 && done > 0 ? [general(`${done} children to be enrolled`)] : [];
}

function turnText(rollout: Rollout, view: WaitView): string {
  const pace = paceText(rollout, view.totals, null);
  return pace === null ? 'the scheduler to open the next location' : `the turn of the next location, ${pace}`;
}

/** Nothing is open, and no location is to come. Late joiners and children that are tried again may still be underway. */
function endWaits({ withdrawn, completed }: Rollout, { totals, locations }: WaitView): Wait[] {
  const stay = withdrawn.flatMap(({ id }) => bothCounts(locations.get(id) ?? NOBODY));
  const left = stay.reduce((sum, counts) => sum - underwayNotLost(counts), underwayNotLost(totals));
  if (left > 0)
    return [
      general(
        `${left} children that are underway in completed locations (promote --child lets one pass a closed gate)`,
      ),
    ];
  if (completed.children > 0 && inRelease(totals, ReleaseStatus.Done) > 0) return [];
  if (withdrawn.length > 0) return [general('an operator: every location was withdrawn')];
  return [completed.children > 0 ? general(noneDone(totals)) : nobodyEnrolled(null)];
}

const nobodyEnrolled = (location: string | null): Wait => ({
  ...general('children: the plan targets none that was seen within FRESH_FOR before the start'),
  location,
});

function locationWaits(rollout: Rollout, location: OpenLocation, view: WaitView, now: number): Wait[] {
  const { id, held, children } = location;
  if (held !== undefined)
    return [{ ...general(`an operator: ${held} (resume, skip or revert this location)`), location: id }];
  const here = view.locations.get(id) ?? NOBODY;
  if (children === null) return [{ ...general(enrolmentText(rollout, id, view)), location: id }];
  const facts = { rollout, location: { ...location, children }, view: here, now };
  const waits = children === 0 ? [] : stageWaits(facts);
  if (waits.length > 0) return waits;
  const late = underwayNotLost(here.late);
  if (late > 0) return [{ ...general(`${late} children that joined late`), location: id }];
  if (children === 0) return rollout.plan.compensates === null ? [nobodyEnrolled(id)] : [];
  return children > ejected(here.counts) ? [] : [{ ...general(ALL_EJECTED), location: id }];
}

function enrolmentText(rollout: Rollout, id: string, view: WaitView): string {
  const here = view.locations.get(id);
  const left = here?.left ?? null;
  if (rollout.plan.by === 'child' && left === null) return 'enrolment';
  const why = left === null ? partitionsText(view) : `${enrolledIn(here ?? NOBODY)} enrolled, ${left} to come`;
  const pace = paceText(rollout, view.totals, here ?? null);
  return `enrolment: ${why}${pace === null ? '' : `, ${pace}`}`;
}

function noneDone(counts: Counts): string {
  const failed = inRelease(counts, ReleaseStatus.Failed);
  return failed === 0 ? ALL_EJECTED : `an operator: no child is Done with it, ${failed} failed`;
}

const ALL_EJECTED = 'an operator: all of its children were ejected';
