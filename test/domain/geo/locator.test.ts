import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Position, Rings } from '#domain/child/area.ts';
import { cellMiddle, cellOf } from '#domain/geo/grid.ts';
import { createLocator, locationMiddle } from '#domain/geo/locator.ts';
import { middleOf, shapeOf } from '#domain/geo/polygons.ts';
import { distanceKm } from '#domain/geo/sphere.ts';
import type { Locations, Polygonal, Region } from '#domain/plan/plan.ts';

const box = (west: number, south: number, east: number, north: number): Position[] => [
  [west, south],
  [east, south],
  [east, north],
  [west, north],
  [west, south],
];
const region = (name: string, ...rings: Position[][]): Region => ({
  name,
  area: { type: 'Polygon', coordinates: rings },
});
const at = (x: number, y: number): Position[] => Array.from({ length: 4 }, () => [x, y] as const);
const dot = (x: number, y: number): Rings => [box(x - 0.001, y - 0.001, x + 0.001, y + 0.001)];

const finder = (regions: Region[], outside: 'own' | 'refuse' = 'refuse') => {
  const { locate } = createLocator({ by: 'regions', regions, outside });
  return (area: Rings): string => {
    const located = locate({ id: 'me', area });
    return 'location' in located ? located.location : 'outside';
  };
};

describe('locations without geography', () => {
  it.each<[Locations, string]>([
    [{ by: 'all' }, 'all'],
    [{ by: 'child' }, 'edge-7'],
  ])('%j', (locations, location) => {
    const { locate, middle } = createLocator(locations);
    expect(locate({ id: 'edge-7', area: dot(0, 0) })).toEqual({ location });
    expect(middle(location)).toBeNull();
  });
});

describe('regions', () => {
  const west = region('west', box(0, 0, 10, 10));
  const east = region('east', box(10, 0, 20, 10));
  const hollow = region('ring', box(40, 0, 50, 10), box(42, 2, 48, 8));
  const core = region('core', box(42, 2, 48, 8));
  const pacific = region('pacific', box(170, 0, 190, 10));
  const islands: Region = {
    name: 'islands',
    area: {
      type: 'MultiPolygon',
      coordinates: [[box(-180, -20, -170, -10)], [box(170, -20, 180, -10)], [box(60, -20, 61, -19)]],
    },
  };
  const all = [west, east, hollow, core, pacific, islands];

  it.each<[string, Rings, string]>([
    ['well inside', dot(5, 5), 'west'],
    ['the whole region', [box(0, 0, 10, 10)], 'west'],
    ['the larger part in the east', [box(8, 4, 14, 6)], 'east'],
    ['the larger part in the west', [box(6, 4, 12, 6)], 'west'],
    ['half in each: the one listed first', [box(8, 4, 12, 6)], 'west'],
    [
      'the larger box, but not the larger area, in the west',
      [
        [
          [2, 5],
          [10, 4.9],
          [10, 1],
          [16, 1],
          [16, 9],
          [10, 9],
          [10, 5.1],
          [2, 5],
        ],
      ],
      'east',
    ],
    ['mostly outside', [box(-9, 4, 1, 6)], 'west'],
    ['only at the border', [box(-1, 4, 0, 6)], 'outside'],
    ['around all of it', [box(-1, -1, 10, 11)], 'west'],
    ['nowhere', dot(30, 5), 'outside'],
    ['within its bounds, but in the gap', dot(62, -15), 'outside'],
    ['in the ring', dot(41, 5), 'ring'],
    ['in its hole', dot(45, 5), 'core'],
    ['more in the hole than in the ring', [box(41.5, 4, 43, 5)], 'core'],
    ['more in the ring than in the hole', [box(41, 4, 42.5, 5)], 'ring'],
    ['with a hole, so less of it in the west', [box(6, 4, 12, 6), box(6.5, 4.1, 9.9, 5.9)], 'east'],
    ['past 180', dot(185, 5), 'pacific'],
    ['the same', dot(-175, 5), 'pacific'],
    ['a turn on', dot(535, 5), 'pacific'],
    ['in an eastern part', dot(-175, -15), 'islands'],
    ['in a western part', dot(175, -15), 'islands'],
    ['over the cut', [box(178, -15, 182, -14)], 'islands'],
    [
      'over the cut, jumping',
      [
        [
          [178, -15],
          [-178, -15],
          [-178, -14],
          [178, -14],
          [178, -15],
        ],
      ],
      'islands',
    ],
    ['in a part far off', dot(60.5, -19.5), 'islands'],
    ['a point', [at(5, 5)], 'west'],
    ['a point on a common border', [at(10, 5)], 'west'],
    ['a point on the outer border', [at(20, 5)], 'east'],
    ['a point in a hole', [at(45, 5)], 'core'],
    ['a point past 180', [at(185, 5)], 'pacific'],
    ['a point nowhere', [at(30, 5)], 'outside'],
    [
      'a line, its middle in the east',
      [
        [
          [8, 5],
          [16, 5],
          [16, 5],
          [8, 5],
        ],
      ],
      'east',
    ],
    [
      'a bow tie, its middle in the west',
      [
        [
          [4, 4],
          [8, 8],
          [8, 4],
          [4, 8],
          [4, 4],
        ],
      ],
      'west',
    ],
    [
      'a bow tie, its middle in the east',
      [
        [
          [8, 1],
          [16, 9],
          [16, 1],
          [8, 9],
          [8, 1],
        ],
      ],
      'east',
    ],
  ])('%s', (_, area, expected) => {
    expect(finder(all)(area)).toBe(expected);
  });

  it('gives children outside a location of their own, if the plan says so', () => {
    expect(finder(all, 'own')(dot(30, 5))).toBe('child:me');
    expect(finder(all, 'own')(dot(5, 5))).toBe('west');
    expect(finder([], 'own')(dot(5, 5))).toBe('child:me');
    expect(finder([])(dot(5, 5))).toBe('outside');
  });

  it('lists the first of equal parts, whatever the order', () => {
    expect(finder([east, west])([box(8, 4, 12, 6)])).toBe('east');
    expect(finder([east, west])([at(10, 5)])).toBe('east');
  });

  it('are equal parts whatever rounding makes of them', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4_999 }), fc.integer({ min: 1, max: 4_000 }), (half, height) => {
        const astride: Rings = [box(10 - half / 1000, 1, 10 + half / 1000, 1 + height / 1000)];
        expect(finder([west, east])(astride)).toBe('west');
        expect(finder([east, west])(astride)).toBe('east');
      }),
    );
  });

  it('know their middles', () => {
    const locations: Locations = { by: 'regions', regions: all, outside: 'own' };
    const { middle } = createLocator(locations);
    for (const of of [middle, (id: string) => locationMiddle(locations, id)]) {
      expect(of('west')).toEqual([5, 5]);
      expect(of('pacific')).toEqual([-180, 5]);
      expect(of('child:me')).toBeNull();
    }
  });

  const spellings: [string, Polygonal][] = [
    [
      'on past 180',
      {
        type: 'Polygon',
        coordinates: [
          [
            [175, -5],
            [186, -5],
            [184, 5],
            [175, 5],
            [175, -5],
          ],
        ],
      },
    ],
    [
      'jumping',
      {
        type: 'Polygon',
        coordinates: [
          [
            [175, -5],
            [-174, -5],
            [-176, 5],
            [175, 5],
            [175, -5],
          ],
        ],
      },
    ],
    [
      'cut',
      {
        type: 'MultiPolygon',
        coordinates: [
          [box(175, -5, 180, 5)],
          [
            [
              [-180, -5],
              [-174, -5],
              [-176, 5],
              [-180, 5],
              [-180, -5],
            ],
          ],
        ],
      },
    ],
  ];

  it.each(spellings)('across the antimeridian, spelled %s, hold the same children, however spelled', (_, area) => {
    const locator = (here: Polygonal) =>
      finder([{ name: 'here', area: here }, region('there', box(-174, -5, -160, 5))], 'own');
    const [find, reference] = [locator(area), locator(spellings[0]![1])];
    fc.assert(
      fc.property(
        fc.integer({ min: 1700, max: 1900 }),
        fc.integer({ min: -60, max: 60 }),
        fc.integer({ min: 1, max: 60 }),
        (x, y, size) => {
          const plain = box(x / 10, y / 10, (x + size) / 10, (y + size) / 10);
          const jumping = plain.map(([px, py]): Position => [px > 180 ? px - 360 : px, py]);
          const expected = reference([plain]);
          expect(find([plain])).toBe(expected);
          expect(find([jumping])).toBe(expected);
        },
      ),
    );
  });

  it('find each of 20,000 children in 10,000 regions', () => {
    const squares = Array.from({ length: 10_000 }, (_, i) => [(i % 100) - 50, Math.floor(i / 100) - 50] as const);
    const find = finder(squares.map(([x, y]) => region(`${x} ${y}`, box(x, y, x + 1, y + 1))));
    const wrong = squares.filter(([x, y]) => {
      const inside = find([box(x + 0.2, y + 0.2, x + 0.8, y + 0.8)]);
      const astride = find([box(x + 0.6, y + 0.6, x + 1.1, y + 1.1)]);
      return inside !== `${x} ${y}` || astride !== `${x} ${y}`;
    });
    expect(wrong).toEqual([]);
  });
});

describe('grid cells', () => {
  const longitude = fc.double({ min: -180, max: 540, noNaN: true });
  const latitude = fc.double({ min: -89, max: 89, noNaN: true });
  const size = fc.oneof(fc.integer({ min: 1, max: 20_000 }), fc.double({ min: 1, max: 500, noNaN: true }));

  it('have a middle that lies in them, and an id of few letters', () => {
    fc.assert(
      fc.property(longitude, latitude, size, (x, y, km) => {
        const id = cellOf([x, y], km);
        expect(id).toMatch(/^[ns]\d{1,2}(\.\d{1,3})?[ew]\d{1,3}(\.\d{1,3})?$/);
        const middle = cellMiddle(id, km);
        expect(middle && cellOf(middle, km)).toBe(id);
      }),
      { numRuns: 5_000 },
    );
  });

  it('are about square: no point is much further from the middle than a corner', () => {
    fc.assert(
      fc.property(longitude, latitude, fc.double({ min: 1, max: 300, noNaN: true }), (x, y, km) => {
        const middle = cellMiddle(cellOf([x, y], km), km);
        expect(middle).not.toBeNull();
        expect(distanceKm([x, y], middle!)).toBeLessThan(km * 0.95);
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([1, 7, 100, 333, 2_000, 20_000])('of %s km cover the globe without a gap or an overlap', (km) => {
    fc.assert(
      fc.property(longitude, latitude, (x, y) => {
        const [mx, my] = cellMiddle(cellOf([x, y], km), km)!;
        // The next cells to the east and the north begin where this one ends: half-way to their middles.
        const width = 360 / Math.max(1, Math.round((40_030.2 * Math.cos((my * Math.PI) / 180)) / km));
        const away = Math.abs(((((x - mx) % 360) + 540) % 360) - 180);
        expect(away).toBeLessThanOrEqual(width / 2 + 1e-9);
        expect(cellOf([mx + width * 0.499, my], km)).toBe(cellOf([x, y], km));
        if (width < 360) expect(cellOf([mx + width * 0.501, my], km)).not.toBe(cellOf([x, y], km));
        if (width < 360) expect(cellOf([mx - width * 0.501, my], km)).not.toBe(cellOf([x, y], km));
      }),
    );
  });

  it('are counted once: as many ids as rows and columns', () => {
    const ids = new Set<string>();
    for (let y = -89.9; y < 90; y += 0.9) for (let x = -180; x < 180; x += 0.9) ids.add(cellOf([x, y], 1_000));
    // 20 rows of 1,001 km, from pole to pole: 3 9 15 21 27 31 35 38 39 40 columns, and back.
    const columns = Array.from({ length: 20 }, (_, row) =>
      Math.round(40.0302 * Math.cos(((-90 + (row + 0.5) * 9) * Math.PI) / 180)),
    );
    expect(ids.size).toBe(columns.reduce((sum, count) => sum + count, 0));
  });

  it.each<[[number, number], number, string]>([
    [[13.4, 52.5], 100, 'n52.7e13.3'],
    [[373.4, 52.5], 100, 'n52.7e13.3'],
    [[-70.6, -33.4], 100, 's33.8w70.3'],
    [[13.4, 52.5], 1, 'n52.503e13.400'],
    [[180, 0.1], 1000, 'n5w176'],
    [[-180, 0.1], 1000, 'n5w176'],
    [[13.4, 52.5], 20_000, 'n0e90'],
    [[13.4, 90], 100, 'n89.6e0.0'],
  ])('%j, of %s km: %s', (point, km, id) => {
    expect(cellOf(point, km)).toBe(id);
  });

  it('end at the antimeridian, to the last digit', () => {
    for (const km of [1, 10, 100, 333, 20_000]) {
      expect(cellMiddle(cellOf([179.999_999_999_999_97, 1], km), km)?.[0]).toBeGreaterThan(0);
      expect(cellMiddle(cellOf([-180, 1], km), km)?.[0]).toBeLessThan(0);
    }
  });

  it('hold the middle of a child, however it is spelled', () => {
    const locations: Locations = { by: 'grid', cellKm: 250 };
    const { locate, middle } = createLocator(locations);
    const area: Rings = [box(177, 10, 185, 14)];
    const jumping: Rings = [
      [
        [177, 10],
        [-175, 10],
        [-175, 14],
        [177, 14],
        [177, 10],
      ],
    ];
    const location = cellOf([-179, 12], 250);
    expect(locate({ id: 'me', area })).toEqual({ location });
    expect(locate({ id: 'me', area: jumping })).toEqual({ location });
    expect(locate({ id: 'me', area: [at(181, 12)] })).toEqual({ location });
    expect(location).toBe(cellOf(middleOf(shapeOf(area)), 250));
    expect(middle(location)).toEqual(locationMiddle(locations, location));
    expect(distanceKm(middle(location)!, [181, 12])).toBeLessThan(250);
  });

  it.each(['', 'all', 'n52.7', 'n52.6e13.4', 'n52.70e13.3', 'N52.7E13.3', 'n95.0e13.3', 'r1c2'])('%j is none', (id) => {
    expect(cellMiddle(id, 100)).toBeNull();
  });
});
