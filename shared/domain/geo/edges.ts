/**
 * A shape as its edges. Over each of its edges lies a strip down to a line below the shape; counted with their signs, the
 * strips of upper edges and lower ones leave the shape itself. So areas and overlaps are sums over edges, or pairs of them,
 * that no spelling can upset: holes, shared borders and touching corners need no cases, and nothing can throw.
 */
import type { Box, Part, Point } from './rings.ts';
import { areaUnder, type Floor, floorAt } from './sphere.ts';

/** From west to east; upright edges have nothing below them and are left out. The sign is 1 where the shape lies below. */
type Edge = { number: number; x1: number; y1: number; x2: number; y2: number; sign: 1 | -1 };
/** The edges sorted into upright strips of equal width, each edge into all that it passes. */
export type Edges = {
  all: readonly Edge[];
  strips: readonly (readonly Edge[])[];
  west: number;
  east: number;
  /** Of a strip. */
  width: number;
};
/** How many more pairs of edges may be looked at: a shape can be drawn so that it would take hours. */
export type Work = { left: number };

const UNLIMITED: Work = { left: Infinity };
const FEW = 32;
/** Strips are as narrow as possible while an edge is in so many of them on average. */
const STRIPS_PER_EDGE = 3;
/** What it costs to see that two edges don't pass over the same longitudes, in pairs that do. */
const GLANCE = 1 / 16;
/** Degrees, about 0.1 mm: a point so near to a border lies on it. */
const HAIR = 1e-9;
/** Of a box's width: rounding, not a gap. */
const ROUNDING = 1e-9;

const at = ({ x1, y1, x2, y2 }: Edge, x: number): number => (x === x2 ? y2 : y1 + ((y2 - y1) * (x - x1)) / (x2 - x1));

function edgesOfRing(ring: readonly Point[], into: Edge[]): void {
  let before: Point | undefined;
  for (const point of ring) {
    const number = into.length;
    if (before && before[0] < point[0])
      into.push({ number, x1: before[0], y1: before[1], x2: point[0], y2: point[1], sign: -1 });
    if (before && before[0] > point[0])
      into.push({ number, x1: point[0], y1: point[1], x2: before[0], y2: before[1], sign: 1 });
    before = point;
  }
}

export function edgesOf(parts: readonly Part[], [west, , east]: Box): Edges {
  const all: Edge[] = [];
  for (const { rings } of parts) for (const ring of rings) edgesOfRing(ring, all);
  if (all.length <= FEW) return { all, strips: [all], west, east, width: Infinity };
  const lengths = all.reduce((sum, { x1, x2 }) => sum + x2 - x1, 0);
  const count = Math.max(1, Math.min(all.length, Math.floor((STRIPS_PER_EDGE * all.length * (east - west)) / lengths)));
  const strips = Array.from({ length: count }, (): Edge[] => []);
  const edges = { all, strips, west, east, width: (east - west) / count };
  for (const edge of all)
    for (let i = numberOf(edges, edge.x1); i <= numberOf(edges, edge.x2); i++) strips[i]?.push(edge);
  return edges;
}

function numberOf({ strips, west, width }: Edges, x: number): number {
  return Math.max(0, Math.min(strips.length - 1, Math.floor((x - west) / width)));
}

/** The first strip and the last go on beyond the shape, where rounding may put the end of an edge. */
function startOf({ strips, west, width }: Edges, number: number): number {
  if (number === 0) return -Infinity;
  return number === strips.length ? Infinity : west + number * width;
}

export function areaUnderEdges({ all }: Edges, south: number): number {
  const floor = floorAt(south);
  let sum = 0;
  for (const { x1, y1, x2, y2, sign } of all) sum += sign * areaUnder(x2 - x1, y1, y2, floor);
  return sum;
}

/** The m² between a floor and a line; nothing where the line lies below it. */
function areaAbove(width: number, y1: number, y2: number, floor: Floor): number {
  if (y1 >= floor.y && y2 >= floor.y) return areaUnder(width, y1, y2, floor);
  if (y1 <= floor.y && y2 <= floor.y) return 0;
  const [high, low] = y1 > y2 ? [y1, y2] : [y2, y1];
  return areaUnder((width * (high - floor.y)) / (high - low), high, floor.y, floor);
}

/** The m² between a floor and the lower one of two lines, from `e1` to `e2` and from `f1` to `f2`. */
function areaUnderBoth(width: number, e1: number, e2: number, f1: number, f2: number, floor: Floor): number {
  const left = f1 - e1;
  const right = f2 - e2;
  if (left >= 0 && right >= 0) return areaAbove(width, e1, e2, floor);
  if (left <= 0 && right <= 0) return areaAbove(width, f1, f2, floor);
  const share = left / (left - right);
  const crossing = e1 + (e2 - e1) * share;
  return (
    areaAbove(width * share, left > 0 ? e1 : f1, crossing, floor) +
    areaAbove(width * (1 - share), crossing, left > 0 ? f2 : e2, floor)
  );
}

/**
 * The m² that two shapes share, `a` moved by `shift` degrees, above a latitude below which one of them has nothing. Of a
 * shape with itself it is that shape's own area, unless it covers a place twice or inside out: then it is greater.
 */
export function sharedArea(a: Edges, shift: number, b: Edges, south: number, work: Work = UNLIMITED): number {
  if (a.all.length > b.all.length) return sharedArea(b, -shift, a, south, work);
  const floor = floorAt(south);
  // Each pair of edges counts twice there, but need be looked at but once.
  const itself = a === b && shift === 0;
  let sum = 0;
  for (const e of a.all) {
    const x1 = e.x1 + shift;
    const x2 = e.x2 + shift;
    if (x2 <= b.west || x1 >= b.east || (e.y1 <= south && e.y2 <= south)) continue;
    const last = numberOf(b, x2);
    for (let i = numberOf(b, x1); i <= last; i++) {
      const strip = b.strips[i] ?? [];
      if ((work.left -= strip.length * GLANCE) < 0) return sum;
      const from = Math.max(x1, startOf(b, i));
      const to = Math.min(x2, startOf(b, i + 1));
      for (const f of strip) {
        const west = from > f.x1 ? from : f.x1;
        const east = to < f.x2 ? to : f.x2;
        if (west >= east || (f.y1 <= south && f.y2 <= south) || (itself && f.number < e.number)) continue;
        work.left--;
        const e1 = at(e, west - shift);
        const e2 = at(e, east - shift);
        const times = itself && e !== f ? 2 : 1;
        sum += times * e.sign * f.sign * areaUnderBoth(east - west, e1, e2, at(f, west), at(f, east), floor);
      }
    }
  }
  return sum;
}

/**
 * How many degrees of the width of a box, which no edge may enter, lie in the shape; null if an edge does enter it. Cheap,
 * and true of most children, as few lie on a border.
 */
export function widthInside(edges: Edges, [west, south, east, north]: Box): number | null {
  let sum = 0;
  const last = numberOf(edges, east);
  for (let i = numberOf(edges, west); i <= last; i++) {
    const from = Math.max(west, startOf(edges, i));
    const to = Math.min(east, startOf(edges, i + 1));
    for (const edge of edges.strips[i] ?? []) {
      const x1 = from > edge.x1 ? from : edge.x1;
      const x2 = to < edge.x2 ? to : edge.x2;
      if (x1 >= x2 || (edge.y1 <= south && edge.y2 <= south)) continue;
      const above = (edge.y1 >= north && edge.y2 >= north) || (at(edge, x1) >= north && at(edge, x2) >= north);
      if (above) sum += edge.sign * (x2 - x1);
      else if (at(edge, x1) > south || at(edge, x2) > south) return null;
    }
  }
  return sum <= (east - west) * ROUNDING ? 0 : sum;
}

function isInside(edges: Edges, x: number, y: number): boolean {
  let sum = 0;
  for (const edge of edges.strips[numberOf(edges, x)] ?? [])
    if (edge.x1 <= x && x < edge.x2 && y < at(edge, x)) sum += edge.sign;
  return sum > 0;
}

/** Borders belong to the shape: of two neighbours' common border each point is in both. */
export function holdsPoint(edges: Edges, x: number, y: number): boolean {
  const around = [0, HAIR, -HAIR].flatMap((dx) => [0, HAIR, -HAIR].map((dy) => [x + dx, y + dy] as const));
  return around.some(([px, py]) => isInside(edges, px, py));
}
