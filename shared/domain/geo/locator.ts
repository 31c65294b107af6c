/** Which location of a release's plan a child belongs to. */
import type { Rings } from '#domain/child/area.ts';
import { ALL, type Locations } from '#domain/plan/plan.ts';
import { createBoxIndex } from './boxes.ts';
import { cellMiddle, cellOf } from './grid.ts';
import { middleOf, type Shape, shapeOf, shareWithin, soundShapeOf } from './polygons.ts';
import type { Point } from './rings.ts';
import { SLIVER } from './tolerances.ts';

export type Located = { location: string } | { outside: true };
type Child = { id: string; area: Rings };
export type Locator = {
  locate: (child: Child) => Located;
  /** As `locationMiddle`, for many. */
  middle: (id: string) => Point | null;
};

/** The location of a child outside every region. No region may be called so. */
export const OWN_LOCATION = 'child:';

/** Made once for many children: regions are made ready and put into an index. They don't overlap: `geoFaults` sees to it. */
export function createLocator(locations: Locations): Locator {
  const middle = (id: string): Point | null => locationMiddle(locations, id);
  switch (locations.by) {
    case 'all':
      return { locate: () => ({ location: ALL }), middle };
    case 'child':
      return { locate: ({ id }) => ({ location: id }), middle };
    case 'grid':
      return { locate: ({ area }) => ({ location: cellOf(middleOf(shapeOf(area)), locations.cellKm) }), middle };
    case 'regions': {
      const { outside, regions } = locations;
      const shapes = regions.map(({ area }) => soundShapeOf(area));
      const find = createFinder(shapes);
      const named = new Map(regions.map(({ name }, i) => [name, shapes[i]]));
      return {
        locate: ({ id, area }) => {
          const region = regions[find(shapeOf(area))];
          if (region) return { location: region.name };
          return outside === 'own' ? { location: OWN_LOCATION + id } : { outside: true };
        },
        middle: (name) => {
          const shape = named.get(name);
          return shape ? middleOf(shape) : null;
        },
      };
    }
  }
}

/** The number of the shape that holds most of a child, or -1. */
function createFinder(shapes: readonly Shape[]): (child: Shape) => number {
  const search = createBoxIndex(shapes.flatMap(({ parts }, item) => parts.map(({ box }) => ({ box, item }))));
  return (child) => {
    const near = new Set<number>();
    search(child.box, (item) => {
      near.add(item);
      return false;
    });
    const best = { item: -1, share: 0 };
    for (const item of [...near].sort((a, b) => a - b)) {
      const shape = shapes[item];
      const share = shape ? shareWithin(child, shape) : 0;
      // What holds more than half of it leaves less for any other.
      if (share > 0.5 + SLIVER) return item;
      // Not by rounding alone does one come before another that is listed first.
      if (share > (best.item < 0 ? 0 : best.share + SLIVER)) Object.assign(best, { item, share });
    }
    return best.item;
  };
}

/** The middle of a named region or of a cell; null for other locations, which are where their children are. */
export function locationMiddle(locations: Locations, id: string): Point | null {
  if (locations.by === 'grid') return cellMiddle(id, locations.cellKm);
  const region = locations.by === 'regions' ? locations.regions.find(({ name }) => name === id) : undefined;
  return region ? middleOf(soundShapeOf(region.area)) : null;
}
