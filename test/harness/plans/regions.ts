/** Regions for tests: squares of one degree beside one another, each with a name and a middle. */
import type { Area } from '#bin/simulate/areas.ts';

const COLUMNS = 4;
const WEST = 6;
const SOUTH = 47;

const cornerOf = (i: number) => ({ west: WEST + (i % COLUMNS), south: SOUTH + Math.floor(i / COLUMNS) });

export const regionName = (i: number): string => `region-${String(i + 1).padStart(2, '0')}`;

export function regionSquares(count: number): object {
  const features = Array.from({ length: count }, (_, i) => {
    const { west, south } = cornerOf(i);
    const ring = [
      [west, south],
      [west + 1, south],
      [west + 1, south + 1],
      [west, south + 1],
      [west, south],
    ];
    return {
      type: 'Feature',
      properties: { name: regionName(i) },
      geometry: { type: 'Polygon', coordinates: [ring] },
    };
  });
  return { type: 'FeatureCollection', features };
}

/** Well inside a region: whoever is scattered here belongs to it. */
export function insideRegion(i: number): Area {
  const { west, south } = cornerOf(i);
  return { longitude: west + 0.5, latitude: south + 0.5, radiusKm: 20 };
}
