/** Which location of a plan a child belongs to, if any, and its place in the order of that location's children. */
import type { Rings } from '#domain/child/area.ts';
import { share01 } from '#domain/geo/hash.ts';
import { createLocator, type Locator } from '#domain/geo/locator.ts';
import { middleOf, shapeOf } from '#domain/geo/polygons.ts';
import { distanceKm } from '#domain/geo/sphere.ts';
import { createTarget } from '#domain/geo/target.ts';
import type { Plan } from './plan.ts';

export type Candidate = {
  id: string;
  /** Asked for only where the plan goes by areas. */
  area(): Rings;
  /** When it joined (ms). */
  firstSeen: number;
  childCount: number;
};

/** The location of children that are in no region and are refused. No location is called so. */
export const OUTSIDE = '';

export type Assignment = { location: string; score: number };

export type Assigner = {
  /** Null: the release isn't meant for it. */
  assign(child: Candidate): Assignment | null;
  middle: Locator['middle'];
};

const NO_AREA: Rings = [];

/** Made once for many children. */
export function createAssigner({ target, locations, order }: Plan): Assigner {
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
    assign(child) {
      const { id } = child;
      const area = needsArea ? child.area() : NO_AREA;
      if (!isMeant({ id, area })) return null;
      const located = locate({ id, area });
      return { location: 'outside' in located ? OUTSIDE : located.location, score: scoreOf(child, area) };
    },
  };
}
