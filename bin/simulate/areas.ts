/** Where simulated children are: squares scattered evenly over a circle. */
import { circle, destination } from '@turf/turf';
import type { Random } from './random.ts';

export type Area = { longitude: number; latitude: number; radiusKm: number };

export const BERLIN: Area = { longitude: 13.405, latitude: 52.52, radiusKm: 20 };
const CELL_KM = 0.5;

/** `longitude,latitude,radius in km`, or null. */
export function parseArea(text: string): Area | null {
  const [longitude, latitude, radiusKm, ...rest] = text.split(',').map(Number);
  if (longitude === undefined || latitude === undefined || radiusKm === undefined || rest.length > 0) return null;
  if (!(Math.abs(longitude) <= 180 && Math.abs(latitude) <= 85 && radiusKm > 0 && radiusKm <= 5000)) return null;
  return { longitude, latitude, radiusKm };
}

export function randomPlace({ longitude, latitude, radiusKm }: Area, random: Random): GeoJSON.Polygon {
  const distance = radiusKm * Math.sqrt(random.next());
  const centre = destination([longitude, latitude], distance, random.next() * 360 - 180);
  return circle(centre, CELL_KM, { steps: 4 }).geometry;
}
