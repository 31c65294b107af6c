/**
 * Measures on the globe, taken as a sphere. Own are areas under a line: @turf/area takes another line between two points
 * than the one that GeoJSON has, so its areas of two halves don't add up to that of the whole (ADR 17).
 */
import { distance } from '@turf/distance';
import { earthRadius } from '@turf/helpers';
import type { Box, Point } from './rings.ts';

const RADIUS_KM = earthRadius / 1000;
const DEGREE = Math.PI / 180;
export const KM_PER_DEGREE = RADIUS_KM * DEGREE;
/** Of a strip that is one degree of longitude wide and 1 high, where height is a difference of sines of latitudes. */
const STRIP_M2 = earthRadius ** 2 * DEGREE;

/** The great circle between two points (longitude, latitude). */
export function distanceKm(from: Point, to: Point): number {
  const km = distance([...from], [...to]);
  // Turf takes the root of what rounding may leave below 0 where two points lie opposite to one another.
  return Number.isNaN(km) ? Math.PI * RADIUS_KM : km;
}

/** A latitude from which heights are measured; its sine and cosine are wanted for each of many edges. */
export type Floor = { y: number; sin: number; cos: number };
export const floorAt = (y: number): Floor => ({ y, sin: Math.sin(y * DEGREE), cos: Math.cos(y * DEGREE) });

/** Radians. Below, a few terms are exact to the last digit, and several times as fast. */
const SMALL = 0.02;

/**
 * The m² between a floor and a line from latitude `y1` to `y2` that is `width` degrees of longitude wide and, as GeoJSON
 * has it, straight on a plate carrée. Written so that a few metres far from the equator don't drown in rounding.
 */
export function areaUnder(width: number, y1: number, y2: number, floor: Floor): number {
  const up = ((y1 + y2) / 2 - floor.y) * DEGREE;
  const half = ((y2 - y1) / 2) * DEGREE;
  const up2 = up * up;
  const half2 = half * half;
  // The sine of the line's middle, less that of the floor.
  const rise =
    up < SMALL && up > -SMALL
      ? floor.cos * up * (1 - (up2 / 6) * (1 - up2 / 20)) - floor.sin * (up2 / 2) * (1 - (up2 / 12) * (1 - up2 / 30))
      : 2 * Math.cos(floor.y * DEGREE + up / 2) * Math.sin(up / 2);
  // By how much the mean sine along the line falls short of that of its middle.
  const bend =
    half < SMALL && half > -SMALL ? -(half2 / 6) * (1 - (half2 / 20) * (1 - half2 / 42)) : Math.sin(half) / half - 1;
  return STRIP_M2 * width * (rise + (rise + floor.sin) * bend);
}

export const boxArea = ([west, south, east, north]: Box): number =>
  areaUnder(east - west, north, north, floorAt(south));
