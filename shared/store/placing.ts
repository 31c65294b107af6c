/** Which location of a plan a child belongs to, if any, and its place in the order of that location's children. */
import type { Rings } from '#domain/area.ts';
import { share01 } from '#domain/geo/hash.ts';
import { createLocator, type Locator } from '#domain/geo/locator.ts';
import { middleOf, shapeOf } from '#domain/geo/polygons.ts';
import { distanceKm } from '#domain/geo/sphere.ts';
import { createTarget } from '#domain/geo/target.ts';
import type { Plan } from '#domain/plan.ts';
import { unpackArea } from './area-codec.ts';

export type Candidate = {
  id: string;
  /** Packed. */
  area: string;
  /** When it joined (ms). */
  firstSeen: number;
  childCount: number;
};

/** Where children are put who are in no region and are refused. No location is called so. */
export const OUTSIDE = '';

export type Placing = {
  /** Null: the release isn't meant for it. */
  place(child: Candidate): { location: string; score: number } | null;
  middle: Locator['middle'];
};

export function createPlacing({ target, locations, order }: Plan): Placing {
  const isMeant = createTarget(target);
  const { locate, middle } = createLocator(locations);
  const isByArea = locations.by === 'regions' || locations.by === 'grid' || order.by === 'distance';
  const needsArea = isByArea || target.kind === 'intersects' || target.kind === 'within';
  const listed =
    order.by === 'listed' && target.kind === 'children' ? new Map(target.ids.map((id, i) => [id, i])) : null;

  function scoreOf({ id, firstSeen, childCount }: Candidate, area: Rings): number {
    if (order.by === 'distance') return distanceKm(order.from, middleOf(shapeOf(area)));
    if (order.by === 'shuffled') return share01(`${order.seed} ${id}`);
    // Where each child is a location, its size is that of what is below it.
    if (order.by === 'size' && locations.by === 'child') return childCount;
    return listed?.get(id) ?? firstSeen;
  }

  return {
    middle,
    place(child) {
      const { id } = child;
      const area = (needsArea ? unpackArea(child.area) : []) as unknown as Rings;
      if (!isMeant({ id, area })) return null;
      const located = locate({ id, area });
      return { location: 'outside' in located ? OUTSIDE : located.location, score: scoreOf(child, area) };
    },
  };
}
