/** When a location is through, and when all of the release is. */
import { bothCounts, countedMarks } from './budget.ts';
import { type Counts, ejected, ended, enrolled, inRelease, marked, underway } from './counts.ts';
import type { Snapshot, Step } from './decide.ts';
import { enrolledIn, neededOf } from './gates.ts';
import { MARK } from './marks.ts';
import { isByTurns, isOnItsOwn } from './membership.ts';
import { type OpenLocation, type Rollout, signalledStages } from './rollout.ts';
import { ReleaseStatus } from './status.ts';

/**
 * A location is through once every child enrolled in it has ended, or is lost within the budget, and as many are Done as
 * its quorum wants: silence alone brings nothing to an end. One without children gives way to the next.
 */
function isThrough(rollout: Rollout, location: OpenLocation, snapshot: Snapshot): boolean {
  const { plan } = rollout;
  const view = snapshot.locations.get(location.id);
  if (location.children === null || location.held !== undefined || view === undefined) return false;
  if (rollout.effects.some((effect) => effect.kind === 'enrol' && effect.location === location.id)) return false;
  if (plan.compensates !== null) {
    // It goes on until every child has it, whoever is lost, and whoever is still to be Done with what it takes back.
    const { done, coming, held } = snapshot.source ?? { done: 0, coming: 0, held: 0 };
    return underway(view.counts) + underway(view.late) === 0 && coming + held === 0 && enrolledIn(view) >= done;
  }
  // What nobody has opened by then stays shut: whoever joined late and is still before it would be stuck there.
  if (location.gates.length < signalledStages(rollout).length && underwayNotLost(view.late) > 0) return false;
  const children = location.children - ejected(view.counts);
  // Where nobody was there at its opening, those who came late are all that there is.
  if (children === 0 && enrolled(view.late) > ejected(view.late))
    return hasEnded(rollout, view.late, enrolled(view.late));
  return children === 0 ? hasOthers(rollout, location, snapshot) : hasEnded(rollout, view.counts, children);
}

/** Whether so many children have ended, as many of them well as the plan wants. */
function hasEnded({ plan }: Rollout, counts: Counts, children: number): boolean {
  const accounted = ended(counts) + marked(counts, countedMarks(plan));
  if (accounted < children) return false;
  // Where a child waits for no other, the budget alone says how many may fail.
  if (plan.by === 'child' && plan.stages === 'own-pace') return true;
  return inRelease(counts, ReleaseStatus.Done) >= neededOf(plan, children);
}

/** Somebody has the release or will get it, though nobody here does: in lockstep an empty location would hold them all. */
function hasOthers({ closed, open }: Rollout, { id }: OpenLocation, { next, locations }: Snapshot): boolean {
  if (closed.children > 0 || next.some((each) => each.id !== id)) return true;
  const stay = (each: OpenLocation): number => (each.children ?? 0) - ejected(locations.get(each.id)?.counts ?? NONE);
  return open.some((each) => each.id !== id && stay(each) > 0);
}

const NONE: Counts = new Map();

export const closeLocations: Step = (rollout, snapshot, now) => {
  const through = rollout.open.filter((location) => isThrough(rollout, location, snapshot));
  if (through.length === 0) return rollout;
  const signalled = signalledStages(rollout);
  const open = rollout.open.filter((location) => !through.includes(location));
  // Where a child's own word is all that counts, or it's all of the location, nobody asks for it.
  const isAsked = !isByTurns(rollout.plan) && !isOnItsOwn(rollout.plan);
  const withShut = through.filter(({ gates }) => isAsked && gates.length < signalled.length);
  const shut = withShut.map(({ n, gates }) => ({ n, gates }));
  return {
    ...rollout,
    open,
    closed: {
      locations: rollout.closed.locations + through.length,
      children: rollout.closed.children + through.reduce((sum, location) => sum + (location.children ?? 0), 0),
    },
    shut: [...rollout.shut, ...shut],
    waveEndedAt: open.length === 0 ? now : rollout.waveEndedAt,
  };
};

export const complete: Step = (rollout, snapshot, now) => {
  const { totals, locations, next, ordered } = snapshot;
  if (!ordered || rollout.open.length > 0 || next.length > 0 || rollout.effects.length > 0) return rollout;
  if (rollout.aside.some(({ as }) => as === 'reverting')) return rollout;
  // A start that found nobody to enrol stays running and says so: success needs somebody who succeeded.
  const { closed, plan } = rollout;
  const succeeded = closed.locations > 0 && inRelease(totals, ReleaseStatus.Done) > 0;
  const somebody = plan.compensates === null ? succeeded : closed.locations > 0;
  if (!somebody) return rollout;
  const stay = rollout.aside.reduce((sum, { id }) => {
    const view = locations.get(id);
    return view === undefined ? sum : bothCounts(view).reduce((all, each) => all + underwayNotLost(each), sum);
  }, 0);
  // Late joiners and those who are tried again may be underway in locations that are through.
  if (underwayNotLost(totals) > stay) return rollout;
  return { ...rollout, state: 'completed', endedAt: now };
};

/** Who may still come to an end by themselves. */
export const underwayNotLost = (counts: Counts): number => underway(counts) - marked(counts, MARK.lost | MARK.overdue);
