/** When a location has completed, and when all of the release has. */
import { ReleaseStatus } from '#domain/child/status.ts';
import {
  type Counts,
  ejected,
  ended,
  flagged,
  inRelease,
  NO_COUNTS,
  underway,
  underwayNotLost,
} from '#domain/counts/counts.ts';
import { isByTurns, isOnItsOwn } from '#domain/rollout/membership.ts';
import { type OpenLocation, type Rollout, signalledStages } from '#domain/rollout/rollout.ts';
import { countedFlags } from './budget.ts';
import { bothCounts, enrolledIn, neededOf } from './gates.ts';
import type { LocationView, Snapshot, Step } from './snapshot.ts';

/**
 * A location has completed once every child enrolled in it has ended, or is lost within the budget, and as many are Done as
 * its quorum wants: silence alone brings nothing to an end. One without children gives way to the next.
 */
function hasCompleted(rollout: Rollout, location: OpenLocation, snapshot: Snapshot): boolean {
  const view = snapshot.locations.get(location.id);
  if (location.children === null || location.held !== undefined || view === undefined) return false;
  if (rollout.effects.some((effect) => effect.kind === 'enrol' && effect.location === location.id)) return false;
  if (rollout.plan.compensates !== null) return hasTakenBack(view, snapshot);
  // A gate that has not opened by then stays closed: a late joiner that is still before it would be stuck there.
  if (location.gates.length < signalledStages(rollout).length && underwayNotLost(view.late) > 0) return false;
  const children = location.children - ejected(view.counts);
  // Where nobody was there at its opening, late joiners are all that there is.
  if (children === 0 && view.late.enrolled > ejected(view.late))
    return hasEnded(rollout, view.late, view.late.enrolled);
  return children === 0 ? hasOthers(rollout, location, snapshot) : hasEnded(rollout, view.counts, children);
}

/** A compensating release goes on until every child has it: lost ones too, and those still to be Done with what it takes back. */
function hasTakenBack(view: LocationView, { takenBack }: Snapshot): boolean {
  const { done, coming, gated } = takenBack ?? { done: 0, coming: 0, gated: 0 };
  return underway(view.counts) + underway(view.late) === 0 && coming + gated === 0 && enrolledIn(view) >= done;
}

/** Whether so many children have ended, as many of them well as the plan wants. */
function hasEnded({ plan }: Rollout, counts: Counts, children: number): boolean {
  const accounted = ended(counts) + flagged(counts, countedFlags(plan));
  if (accounted < children) return false;
  // Where a child waits for no other, the budget alone says how many may fail.
  if (plan.by === 'child' && plan.stages === 'own-pace') return true;
  return inRelease(counts, ReleaseStatus.Done) >= neededOf(plan, children);
}

/** Another location has the release or will get it, though no child here does: in lockstep an empty location would stop them all. */
function hasOthers({ completed, open }: Rollout, { id }: OpenLocation, { next, locations }: Snapshot): boolean {
  if (completed.children > 0 || next.some((each) => each.id !== id)) return true;
  const stay = (each: OpenLocation): number =>
    (each.children ?? 0) - ejected(locations.get(each.id)?.counts ?? NO_COUNTS);
  return open.some((each) => each.id !== id && stay(each) > 0);
}

export const completeLocations: Step = (rollout, snapshot, now) => {
  const done = rollout.open.filter((location) => hasCompleted(rollout, location, snapshot));
  if (done.length === 0) return rollout;
  const open = rollout.open.filter((location) => !done.includes(location));
  return {
    ...rollout,
    open,
    completed: {
      locations: rollout.completed.locations + done.length,
      children: rollout.completed.children + done.reduce((sum, location) => sum + (location.children ?? 0), 0),
    },
    neverOpened: [...rollout.neverOpened, ...closedGatesOf(rollout, done)],
    waveEndedAt: open.length === 0 ? now : rollout.waveEndedAt,
  };
};

/** Where a child's own word is all that counts, or it's all of the location, nobody asks for a gate. */
function closedGatesOf(rollout: Rollout, done: readonly OpenLocation[]): Rollout['neverOpened'] {
  if (isByTurns(rollout.plan) || isOnItsOwn(rollout.plan)) return [];
  const signalled = signalledStages(rollout);
  return done.flatMap(({ n, gates }) => {
    const stages = signalled.filter((stage) => !gates.includes(stage));
    return stages.length === 0 ? [] : [{ n, stages }];
  });
}

export const completeRollout: Step = (rollout, snapshot, now) => {
  const { totals, locations, next, ordered } = snapshot;
  if (!ordered || rollout.open.length > 0 || next.length > 0 || rollout.effects.length > 0) return rollout;
  if (rollout.withdrawn.some(({ as }) => as === 'reverting')) return rollout;
  // A start that found nobody to enrol stays running and says so: success needs a child that succeeded.
  const { completed, plan } = rollout;
  const succeeded = completed.locations > 0 && inRelease(totals, ReleaseStatus.Done) > 0;
  const hasSucceeded = plan.compensates === null ? succeeded : completed.locations > 0;
  if (!hasSucceeded) return rollout;
  const stay = rollout.withdrawn.reduce((sum, { id }) => {
    const view = locations.get(id);
    return view === undefined ? sum : bothCounts(view).reduce((all, each) => all + underwayNotLost(each), sum);
  }, 0);
  // Late joiners and children that are tried again may be underway in locations that have completed.
  if (underwayNotLost(totals) > stay) return rollout;
  return { ...rollout, state: 'completed', endedAt: now };
};
