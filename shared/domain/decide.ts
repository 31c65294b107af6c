/**
 * The scheduler's mind: state and aggregates in, new state out. Pure; a plan is numbers in it, never a name.
 *
 * Never fail open (law 4): every step forward is taken by a condition that holds on counts that are complete. Nothing
 * is taken from a location that some partition hasn't marked as enrolled, or that has no children.
 */
import { closeLocations, complete } from './closing.ts';
import { type Counts, enrolled } from './counts.ts';
import { enrolledIn, hasEntered, isMet, type LocationCounts, requirementsOf } from './gates.ts';
import { enrolMore, openLocations } from './opening.ts';
import { isCapped } from './pace.ts';
import { isByCohorts } from './membership.ts';
import { type Effect, isSettled, type OpenLocation, type Rollout, signalledStages } from './rollout.ts';
import type { StageStatus } from './status.ts';
import { forgiveNoMore, stopLocations, stopOnBudget } from './stopping.ts';

/** One of the children that Failed. */
export type FailedChild = { child: string; stage: number; status: StageStatus };

export type LocationView = LocationCounts & {
  /** Children who belong to it and are still to be enrolled; null where nobody was assigned beforehand. */
  left: number | null;
  /** Where nobody was: the children enrolled, once every partition has marked it. */
  enrolled: number | null;
  failed: FailedChild | null;
};

/** How far a compensating release is, as the release that it takes back sees it. */
export type CompensationView = { through: boolean; unreached: number; aborted: boolean };

/** What a tick reads. */
export type Snapshot = {
  /** Over all locations, closed ones too. */
  totals: Counts;
  /** Of the locations that are open or were set aside. */
  locations: ReadonlyMap<string, LocationView>;
  /** Locations whose turn comes next, first ones first, with their members: as many as a wave may take. */
  next: readonly { id: string; members: number | null }[];
  /** The order of locations is known and `next` tells the truth. */
  ordered: boolean;
  /** What the order holds; null where there is none. `left`: locations (or children) whose turn is still to come. */
  order: { locations: number; children: number; outside: number; left: number } | null;
  /** One of the children that Failed, for the reason. */
  failed: FailedChild | null;
  /** By the location that is taken back, '' = the whole release. One that isn't started yet is absent. */
  compensations: ReadonlyMap<string, CompensationView>;
  /** Of the release that this one takes back: children that are Done there, and that will yet be. */
  source: { done: number; coming: number; held: number } | null;
  /** Why the plan can't be carried out, where that turned out only when its locations were known. */
  fault?: string;
};

export type Step = (rollout: Rollout, snapshot: Snapshot, now: number) => Rollout;

/** The same object when there is nothing to change, so that an idle tick writes nothing. */
export const decide: Step = (rollout, snapshot, now) => {
  const settled = settleAsides(settleEffects(rollout, snapshot, now), snapshot, now);
  if (settled.state === 'reverting') return takeBack(settled, snapshot, now);
  if (settled.state !== 'running') return settled;
  if (snapshot.fault !== undefined) return { ...settled, state: 'halted', reason: snapshot.fault, endedAt: now };
  const steps = [
    forgiveNoMore,
    stopOnBudget,
    stopLocations,
    noteStages,
    enrolMore,
    openGates,
    closeLocations,
    openLocations,
    complete,
  ];
  return steps.reduce((state, step) => (state.state === 'running' ? step(state, snapshot, now) : state), settled);
};

/**
 * Children enrolled in a location, once that is known for good. In waves of children those who are left belong to other
 * waves. Where a limited number may have it at once, who joins meanwhile might never find a place: the gates don't wait.
 */
function childrenIn({ plan }: Rollout, { members }: OpenLocation, view: LocationView): number | null {
  if (view.left === null) return view.enrolled;
  const count = enrolled(view.counts);
  if (view.left === 0) return count;
  const isFull = members !== null && count >= members;
  return isFull && (isByCohorts(plan) || isCapped(plan)) ? count : null;
}

const settleEffects: Step = (rollout, snapshot) => {
  if (isSettled(rollout)) return rollout;
  let changed = false;
  const open = rollout.open.map((location): OpenLocation => {
    const view = snapshot.locations.get(location.id);
    if (view === undefined) return location;
    // A job that was overtaken may still have added one of its own: its gates wait for that one too.
    const children =
      location.children === null
        ? childrenIn(rollout, location, view)
        : Math.max(location.children, enrolled(view.counts));
    if (children === location.children) return location;
    changed = true;
    return { ...location, children };
  });
  const isDone = (effect: Effect): boolean => {
    if (effect.kind === 'order') return snapshot.ordered;
    if (effect.kind === 'compensate') return snapshot.compensations.has(effect.location ?? '');
    const view = snapshot.locations.get(effect.location);
    if (view === undefined) return !open.some(({ id }) => id === effect.location);
    if (view.left === null) return view.enrolled !== null;
    return view.left === 0 || (effect.upTo !== null && enrolledIn(view) >= effect.upTo);
  };
  const effects = rollout.effects.filter((effect) => !isDone(effect));
  const order = rollout.order ?? (snapshot.ordered ? snapshot.order : null);
  if (!changed && effects.length === rollout.effects.length && (order === null || rollout.order !== null))
    return rollout;
  const known = order && { locations: order.locations, children: order.children, outside: order.outside };
  return { ...rollout, open, effects, order: known };
};

/** Locations that are taken back: by the compensating release's word. */
const settleAsides: Step = (rollout, { compensations }) => {
  if (isSettled(rollout)) return rollout;
  const isBack = (id: string): boolean => compensations.get(id)?.through === true;
  if (!rollout.aside.some(({ as, id }) => as === 'reverting' && isBack(id))) return rollout;
  const aside = rollout.aside.map((each) =>
    each.as === 'reverting' && isBack(each.id)
      ? { ...each, as: 'reverted' as const, reason: `${each.reason}${unreachedText(compensations.get(each.id))}` }
      : each,
  );
  return { ...rollout, aside };
};

const takeBack: Step = (rollout, { compensations }, now) => {
  const view = compensations.get('');
  if (view === undefined || !view.through) return rollout;
  return { ...rollout, state: 'reverted', reason: `${rollout.reason ?? ''}${unreachedText(view)}`, endedAt: now };
};

function unreachedText(view: CompensationView | undefined): string {
  if (view === undefined) return '';
  if (view.aborted) return ' (the compensating release was aborted before every child had it)';
  return view.unreached > 0 ? ` (${view.unreached} children could not be reached yet)` : '';
}

/** Since when stages are entered, and their conditions hold: kept only where the plan asks for it. */
const noteStages: Step = (rollout, { locations }, now) => {
  const { advance, deadline } = rollout.plan;
  if (advance.soakMs === 0 && deadline === null) return rollout;
  let changed = false;
  const open = rollout.open.map((location) => {
    const view = locations.get(location.id);
    if (view === undefined || location.children === null || location.held !== undefined) return location;
    const since: Record<number, number> = { ...location.since };
    const met: Record<number, number> = { ...location.met };
    let noted = false;
    for (const stage of signalledStages(rollout)) {
      if (location.gates.includes(stage)) continue;
      if (deadline !== null && since[stage] === undefined && hasEntered(view, stage)) {
        since[stage] = now;
        noted = true;
      }
      if (advance.soakMs === 0) continue;
      const isNow = isMet(requirementsOf(rollout, location, view, stage, now));
      if (isNow === (met[stage] !== undefined)) continue;
      noted = true;
      if (isNow) met[stage] = now;
      else delete met[stage];
    }
    if (!noted) return location;
    changed = true;
    return { ...location, since, met };
  });
  return changed ? { ...rollout, open } : rollout;
};

const openGates: Step = (rollout, snapshot, now) => {
  const holds = (location: OpenLocation, stage: number): boolean => {
    const view = snapshot.locations.get(location.id);
    if (view === undefined || location.held !== undefined) return false;
    return requirementsOf(rollout, location, view, stage, now).every((each) => each.holds);
  };
  const signalled = signalledStages(rollout);
  // In lockstep a stage that has ended in a location already holds there.
  const isThrough = (location: OpenLocation, stage: number): boolean =>
    location.gates.includes(stage) || holds(location, stage);
  const isLockstep = rollout.plan.stages === 'lockstep';
  const ending = isLockstep ? signalled.filter((stage) => rollout.open.every((each) => isThrough(each, stage))) : [];
  const opens = (location: OpenLocation, stage: number): boolean =>
    !location.gates.includes(stage) && (isLockstep ? ending.includes(stage) : holds(location, stage));
  let changed = false;
  const open = rollout.open.map((location) => {
    const gates = signalled.filter((stage) => opens(location, stage));
    if (gates.length === 0) return location;
    changed = true;
    return { ...location, gates: [...location.gates, ...gates] };
  });
  return changed ? { ...rollout, open } : rollout;
};
