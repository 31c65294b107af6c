/**
 * What areas have in common, right with holes and across the antimeridian, however they are spelled. Nothing throws: an
 * area that is but a point or a line, or that crosses itself, stands for a point, its middle.
 *
 * Own, as for turf two areas with a common border intersect, an area over two parts that touch is within neither, and a
 * corner that rounding has put a hair beside a border touches nothing (ADR 17).
 */
import type { Rings } from '#domain/child/area.ts';
import type { Polygonal } from '#domain/plan/plan.ts';
import { areaUnderEdges, type Edges, edgesOf, holdsPoint, sharedArea, widthInside, type Work } from './edges.ts';
import {
  type Box,
  moments,
  normalLongitude,
  type Part,
  partsOf,
  type Point,
  shiftsOnto,
  TURN,
  unionOf,
} from './rings.ts';
import { boxArea } from './sphere.ts';
import { CROSSING, HAIR, SLIVER } from './tolerances.ts';

/** An area made ready to be compared; what takes time is worked out when it is first asked for. */
export type Shape = {
  readonly box: Box;
  readonly parts: readonly Part[];
  readonly edges: () => Edges;
  readonly area: () => number;
  /** Why it has no inside that could be told: it has none, or it covers a place twice or inside out. */
  readonly defect: () => 'flat' | 'crossing' | null;
  /** Its middle, if there is such a defect: it stands for that point. */
  readonly point: () => Point | null;
};

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

export function shapeOf(area: Rings | Polygonal, work?: Work): Shape {
  const parts = partsOf(!('type' in area) ? [area] : area.type === 'Polygon' ? [area.coordinates] : area.coordinates);
  const box = unionOf(parts.map((part) => part.box));
  const edges = once(() => edgesOf(parts, box));
  const covered = once(() => Math.max(0, areaUnderEdges(edges(), box[1])));
  const defect = once(() => {
    if (box[2] - box[0] > TURN) return 'crossing';
    const boxes = parts.reduce((sum, part) => sum + boxArea(part.box), 0);
    const squared = sharedArea(edges(), edges(), { shift: 0, south: box[1], work });
    if (squared <= SLIVER * boxes) return 'flat';
    return squared - covered() > CROSSING * squared ? 'crossing' : null;
  });
  return { box, parts, edges, area: covered, defect, point: once(() => (defect() ? meanPoint(parts) : null)) };
}

/** Of a plan, whose areas `geoFaults` has checked: to check again would take longer than to locate a fleet. */
export const soundShapeOf = (area: Polygonal): Shape => ({ ...shapeOf(area), defect: () => null, point: () => null });

function meanPoint(parts: readonly Part[]): Point {
  const points = parts.flatMap(({ rings }) => rings[0]?.slice(1) ?? []);
  const sum = points.reduce<Point>(([x, y], point) => [x + point[0], y + point[1]], [0, 0]);
  return [sum[0] / points.length, sum[1] / points.length];
}

/** The centroid, which needn't lie inside. */
export function middleOf(shape: Shape): Point {
  const point = shape.point() ?? centroid(shape);
  return [normalLongitude(point[0]), point[1]];
}

function centroid({ parts }: Shape): Point {
  const sum = { area: 0, x: 0, y: 0 };
  for (const { rings } of parts)
    for (const ring of rings) {
      const { area, x, y } = moments(ring);
      sum.area += area;
      sum.x += x;
      sum.y += y;
    }
  return [sum.x / sum.area, sum.y / sum.area];
}

/** In degrees, across the antimeridian with an east past 180. */
export const boundsOf = (shape: Shape): Box => shape.box;

/** In m², without the holes. */
export const areaOf = (shape: Shape): number => (shape.point() ? 0 : shape.area());

/** In m². */
export function overlapArea(a: Shape, b: Shape, work?: Work): number {
  if (shiftsOnto(a.box, b.box).length === 0 || a.point() || b.point()) return 0;
  const south = Math.max(a.box[1], b.box[1]);
  let sum = 0;
  for (const shift of shiftsOnto(a.box, b.box)) sum += sharedArea(a.edges(), b.edges(), { shift, south, work });
  return Math.max(0, sum);
}

const around = ([west, south, east, north]: Box): Box => [west - HAIR, south - HAIR, east + HAIR, north + HAIR];

/** Borders belong to the area; an area that stands for a point is there only. */
export function contains(shape: Shape, [x, y]: Point): boolean {
  const only = shape.point();
  const shifts = shiftsOnto(around([x, y, x, y]), only ? [...only, ...only] : shape.box);
  return shifts.some((shift) => only !== null || holdsPoint(shape.edges(), x + shift, y));
}

/** Whether a shape's whole box lies inside another shape, or outside; null: only its edges can tell. */
function boxIn({ box }: Shape, shape: Shape): boolean | null {
  if (shape.point()) return null;
  const [west, south, east, north] = around(box);
  let width = 0;
  for (const shift of shiftsOnto([west, south, east, north], shape.box)) {
    const inside = widthInside(shape.edges(), [west + shift, south, east + shift, north]);
    if (inside === null) return null;
    width += inside;
  }
  if (width === 0) return false;
  return width >= (east - west) * (1 - SLIVER) ? true : null;
}

/** How much of `a` lies in `b`: from 0 to 1, where a sliver is 0 and all but a sliver is 1. A point is in whole or not. */
export function shareWithin(a: Shape, b: Shape): number {
  const boxed = boxIn(a, b);
  if (boxed !== null) return boxed ? 1 : 0;
  const point = a.point();
  if (point) return contains(b, point) ? 1 : 0;
  const overlap = overlapArea(a, b);
  if (overlap <= SLIVER * Math.min(a.area(), b.area())) return 0;
  return overlap >= (1 - SLIVER) * a.area() ? 1 : overlap / a.area();
}

/** Whether they have ground in common: to share a border isn't enough. */
export function intersects(a: Shape, b: Shape): boolean {
  const point = b.point();
  return point ? contains(a, point) : shareWithin(a, b) > 0;
}

/** Whether all of `a` lies in `b`, whose border it may touch. */
export const isWithin = (a: Shape, b: Shape): boolean => shareWithin(a, b) === 1;

/** Whether they have as much as a point in common; when rounding leaves it open, they have. */
export function touches(a: Shape, b: Shape): boolean {
  if (shiftsOnto(around(a.box), b.box).length === 0) return false;
  if (overlapArea(a, b) > 0) return true;
  return pointsOf(a).some((point) => contains(b, point)) || pointsOf(b).some((point) => contains(a, point));
}

/** The points that say where a shape is: its only one, or all its corners. */
function pointsOf(shape: Shape): readonly Point[] {
  const only = shape.point();
  return only ? [only] : shape.parts.flatMap(({ rings }) => rings.flat());
}
