/** Locations in the order that a plan asks for. */
import { share01 } from '#domain/geo/hash.ts';
import { distanceKm } from '#domain/geo/sphere.ts';
import type { Assigner } from './assigner.ts';
import type { Plan } from './plan.ts';

/** A tick reads and writes every location that is open: this many take about a second. */
export const MAX_LOCATIONS = 10_000;

/** `first`: when the first of its members joined (ms). */
export type LocationSize = { id: string; members: number; first: number };

type Facts = {
  middle: Assigner['middle'];
  /** Kilometres of the locations that are where their only child is, under an order by distance. */
  kmOfOwn: ReadonlyMap<string, number>;
};

export function sortLocations<L extends LocationSize>(
  { order, locations }: Pick<Plan, 'order' | 'locations'>,
  found: readonly L[],
  { middle, kmOfOwn }: Facts,
): L[] {
  const ranks = new Map<string, number>();
  if (order.by === 'distance')
    for (const { id } of found) {
      const point = middle(id);
      ranks.set(id, point === null ? (kmOfOwn.get(id) ?? Infinity) : distanceKm(order.from, point));
    }
  else if (order.by === 'shuffled') for (const { id } of found) ranks.set(id, share01(`${order.seed} ${id}`));
  else if (order.by === 'size') for (const { id, members } of found) ranks.set(id, members);
  else if (order.by === 'listed' && locations.by === 'regions')
    for (const [i, { name }] of locations.regions.entries()) ranks.set(name, i);
  const rank = (id: string): number => ranks.get(id) ?? (ranks.size === 0 ? 0 : Infinity);
  const compare = (a: number, b: number): number => (a < b ? -1 : a > b ? 1 : 0);
  const isByJoining = order.by === 'joining' || order.by === 'listed';
  return found.toSorted(
    (a, b) =>
      compare(rank(a.id), rank(b.id)) || (isByJoining ? compare(a.first, b.first) : 0) || (a.id < b.id ? -1 : 1),
  );
}

/** What there is to go through. `fault`: why it can't be. */
export type Order = { locations: number; children: number; outside: number; fault?: string };

/** Why a plan that makes so many locations can't be carried out, or null. `atLeast`: there may be more. */
export function tooManyLocations(by: Plan['locations']['by'], count: number, atLeast: boolean): string | null {
  if (by === 'child' || count <= MAX_LOCATIONS) return null;
  const advice = by === 'grid' ? 'take larger cells' : 'refuse children outside the regions';
  const number = `${atLeast ? 'at least ' : ''}${count.toLocaleString('en-US')}`;
  return `the plan makes ${number} locations, at most ${MAX_LOCATIONS.toLocaleString('en-US')}: ${advice}`;
}
