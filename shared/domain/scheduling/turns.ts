/** Whose turn is still to come, from what stores have read. */
import { ALL, type Rules, waveSize } from '#domain/plan/plan.ts';
import type { Order } from '#domain/plan/location-order.ts';
import { isByCohorts, isByTurns } from '#domain/rollout/membership.ts';
import { isFinished, type Rollout } from '#domain/rollout/rollout.ts';
import type { NextLocation, Snapshot } from './snapshot.ts';

/** What is read of the order, as a plan needs it. */
export type OrderFacts = {
  order: Order | null;
  /** Children whose turn is still to come, where each is a location, or waves are of children. */
  children: number;
  /** Of those, locations that were skipped: they are still in order, and will never have a turn. */
  skipped: number;
};

/** Locations (or children, where each is one) whose turn is still to come. */
export function turnsLeft({ plan, started }: Rollout, { order, children, skipped }: OrderFacts): number {
  if (plan.by !== 'child') return Math.max((order?.locations ?? 0) - started.locations, 0);
  return isByTurns(plan) ? children - skipped : children;
}

/** How many of the first children in order tell which is next, where each child is a location; 0: none has to be read. */
export function childrenToRead({ plan, open, withdrawn }: Rollout): number {
  // Those that were passed over are still in order.
  return isByTurns(plan) ? 1 + open.length + withdrawn.length : 0;
}

/** The first children in order, or the locations from `from` on. */
export type Ahead = { children: readonly string[]; locations(from: number, count: number): readonly NextLocation[] };

/** Locations whose turn comes next: as many as a wave takes. */
export function nextLocations(rollout: Rollout, order: Order | null, left: number, ahead: Ahead): Snapshot['next'] {
  const { plan, open, withdrawn, started, state } = rollout;
  if (plan.direct) return started.locations === 0 ? [{ id: ALL, members: null }] : [];
  if (order === null || order.fault !== undefined || isFinished(state)) return [];
  if (isByCohorts(plan)) return left > 0 ? [{ id: 'wave', members: left }] : [];
  if (isByTurns(plan)) {
    const known = new Set([...open, ...withdrawn].map(({ id }) => id));
    return ahead.children.filter((id) => !known.has(id)).map((id) => ({ id, members: null }));
  }
  // A whole wave, as the one that is open may complete in the same tick.
  return ahead.locations(started.locations, waveSize(plan.waves, started, order.locations));
}

/** Late joiners make the order of children longer; that of locations never changes. */
export function orderNow(plan: Rules, order: Order | null, left: number, enrolled: number): Snapshot['order'] {
  if (order === null) return null;
  const { locations, children, outside } = order;
  return { locations: Math.max(locations, isByCohorts(plan) ? enrolled + left : 0), children, outside, left };
}
