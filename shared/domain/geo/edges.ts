/**
 * A shape as its edges. Over each of its edges lies a strip down to a line below the shape; counted with their signs, the
 * strips of upper edges and lower ones leave the shape itself. So areas and overlaps are sums over edges, or pairs of them,
 * that no spelling can upset: holes, shared borders and touching corners need no cases, and nothing can throw.
 *
 * Own, as turf's `intersect` (polyclip-ts) takes over ten times as long for a child and for a plan, cannot be stopped, and
 * as no library says whether an area crosses itself: see ADR 17.
 */
import type { Box, Part, Point } from './rings.ts';
import { areaUnder, type Floor, floorAt } from './sphere.ts';
import { HAIR, SLIVER } from './tolerances.ts';

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
/** How many more pairs of edges may be compared: a shape can be drawn so that it would take hours. */
export type Work = { left: number };

const UNLIMITED: Work = { left: Infinity };
const FEW = 32;
/** Strips are as narrow as possible while an edge is in so many of them on average. */
const STRIPS_PER_EDGE = 3;
/** What it costs to see that two edges don't pass over the same longitudes, in pairs that do. */
const GLANCE = 1 / 16;

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

/** The latitudes of a piece of an edge at its two ends. */
type Piece = { y1: number; y2: number };

/** The m² between a floor and the lower one of two lines over the same longitudes. */
function areaUnderBoth(width: number, e: Piece, f: Piece, floor: Floor): number {
  const left = f.y1 - e.y1;
  const right = f.y2 - e.y2;
  if (left >= 0 && right >= 0) return areaAbove(width, e.y1, e.y2, floor);
  if (left <= 0 && right <= 0) return areaAbove(width, f.y1, f.y2, floor);
  const share = left / (left - right);
  const crossing = e.y1 + (e.y2 - e.y1) * share;
  return (
    areaAbove(width * share, left > 0 ? e.y1 : f.y1, crossing, floor) +
    areaAbove(width * (1 - share), crossing, left > 0 ? f.y2 : e.y2, floor)
  );
}

/** `shift`: by how many degrees to move the first shape. `south`: a latitude below which one of the two has nothing. */
type Sharing = { shift: number; south: number; work?: Work | undefined };

/**
 * The m² that two shapes share. Of a shape with itself it is that shape's own area, unless it covers a place twice or
 * inside out: then it is greater.
 */
export function sharedArea(a: Edges, b: Edges, { shift, south, work = UNLIMITED }: Sharing): number {
  if (a.all.length > b.all.length) return sharedArea(b, a, { shift: -shift, south, work });
  const floor = floorAt(south);
  // Each pair of edges counts twice there, but need be compared only once.
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
        const pieceE = { y1: at(e, west - shift), y2: at(e, east - shift) };
        const pieceF = { y1: at(f, west), y2: at(f, east) };
        const times = itself && e !== f ? 2 : 1;
        sum += times * e.sign * f.sign * areaUnderBoth(east - west, pieceE, pieceF, floor);
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
  return sum <= (east - west) * SLIVER ? 0 : sum;
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
