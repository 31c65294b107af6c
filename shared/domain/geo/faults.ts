/** What is wrong with the geography of a plan: every fault at once, with its path as a user writes the plan. */
import type { Position } from '#domain/child/area.ts';
import { ALL, type Plan, type Polygonal, type Region } from '#domain/plan/plan.ts';
import type { Finding } from '#domain/strategy/strategy.ts';
import { createBoxIndex } from './boxes.ts';
import type { Work } from './edges.ts';
import { OWN_LOCATION } from './locator.ts';
import { overlapArea, type Shape, shapeOf } from './polygons.ts';
import { OVERLAP } from './tolerances.ts';

const MAX_REGIONS = 10_000;
const MAX_POINTS = 100_000;
const MAX_CELL_KM = 20_000;
/** As of a child's area: longitudes may go on past 180. */
const LONGITUDE = [-180, 540] as const;
const NAME = /^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,63}$/u;
/** Other locations, and groups of them, are called so. */
const RESERVED = [OWN_LOCATION, 'wave-'];
/** Pairs of edges, some ten seconds. A million points take half of it; a comb of 100,000 teeth would take an hour. */
const MAX_WORK = 1e8;
const TOO_INTRICATE = 'too intricate to be checked: simplify the borders';

/** Everything of a plan that depends on geography. The rest of it needs no geometry, and is checked where it is read. */
export function geoFaults(
  { target, locations, order }: Pick<Plan, 'target' | 'locations' | 'order'>,
  maxWork = MAX_WORK,
): Finding[] {
  const findings: Finding[] = [];
  const work: Work = { left: maxWork };
  if ('area' in target) {
    checkArea(target.area, `target.${target.kind}`, work, findings);
    if (work.left < 0) findings.push({ path: `target.${target.kind}`, message: TOO_INTRICATE });
  }
  if (locations.by === 'regions') checkRegions(locations.regions, work, findings);
  if (locations.by === 'grid' && !(locations.cellKm >= 1 && locations.cellKm <= MAX_CELL_KM))
    findings.push({ path: 'locations.grid_km', message: `a cell measures from 1 to ${MAX_CELL_KM} km` });
  if (order.by === 'distance' && !(Math.abs(order.from[0]) <= 180 && Math.abs(order.from[1]) <= 90))
    findings.push({
      path: 'order.distance_from',
      message: 'a longitude lies between -180 and 180, a latitude between -90 and 90',
    });
  return findings;
}

function checkRegions(regions: readonly Region[], work: Work, findings: Finding[]): void {
  if (regions.length > MAX_REGIONS) {
    findings.push({ path: 'locations.regions', message: `at most ${MAX_REGIONS} regions` });
    return;
  }
  const paths = regions.map((_, i) => `locations.regions.features[${i}]`);
  const seen = new Map<string, number>();
  for (const [i, { name }] of regions.entries()) {
    const message = nameFault(name, seen);
    if (message) findings.push({ path: `${paths[i]}.properties.name`, message });
    if (!seen.has(name)) seen.set(name, i);
  }
  const shapes = regions.map(({ area }, i) => checkArea(area, `${paths[i]}.geometry`, work, findings));
  for (const [i, j] of overlaps(shapes, work))
    findings.push({ path: `${paths[j]}.geometry`, message: `overlaps features[${i}] (${regions[i]?.name})` });
  if (work.left < 0) findings.push({ path: 'locations.regions', message: TOO_INTRICATE });
}

function nameFault(name: string, seen: ReadonlyMap<string, number>): string | null {
  const reserved = RESERVED.find((prefix) => name.startsWith(prefix));
  if (name === ALL || reserved) return `${reserved ? `"${reserved}…"` : `"${ALL}"`} means something else already`;
  if (!NAME.test(name))
    return 'a region has a name of 1 to 64 letters, digits, spaces and . _ - that starts with a letter or digit';
  const first = seen.get(name);
  return first === undefined ? null : `features[${first}] is called so already`;
}

/** For each shape, one before it that it overlaps: all of them could be fifty million pairs. */
function* overlaps(shapes: readonly (Shape | null)[], work: Work): Generator<[number, number]> {
  const parts = shapes.map((shape) => shape?.parts ?? []);
  const search = createBoxIndex(parts.flatMap((of, item) => of.map(({ box }) => ({ box, item }))));
  for (const [j, shape] of shapes.entries()) {
    const seen = new Set<number>();
    let other: number | null = null;
    for (const { box } of shape?.parts ?? [])
      search(box, (i) => {
        const before = i < j && work.left >= 0 && !seen.has(i) ? shapes[i] : null;
        if (!shape || !before) return other !== null;
        seen.add(i);
        const most = OVERLAP * Math.min(shape.area(), before.area());
        if (overlapArea(shape, before, work) > most && work.left >= 0) other = i;
        return other !== null;
      });
    if (other !== null) yield [other, j];
  }
}

/** The area made ready, unless it has a fault. */
function checkArea({ type, coordinates }: Polygonal, path: string, work: Work, findings: Finding[]): Shape | null {
  const polygons = type === 'Polygon' ? [coordinates] : coordinates;
  const of = (p: number): string => (type === 'Polygon' ? 'coordinates' : `coordinates[${p}]`);
  const faults = polygons.length === 0 ? ['a MultiPolygon needs at least one Polygon'] : [];
  const points = polygons.flat().reduce((sum, ring) => sum + ring.length, 0);
  if (points > MAX_POINTS) faults.push(`at most ${MAX_POINTS} points in all rings`);
  else
    for (const [p, rings] of polygons.entries()) {
      if (rings.length === 0) faults.push(`${of(p)}: a Polygon needs at least one ring`);
      for (const [r, ring] of rings.entries()) {
        const fault = ringFault(ring);
        if (fault) faults.push(`${of(p)}[${r}]${fault}`);
      }
    }
  const sound = faults.length === 0;
  if (sound)
    for (const [p, rings] of polygons.entries()) {
      const fault = shapeFault(shapeOf(rings, work), work);
      if (fault) faults.push(`${of(p)}: ${fault}`);
    }
  const shape = sound && faults.length === 0 ? shapeOf({ type, coordinates } as Polygonal, work) : null;
  if (shape && polygons.length > 1 && shape.defect() && work.left >= 0) faults.push('its Polygons overlap one another');
  findings.push(...faults.map((message) => ({ path, message })));
  return faults.length === 0 ? shape : null;
}

function ringFault(ring: readonly Position[]): string | null {
  if (ring.length < 4) return ': a ring needs at least four points';
  for (const [i, [longitude, latitude]] of ring.entries()) {
    if (!(longitude >= LONGITUDE[0] && longitude <= LONGITUDE[1]))
      return `[${i}]: a longitude lies between -180 and 540`;
    if (!(Math.abs(latitude) <= 90)) return `[${i}]: a latitude lies between -90 and 90`;
  }
  const [first, last] = [ring[0], ring.at(-1)];
  const closed = first?.[0] === last?.[0] && first?.[1] === last?.[1];
  return closed ? null : ': a ring is closed, its last point equals its first';
}

function shapeFault(shape: Shape, work: Work): string | null {
  if (shape.box[2] - shape.box[0] > 360) return 'goes round the globe more than once';
  const defect = shape.defect();
  if (work.left < 0 || defect === null) return null;
  return defect === 'flat' ? 'has no area' : 'crosses itself, or has a hole that lies outside or on another';
}
