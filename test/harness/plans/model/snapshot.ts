/** What a tick reads of a fleet, all of it counted anew. */
import { StageStatus } from '#domain/child/status.ts';
import type { CompensationView, FailedChild, LocationView, Snapshot } from '#domain/scheduling/snapshot.ts';
import type { Child } from './child.ts';
import { countsOf } from './counts.ts';
import { nextOnes } from './enrolment.ts';
import { type FleetState, isThere, membersOf, toCome } from './state.ts';

/** How many seconds a compensating release takes. */
const TAKING_BACK = 3;

export function snapshotOf(state: FleetState): Snapshot {
  const { children, rollout, isAssigned } = state;
  const enrolled = children.filter((child) => child.enrolledAt !== null);
  const locations = [...(rollout?.open ?? []), ...(rollout?.withdrawn ?? [])];
  const compensations = [...state.compensated].map(
    ([location, at]) => [location, compensationOf(state, location, at)] as const,
  );
  return {
    totals: countsOf(enrolled),
    locations: new Map(locations.map(({ id }) => [id, viewOf(state, id)])),
    next: nextOnes(state),
    ordered: isAssigned,
    order: state.isDirect || !isAssigned ? null : orderOf(state),
    failed: failedOf(enrolled),
    compensations: new Map(compensations),
    takenBack: null,
  };
}

function orderOf(state: FleetState): Snapshot['order'] {
  const { order, rollout, plan } = state;
  const known = state.children.filter((child) => child.enrolledAt !== null || (!child.isOut && isThere(state, child)));
  const left =
    plan.locations.by === 'child' ? nextOnes(state).length : order.length - (rollout?.started.locations ?? 0);
  return { locations: order.length, children: known.length, outside: 0, left };
}

/** `location` '': of all. */
function compensationOf({ children, now }: FleetState, location: string, startedAt: number): CompensationView {
  const isMeant = (child: Child): boolean =>
    child.enrolledAt !== null && (location === '' || child.location === location);
  return {
    completed: now - startedAt >= TAKING_BACK * 1000,
    unreached: children.filter((child) => child.lost && isMeant(child)).length,
    aborted: false,
  };
}

function viewOf(state: FleetState, location: string): LocationView {
  const own = membersOf(state, location);
  return {
    counts: countsOf(own.filter(({ late }) => !late)),
    late: countsOf(own.filter(({ late }) => late)),
    left: state.isDirect || state.byTurns ? null : toCome(state, location).length,
    enrolled: enrolledIn(state, location, own.length),
    failed: failedOf(own),
  };
}

/** Where nobody was assigned beforehand, and enrolment is complete. */
function enrolledIn(state: FleetState, location: string, members: number): number | null {
  if (state.isDirect) return state.isEnrolmentComplete ? members : null;
  if (!state.byTurns) return null;
  if (members === 1) return 1;
  // Gone before its turn came.
  const turn = state.children.find(({ id }) => id === location);
  return turn === undefined || !isThere(state, turn) ? 0 : null;
}

function failedOf(children: readonly Child[]): FailedChild | null {
  const child = children.find(({ ended }) => ended === 'Failed');
  if (child === undefined) return null;
  return { child: child.id, stage: child.stage, status: child.statuses[child.stage] ?? StageStatus.Failure };
}
