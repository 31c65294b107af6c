/**
 * GeoJSON rings as points in a plane: longitudes go on where the globe does, so an area is never torn at 180 degrees. Own,
 * as turf knows neither the antimeridian nor the poles, and its centre of mass counts holes as ground (ADR 17).
 */
import { bbox } from '@turf/bbox';
import type { Position } from '#domain/child/area.ts';
import { SLIVER } from './tolerances.ts';

export type Point = readonly [x: number, y: number];
/** In degrees. The east may lie past 180: [170, -5, 190, 5] is 20 degrees wide. */
export type Box = readonly [west: number, south: number, east: number, north: number];
/** A polygon's outer ring runs counterclockwise and its holes clockwise, whichever way they were spelled. */
export type Part = { readonly box: Box; readonly rings: readonly (readonly Point[])[] };

export const TURN = 360;
/** An edge that spans more crosses the antimeridian. */
const HALF_TURN = 180;

const boxOf = (points: Point[]): Box => bbox({ type: 'LineString', coordinates: points as [number, number][] }) as Box;

const NOTHING: Box = [Infinity, Infinity, -Infinity, -Infinity];
const union = (a: Box, b: Box): Box => [
  Math.min(a[0], b[0]),
  Math.min(a[1], b[1]),
  Math.max(a[2], b[2]),
  Math.max(a[3], b[3]),
];
export const unionOf = (boxes: readonly Box[]): Box => boxes.reduce(union, NOTHING);

/** Area and first moments in square degrees, about the ring's first point: far from the origin they would lose digits. */
export function moments(ring: readonly Point[]): { area: number; x: number; y: number } {
  const [x0, y0] = ring[0] ?? [0, 0];
  const sum = { area: 0, x: 0, y: 0 };
  let [px, py] = [0, 0];
  for (const [x, y] of ring) {
    const [qx, qy] = [x - x0, y - y0];
    const cross = px * qy - qx * py;
    sum.area += cross / 2;
    sum.x += (cross * (px + qx)) / 6;
    sum.y += (cross * (py + qy)) / 6;
    [px, py] = [qx, qy];
  }
  return { area: sum.area, x: sum.x + x0 * sum.area, y: sum.y + y0 * sum.area };
}

/** A line or a point that rounding has spread. */
function isThin(ring: Point[]): boolean {
  const [west, south, east, north] = boxOf(ring);
  return Math.abs(moments(ring).area) <= SLIVER * (east - west) * (north - south);
}

/**
 * A ring that doesn't come back to where it began goes round a pole: it is closed over the nearer one. A box of the whole
 * globe's width, whose edges of 360 degrees would vanish, is left as it was spelled.
 */
function unwrap(ring: readonly Position[]): Point[] {
  const points: Point[] = [];
  let jumped = false;
  let turns = 0;
  let before = ring[0]?.[0] ?? 0;
  for (const [x, y] of ring) {
    const step = x - before;
    if (step > HALF_TURN || step < -HALF_TURN) {
      turns -= TURN * Math.round(step / TURN);
      jumped = true;
    }
    points.push([x + turns, y]);
    before = x;
  }
  if (!jumped) return points;
  const [first, last] = [points[0], points.at(-1)];
  if (first && last && turns !== 0) {
    const pole = points.reduce((sum, [, y]) => sum + y, 0) < 0 ? -90 : 90;
    points.push([last[0], pole], [first[0], pole], first);
  }
  const spelled = ring.map(([x, y]): Point => [x, y]);
  return isThin(points) && !isThin(spelled) ? spelled : points;
}

/** By how much to move something at `x` so that it comes to [from, from + 360). */
const turnsTo = (x: number, from: number): number => -TURN * Math.floor((x - from) / TURN);

/**
 * In [-180, 180). What lies there already stays as it is: to move it would cost it digits. What lies a hair west of
 * the antimeridian, turns away, may be rounded over it.
 */
export const normalLongitude = (x: number): number =>
  x >= -HALF_TURN && x < HALF_TURN ? x : Math.max(-HALF_TURN, x + turnsTo(x, -HALF_TURN));

const shifted = (points: readonly Point[], by: number): readonly Point[] =>
  by === 0 ? points : points.map(([x, y]): Point => [x + by, y]);

const shiftedBox = ([west, south, east, north]: Box, by: number): Box => [west + by, south, east + by, north];

function partOf(polygon: readonly (readonly Position[])[]): Part {
  let box = NOTHING;
  const rings = polygon.map((ring, r) => {
    const points = unwrap(ring);
    const own = boxOf(points);
    // A hole may have been spelled a turn away from its outer ring.
    const by =
      r === 0 ? turnsTo(own[0], -HALF_TURN) : turnsTo((own[0] + own[2]) / 2, (box[0] + box[2]) / 2 - HALF_TURN);
    // Also of its holes: if one sticks out, that must be seen.
    box = union(box, shiftedBox(own, by));
    const counterclockwise = moments(points).area >= 0;
    return shifted(counterclockwise === (r === 0) ? points : points.toReversed(), by);
  });
  return { box, rings };
}

/** Brings polygons next to one another, over the antimeridian where they are nearest there. */
export function partsOf(polygons: readonly (readonly (readonly Position[])[])[]): Part[] {
  const parts = polygons.map(partOf);
  if (parts.length < 2) return parts;
  const order = parts.toSorted((a, b) => a.box[0] - b.box[0]);
  let east = Math.max(...order.map(({ box }) => box[2])) - TURN;
  let start = { west: -HALF_TURN, gap: -Infinity };
  for (const { box } of order) {
    if (box[0] - east > start.gap) start = { west: box[0], gap: box[0] - east };
    east = Math.max(east, box[2]);
  }
  return parts.map(({ box, rings }) => {
    const by = box[0] < start.west ? TURN : 0;
    return { box: shiftedBox(box, by), rings: rings.map((ring) => shifted(ring, by)) };
  });
}

/** By how many degrees to move `a` so that it meets `b`: more than once if they meet on both sides of the globe. */
export function shiftsOnto(a: Box, b: Box): number[] {
  if (a[1] > b[3] || b[1] > a[3]) return [];
  const shifts = [];
  const last = Math.floor((b[2] - a[0]) / TURN);
  for (let turn = Math.ceil((b[0] - a[2]) / TURN); turn <= last; turn++) shifts.push(turn * TURN);
  return shifts;
}
