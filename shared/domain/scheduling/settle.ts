/** What was asked for and is done by now: effects, enrolments, locations and releases that are taken back. */
import { isByCohorts } from '#domain/rollout/membership.ts';
import { type Effect, isSettled, type OpenLocation, type Rollout } from '#domain/rollout/rollout.ts';
import { enrolledIn } from './gates.ts';
import { isCapped } from './pace.ts';
import type { CompensationView, LocationView, Snapshot, Step } from './snapshot.ts';

/**
 * Children enrolled in a location, once that is known for good. In waves of children those that are left belong to other
 * waves. Where a limited number may have it at once, a child that joins meanwhile might never find room: the gates don't wait.
 */
function childrenIn({ plan }: Rollout, { members }: OpenLocation, view: LocationView): number | null {
  if (view.left === null) return view.enrolled;
  const { enrolled } = view.counts;
  if (view.left === 0) return enrolled;
  const isFull = members !== null && enrolled >= members;
  return isFull && (isByCohorts(plan) || isCapped(plan)) ? enrolled : null;
}

function withChildren(rollout: Rollout, location: OpenLocation, { locations }: Snapshot): OpenLocation {
  const view = locations.get(location.id);
  if (view === undefined) return location;
  // A job that was overtaken may still have added one of its own: its gates wait for that one too.
  const children =
    location.children === null
      ? childrenIn(rollout, location, view)
      : Math.max(location.children, view.counts.enrolled);
  return children === location.children ? location : { ...location, children };
}

function isDone(effect: Effect, rollout: Rollout, { ordered, compensations, locations }: Snapshot): boolean {
  if (effect.kind === 'assign') return ordered;
  if (effect.kind === 'compensate') return compensations.has(effect.location ?? '');
  const view = locations.get(effect.location);
  if (view === undefined) return !rollout.open.some(({ id }) => id === effect.location);
  if (view.left === null) return view.enrolled !== null;
  return view.left === 0 || (effect.upTo !== null && enrolledIn(view) >= effect.upTo);
}

export const settleEffects: Step = (rollout, snapshot) => {
  if (isSettled(rollout)) return rollout;
  const open = rollout.open.map((location) => withChildren(rollout, location, snapshot));
  const changed = open.some((location, i) => location !== rollout.open[i]);
  const effects = rollout.effects.filter((effect) => !isDone(effect, rollout, snapshot));
  const order = rollout.order ?? (snapshot.ordered ? snapshot.order : null);
  if (!changed && effects.length === rollout.effects.length && (order === null || rollout.order !== null))
    return rollout;
  const known = order && { locations: order.locations, children: order.children, outside: order.outside };
  return { ...rollout, open: changed ? open : rollout.open, effects, order: known };
};

/** Locations that are taken back: by the compensating release's word. */
export const settleWithdrawn: Step = (rollout, { compensations }) => {
  if (isSettled(rollout)) return rollout;
  const isBack = (id: string): boolean => compensations.get(id)?.completed === true;
  if (!rollout.withdrawn.some(({ as, id }) => as === 'reverting' && isBack(id))) return rollout;
  const withdrawn = rollout.withdrawn.map((each) =>
    each.as === 'reverting' && isBack(each.id)
      ? { ...each, as: 'reverted' as const, reason: `${each.reason}${unreachedText(compensations.get(each.id))}` }
      : each,
  );
  return { ...rollout, withdrawn };
};

export const settleRevert: Step = (rollout, { compensations }, now) => {
  const view = compensations.get('');
  if (view === undefined || !view.completed) return rollout;
  return { ...rollout, state: 'reverted', reason: `${rollout.reason ?? ''}${unreachedText(view)}`, endedAt: now };
};

function unreachedText(view: CompensationView | undefined): string {
  if (view === undefined) return '';
  if (view.aborted) return ' (the compensating release was aborted before every child had it)';
  return view.unreached > 0 ? ` (${view.unreached} children could not be reached yet)` : '';
}
