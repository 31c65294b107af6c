/**
 * Geography beside turf: children over 10,000 cells and over 1,000 regions of 100 points, plans looked at, and function by
 * function what stays own. ADR 17 has what came of it.
 */
import type { Locations, Region } from '#domain/plan/plan.ts';
import {
  area,
  bbox,
  booleanPointInPolygon,
  booleanValid,
  booleanWithin,
  centerOfMass,
  featureCollection,
  intersect,
  polygon,
  squareGrid,
} from '@turf/turf';
import Flatbush from 'flatbush';
import { union } from 'polyclip-ts';
import { geoFaults } from '#domain/geo/faults.ts';
import { createLocator } from '#domain/geo/locator.ts';
import { areaOf, contains, middleOf, overlapArea, shapeOf, soundShapeOf } from '#domain/geo/polygons.ts';
import { OVERLAP } from '#domain/geo/tolerances.ts';
import { alternate, compared, type Contender, type Context, type Part, type Row } from '../lib/part.ts';

type Point = [number, number];
type Ring = Point[];
type Area = { type: 'Polygon'; coordinates: Ring[] };
type Child = { id: string; area: Ring[]; polygon: Area };

const CHILDREN = 1_000_000;
/** Different ones, each again and again: a million of them would measure the memory. */
const DIFFERENT = 100_000;
/** 10,000 cells on the globe. */
const CELL_KM = 226;
/** Of a region's border, on each of its four sides. */
const POINTS = 25;
/** How far a border strays from a straight line. */
const STRAY = 0.02;
/** Of a child: a square kilometre. */
const [WIDTH, HEIGHT] = [0.0101, 0.0083];
/** How often the clock is looked at. */
const AT_ONCE = 20;

const boxRing = (west: number, south: number, width: number, height: number): Ring => [
  [west, south],
  [west + width, south],
  [west + width, south + height],
  [west, south + height],
  [west, south],
];

/** The same numbers in each run. */
function createRandom(): () => number {
  let state = 1;
  return () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
}

function childrenIn(west: number, south: number, east: number, north: number): Child[] {
  const random = createRandom();
  return Array.from({ length: DIFFERENT }, (_, i) => {
    const ring = boxRing(west + random() * (east - west), south + random() * (north - south), WIDTH, HEIGHT);
    return { id: `${i}`, area: [ring], polygon: { type: 'Polygon', coordinates: [ring] } };
  });
}

/** One degree square; neighbours have the same points on their common border. */
function winding(west: number, south: number): Ring {
  const stray = (x: number, y: number): Point => [
    x + STRAY * Math.sin(7 * x + 13 * y),
    y + STRAY * Math.sin(11 * x - 5 * y),
  ];
  const steps = Array.from({ length: POINTS }, (_, i) => i / POINTS);
  const ring = [
    ...steps.map((t) => stray(west + t, south)),
    ...steps.map((t) => stray(west + 1, south + t)),
    ...steps.map((t) => stray(west + 1 - t, south + 1)),
    ...steps.map((t) => stray(west, south + 1 - t)),
  ];
  return [...ring, ...ring.slice(0, 1)];
}

const regionsOf = (columns: number, rows: number, ring: (west: number, south: number) => Ring): Region[] =>
  Array.from({ length: columns * rows }, (_, i) => ({
    name: `${i}`,
    area: {
      type: 'Polygon',
      coordinates: [ring((i % columns) - columns / 2, Math.floor(i / columns) - Math.floor(rows / 2))],
    },
  }));

/** How many a second, of all or of as many as there is time for. */
const perSecond =
  (seconds: number, work: (i: number) => unknown): Contender =>
  () => {
    const start = performance.now();
    let done = 0;
    do for (let i = 0; i < AT_ONCE; i++) work(done++ % DIFFERENT);
    while (done < CHILDREN && performance.now() - start < seconds * 1000);
    return Promise.resolve(done / ((performance.now() - start) / 1000));
  };

function indexOf(polygons: readonly Area[]): Flatbush {
  const index = new Flatbush(polygons.length);
  for (const one of polygons) {
    const [west, south, east, north] = bbox(one);
    index.add(west, south, east, north);
  }
  index.finish();
  return index;
}

const both = (a: Area, b: Area) => featureCollection([polygon(a.coordinates), polygon(b.coordinates)]);

/** As one would write it with libraries only: the region that a child is within, or shares most with. */
function turfRegions(regions: readonly Region[]): (child: Area) => number {
  const polygons = regions.map((region) => region.area as Area);
  const index = indexOf(polygons);
  return (child) => {
    const best = { region: -1, share: 0 };
    const [west, south, east, north] = bbox(child);
    for (const region of index.search(west, south, east, north)) {
      const other = polygons[region] as Area;
      if (booleanWithin(child, other)) return region;
      const common = intersect(both(child, other));
      const share = common ? area(common) : 0;
      if (share > best.share) Object.assign(best, { region, share });
    }
    return best.region;
  };
}

function turfCells(): (child: Area) => number {
  const cells = squareGrid([-180, -90, 180, 90], CELL_KM).features.map(({ geometry }) => geometry as Area);
  const index = indexOf(cells);
  return (child) => {
    const [x, y] = centerOfMass(child).geometry.coordinates as Point;
    return index.search(x, y, x, y).find((cell) => booleanPointInPolygon([x, y], cells[cell] as Area)) ?? -1;
  };
}

/** How many regions are not valid or overlap one before them. */
function turfCheck(regions: readonly Region[]): number {
  const polygons = regions.map((region) => region.area as Area);
  const index = indexOf(polygons);
  const overlaps = (one: Area, other: Area): boolean => {
    const common = intersect(both(one, other));
    return common !== null && area(common) > OVERLAP * Math.min(area(one), area(other));
  };
  return polygons.filter((one, i) => {
    const [west, south, east, north] = bbox(one);
    const before = index.search(west, south, east, north, (j) => j < i);
    return !booleanValid(one) || before.some((j) => overlaps(one, polygons[j] as Area));
  }).length;
}

const squares = (): Region[] => regionsOf(100, 100, (west, south) => boxRing(west, south, 1, 1));
const windings = (): Region[] => regionsOf(40, 25, winding);
const byRegions = (regions: Region[]): Locations => ({ by: 'regions', regions, outside: 'own' });

type Line = { what: string; ours: Contender; turf: Contender };

/** Children over cells and regions. */
function locating({ seconds }: Context): Line[] {
  const line = (what: string, locations: Locations, children: Child[], turf: (child: Area) => number): Line => {
    const { locate } = createLocator(locations);
    const child = (i: number): Child => children[i] as Child;
    return {
      what: `children over ${what}`,
      ours: perSecond(seconds, (i) => locate(child(i))),
      turf: perSecond(seconds, (i) => turf(child(i).polygon)),
    };
  };
  const [many, pointed] = [squares(), windings()];
  return [
    line('10,000 cells', { by: 'grid', cellKm: CELL_KM }, childrenIn(-180, -85, 180, 85), turfCells()),
    line('10,000 regions', byRegions(many), childrenIn(-50, -50, 49, 49), turfRegions(many)),
    line('1,000 of 100 points', byRegions(pointed), childrenIn(-19, -11, 19, 12), turfRegions(pointed)),
  ];
}

/** Whole plans, as at the start of a release. */
function checking(): Line[] {
  const line = (what: string, regions: Region[]): Line => {
    const plan = { target: { kind: 'everyone' }, locations: byRegions(regions), order: { by: 'joining' } } as const;
    const plans = (work: () => unknown): Contender => {
      return () => {
        const start = performance.now();
        work();
        return Promise.resolve(1000 / (performance.now() - start));
      };
    };
    return {
      what: `plans of ${what}`,
      ours: plans(() => geoFaults(plan)),
      turf: plans(() => turfCheck(regions)),
    };
  };
  return [line('10,000 regions', squares()), line('1,000 of 100 points', windings())];
}

/** What the lines spend their time on. */
function functions({ seconds }: Context): Line[] {
  const children = childrenIn(-19, -11, 19, 12);
  const at = (i: number): Area => (children[i] as Child).polygon;
  const region = { type: 'Polygon', coordinates: [winding(0, 0)] } satisfies Area;
  const shape = soundShapeOf(region);
  const border = region.coordinates[0] as Ring;
  const point = (i: number): Point => border[i % border.length] as Point;
  const astride = (i: number): Area => ({ type: 'Polygon', coordinates: [boxRing(...point(i), WIDTH, HEIGHT)] });
  const line = (what: string, ours: (i: number) => unknown, turf: (i: number) => unknown): Line => ({
    what,
    ours: perSecond(seconds / 4, ours),
    turf: perSecond(seconds / 4, turf),
  });
  return [
    line(
      'area',
      (i) => areaOf(soundShapeOf(at(i))),
      (i) => area(at(i)),
    ),
    line(
      'middle (center-of-mass)',
      (i) => middleOf(soundShapeOf(at(i))),
      (i) => centerOfMass(at(i)),
    ),
    line(
      'validity (boolean-valid)',
      (i) => shapeOf(at(i)).defect(),
      (i) => booleanValid(at(i)),
    ),
    line(
      'validity (polyclip union)',
      (i) => shapeOf(at(i)).defect(),
      (i) => union(at(i).coordinates),
    ),
    line(
      'point on a border',
      (i) => contains(shape, point(i)),
      (i) => booleanPointInPolygon(point(i), region),
    ),
    line(
      'overlap at a border',
      (i) => overlapArea(shapeOf(astride(i)), shape),
      (i) => intersect(both(astride(i), region)),
    ),
  ];
}

export const geo: Part = {
  name: 'geo',
  about: 'children located, plans looked at: own lines beside turf',
  async run(context) {
    const rows: Row[] = [];
    for (const make of [locating, checking, functions])
      for (const { what, ours, turf } of make(context)) {
        context.say(`  ${what}`);
        const values = await alternate(context.rounds, { ours, turf });
        rows.push(compared({ part: 'geo', what, unit: '/s' }, values.ours, { what: 'turf', values: values.turf }));
      }
    return rows;
  },
};
