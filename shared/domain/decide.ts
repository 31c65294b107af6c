/**
 * The scheduler's mind: state and aggregates in, new state out. Pure; a plan is numbers in it, never a name.
 *
 * Never fail open (law 4): every step forward is taken by a condition that holds on counts that are complete. Nothing
 * is taken from a location that some partition hasn't marked as enrolled, or that has no children.
 */
import { bothCounts, breachText, isSpent, usedBudget } from './budget.ts';
import { type Counts, ejected, ended, enrolled, inRelease, marked, underway } from './counts.ts';
import { MARK } from './marks.ts';
import { enrolledIn, hasEntered, isMet, type LocationCounts, requirementsOf } from './gates.ts';
import { enrolMore, openLocations } from './opening.ts';
import {
  abortRollout,
  type Effect,
  isByCohorts,
  isFinished,
  type OpenLocation,
  revertRollout,
  type Rollout,
  setAside,
  signalledStages,
} from './rollout.ts';
import { ReleaseStatus, STAGE_STATUSES, type StageStatus } from './status.ts';

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
  source: { done: number; coming: number } | null;
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

/** Children enrolled in a location, once that is known for good. */
function childrenIn({ plan }: Rollout, { members }: OpenLocation, view: LocationView): number | null {
  if (view.left === null) return view.enrolled;
  const count = enrolled(view.counts);
  if (view.left === 0) return count;
  return isByCohorts(plan) && members !== null && count >= members ? count : null;
}

const settleEffects: Step = (rollout, snapshot) => {
  if (isFinished(rollout.state)) return rollout;
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
  if (isFinished(rollout.state)) return rollout;
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

function failureText(rollout: Rollout, failed: FailedChild | null, failures: number, breach: string): string {
  if (failed === null) return breach;
  const others = failures > 1 ? ` (and ${failures - 1} more)` : '';
  const stage = rollout.stages[failed.stage]?.name;
  return `child ${failed.child} reported ${STAGE_STATUSES[failed.status]} in stage "${stage}"${others}`;
}

/** The budget over all locations. */
const stopOnBudget: Step = (rollout, { totals, locations, failed }, now) => {
  const { plan } = rollout;
  const budget = plan.failure.all;
  if (budget === null) return rollout;
  // What is known of open locations may be newer than the totals.
  const isOpen = (id: string): boolean => rollout.open.some((each) => each.id === id);
  const open = usedBudget(
    [...locations].flatMap(([id, view]) => (isOpen(id) ? bothCounts(view) : [])),
    plan,
  );
  const inAll = usedBudget([totals], plan);
  const used = open.total > inAll.total ? open : inAll;
  const children = rollout.order?.children ?? enrolled(totals);
  if (!isSpent(budget, used, rollout.forgiven, children)) return rollout;
  const breach = breachText(budget, used, children);
  const named = failureText(rollout, failed, used.failed, breach);
  const reason =
    named === breach || budget.count + budget.share + used.lost + used.overdue === 0 ? named : `${named}; ${breach}`;
  if (budget.then === 'abort') return abortRollout(rollout, now, reason);
  if (budget.then === 'revert') return revertRollout(rollout, now, reason, plan.releaseHeld);
  return { ...rollout, state: 'halted', reason, endedAt: now };
};

/** The budget and the deadline of each location: the others go on. */
const stopLocations: Step = (rollout, snapshot, now) =>
  rollout.open.reduce((state, location) => {
    const view = snapshot.locations.get(location.id);
    if (view === undefined || location.held !== undefined) return state;
    const budget = state.plan.failure.location;
    const used = usedBudget(bothCounts(view), state.plan);
    const children = Math.max(location.children ?? 0, location.members ?? 0, enrolled(view.counts));
    const spent = budget !== null && isSpent(budget, used, location.forgiven?.used ?? 0, children);
    if (!spent) {
      const late = overdueText(state, location, view, now);
      return late === null ? state : holdLocation(state, location.id, late);
    }
    const breach = breachText(budget, used, children);
    const named = failureText(state, view.failed, used.failed, breach);
    const reason = named === breach ? named : `${named}; ${breach}`;
    if (budget.then === 'hold') return holdLocation(state, location.id, reason);
    return setAside(state, location, budget.then === 'abort' ? 'aborted' : 'reverting', reason, now);
  }, rollout);

const holdLocation = (rollout: Rollout, id: string, held: string): Rollout => ({
  ...rollout,
  open: rollout.open.map((each) => (each.id === id ? { ...each, held } : each)),
});

/** Why a location has taken too long, or null. Children who wait, for others or for an operator, take no time of their own. */
function overdueText(rollout: Rollout, location: OpenLocation, view: LocationView, now: number): string | null {
  const { deadline } = rollout.plan;
  if (deadline === null) return null;
  const limit = `${Math.round(deadline.afterMs / 1000)} s`;
  const overdue = bothCounts(view).reduce((sum, each) => sum + marked(each, MARK.overdue), 0);
  if (deadline.then === 'hold' && overdue > (location.forgiven?.overdue ?? 0))
    return `${overdue} children have been InProgress in a stage for more than ${limit}`;
  for (const stage of signalledStages(rollout)) {
    const since = location.since?.[stage];
    if (since === undefined || location.gates.includes(stage) || now - since < deadline.afterMs) continue;
    const unmet = requirementsOf(rollout, location, view, stage, now).filter(({ holds }) => !holds);
    const metric = unmet.find(({ kind }) => kind === 'metrics');
    if (metric !== undefined && unmet.every(({ kind }) => kind === 'metrics' || kind === 'soak' || kind === 'approval'))
      return `stage "${rollout.stages[stage]?.name}" has waited for more than ${limit} for ${metric.text}`;
  }
  return null;
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
  const opens = (location: OpenLocation, stage: number): boolean =>
    !location.gates.includes(stage) &&
    (rollout.plan.stages === 'lockstep'
      ? rollout.open.every((each) => isThrough(each, stage))
      : holds(location, stage));
  let changed = false;
  const open = rollout.open.map((location) => {
    const gates = signalled.filter((stage) => opens(location, stage));
    if (gates.length === 0) return location;
    changed = true;
    return { ...location, gates: [...location.gates, ...gates] };
  });
  return changed ? { ...rollout, open } : rollout;
};

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
    const { done, coming } = snapshot.source ?? { done: 0, coming: 0 };
    return underway(view.counts) + underway(view.late) === 0 && coming === 0 && enrolledIn(view) >= done;
  }
  const children = location.children - ejected(view.counts);
  if (children === 0) return snapshot.next.some((next) => next.id !== location.id) || rollout.closed.children > 0;
  const counted = plan.deadline?.then === 'fail' ? MARK.lost | MARK.overdue : MARK.lost;
  const accounted = ended(view.counts) + marked(view.counts, counted);
  const done = inRelease(view.counts, ReleaseStatus.Done);
  return accounted >= children && done >= Math.ceil(plan.advance.quorum * children - 1e-9);
}

const closeLocations: Step = (rollout, snapshot, now) => {
  const through = rollout.open.filter((location) => isThrough(rollout, location, snapshot));
  if (through.length === 0) return rollout;
  const signalled = signalledStages(rollout);
  const open = rollout.open.filter((location) => !through.includes(location));
  const shut = isByCohorts(rollout.plan)
    ? []
    : through.flatMap(({ n, gates }) => (gates.length < signalled.length ? [{ n, gates }] : []));
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

const complete: Step = (rollout, snapshot, now) => {
  const { totals, locations, next, ordered } = snapshot;
  if (!ordered || rollout.open.length > 0 || next.length > 0 || rollout.effects.length > 0) return rollout;
  if (rollout.aside.some(({ as }) => as === 'reverting')) return rollout;
  // A start that found nobody to enrol stays running and says so: success needs somebody who succeeded.
  const somebody = rollout.plan.compensates === null ? rollout.closed.children > 0 : rollout.closed.locations > 0;
  if (!somebody) return rollout;
  const stay = rollout.aside.reduce((sum, { id }) => {
    const view = locations.get(id);
    return view === undefined ? sum : bothCounts(view).reduce((all, each) => all + underwayNotLost(each), sum);
  }, 0);
  // Late joiners and those who are tried again may be underway in locations that are through.
  if (underwayNotLost(totals) > stay) return rollout;
  return { ...rollout, state: 'completed', endedAt: now };
};

const underwayNotLost = (counts: Counts): number => underway(counts) - marked(counts, MARK.lost | MARK.overdue);
