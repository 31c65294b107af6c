import { describe, expect, it } from 'vitest';
import type { Position } from '#domain/child/area.ts';
import { geoFaults } from '#domain/geo/faults.ts';
import type { Locations, Order, Polygonal, Region, Target } from '#domain/plan/plan.ts';

const box = (west: number, south: number, east: number, north: number): Position[] => [
  [west, south],
  [east, south],
  [east, north],
  [west, north],
  [west, south],
];
const polygon = (...coordinates: Position[][]): Polygonal => ({ type: 'Polygon', coordinates });
const multi = (...coordinates: Position[][][]): Polygonal => ({ type: 'MultiPolygon', coordinates });
const everyone: Target = { kind: 'everyone' };
const all: Locations = { by: 'all' };
const joining: Order = { by: 'joining' };
const regions = (...list: Region[]): Locations => ({ by: 'regions', regions: list, outside: 'own' });
const faultsOf = (locations: Locations, target: Target = everyone, order: Order = joining): string[] =>
  geoFaults({ target, locations, order }).map(({ path, message }) => `${path}: ${message}`);
const areaFaults = (area: Polygonal): string[] => faultsOf(all, { kind: 'within', area });
const bowTie: Position[] = [
  [0, 0],
  [3, 3],
  [3, 0],
  [0, 3],
  [0, 0],
];

describe('an area', () => {
  it.each<[string, Polygonal]>([
    ['a box', polygon(box(0, 0, 1, 1))],
    ['clockwise', polygon(box(0, 0, 1, 1).toReversed())],
    ['with a hole', polygon(box(0, 0, 9, 9), box(1, 1, 2, 2))],
    [
      'with holes that touch one another and the border',
      polygon(box(0, 0, 9, 9), box(1, 1, 2, 2), box(2, 1, 3, 2), box(0, 5, 1, 6)),
    ],
    ['past 180', polygon(box(170, 0, 190, 1))],
    [
      'jumping',
      polygon([
        [170, 0],
        [-170, 0],
        [-170, 1],
        [170, 1],
        [170, 0],
      ]),
    ],
    ['cut', multi([box(170, 0, 180, 1)], [box(-180, 0, -170, 1)])],
    ['the globe', polygon(box(-180, -90, 180, 90))],
    [
      'round the pole',
      polygon([
        [0, 70],
        [90, 70],
        [180, 70],
        [-90, 70],
        [0, 70],
      ]),
    ],
    [
      'that touches itself',
      polygon([
        [0, 0],
        [2, 0],
        [1, 1],
        [2, 2],
        [0, 2],
        [1, 1],
        [0, 0],
      ]),
    ],
    ['a part in the hole of another', multi([box(0, 0, 9, 9), box(1, 1, 8, 8)], [box(3, 3, 4, 4)])],
    ['tiny islands far apart', multi([box(0, 0, 1e-5, 1e-5)], [box(90, 60, 90.000_01, 60.000_01)])],
    [
      'a metre wide and a hundred km long',
      polygon([
        [0, 0],
        [1, 1],
        [1.000_01, 1],
        [0.000_01, 0],
        [0, 0],
      ]),
    ],
  ])('%s is fine', (_, area) => {
    expect(areaFaults(area)).toEqual([]);
  });

  it.each<[string, Polygonal, string[]]>([
    [
      'an open ring',
      polygon(box(0, 0, 1, 1).slice(0, 4)),
      ['coordinates[0]: a ring is closed, its last point equals its first'],
    ],
    [
      'a short ring',
      polygon([
        [0, 0],
        [1, 1],
        [0, 0],
      ]),
      ['coordinates[0]: a ring needs at least four points'],
    ],
    [
      'an open hole',
      polygon(box(0, 0, 9, 9), box(1, 1, 2, 2).slice(1)),
      ['coordinates[1]: a ring is closed, its last point equals its first'],
    ],
    [
      'a longitude',
      polygon([
        [0, 0],
        [541, 0],
        [1, 1],
        [0, 0],
      ]),
      ['coordinates[0][1]: a longitude lies between -180 and 540'],
    ],
    [
      'a longitude',
      polygon([
        [0, 0],
        [-181, 0],
        [1, 1],
        [0, 0],
      ]),
      ['coordinates[0][1]: a longitude lies between -180 and 540'],
    ],
    [
      'a latitude',
      polygon([
        [0, 0],
        [1, 0],
        [1, 91],
        [0, 0],
      ]),
      ['coordinates[0][2]: a latitude lies between -90 and 90'],
    ],
    [
      'no number',
      polygon([
        [0, 0],
        [1, 0],
        [1, Number.NaN],
        [0, 0],
      ]),
      ['coordinates[0][2]: a latitude lies between -90 and 90'],
    ],
    ['no ring', polygon(), ['coordinates: a Polygon needs at least one ring']],
    ['no Polygon', multi(), ['a MultiPolygon needs at least one Polygon']],
    ['a Polygon without rings', multi([box(0, 0, 1, 1)], []), ['coordinates[1]: a Polygon needs at least one ring']],
    [
      'two faults',
      multi(
        [box(0, 0, 1, 1).slice(1)],
        [
          [
            [0, 0],
            [1, 1],
            [0, 0],
          ],
        ],
      ),
      [
        'coordinates[0][0]: a ring is closed, its last point equals its first',
        'coordinates[1][0]: a ring needs at least four points',
      ],
    ],
    [
      'a line',
      polygon([
        [0, 0],
        [1, 1],
        [3, 3],
        [0, 0],
      ]),
      ['coordinates: has no area'],
    ],
    [
      'an upright line',
      polygon([
        [0, 0],
        [0, 1],
        [0, 3],
        [0, 0],
      ]),
      ['coordinates: has no area'],
    ],
    [
      'a point',
      multi(
        [box(0, 0, 1, 1)],
        [
          [
            [5, 5],
            [5, 5],
            [5, 5],
            [5, 5],
          ],
        ],
      ),
      ['coordinates[1]: has no area'],
    ],
    ['a bow tie', polygon(bowTie), ['coordinates: crosses itself, or has a hole that lies outside or on another']],
    [
      'a bow tie past 180',
      polygon(bowTie.map(([x, y]) => [x + 178, y])),
      ['coordinates: crosses itself, or has a hole that lies outside or on another'],
    ],
    [
      'a loop',
      polygon([
        [0, 0],
        [9, 0],
        [9, 9],
        [4, 9],
        [4, -1],
        [3, -1],
        [3, 9],
        [0, 9],
        [0, 0],
      ]),
      ['coordinates: crosses itself, or has a hole that lies outside or on another'],
    ],
    [
      'twice round',
      polygon([...box(0, 0, 1, 1), ...box(0, 0, 1, 1).slice(1)]),
      ['coordinates: crosses itself, or has a hole that lies outside or on another'],
    ],
    [
      'a hole that sticks out',
      polygon(box(0, 0, 9, 9), box(5, 5, 10, 6)),
      ['coordinates: crosses itself, or has a hole that lies outside or on another'],
    ],
    [
      'a hole outside',
      polygon(box(0, 0, 9, 9), box(10, 5, 11, 6)),
      ['coordinates: crosses itself, or has a hole that lies outside or on another'],
    ],
    [
      'holes that overlap',
      polygon(box(0, 0, 9, 9), box(1, 1, 3, 3), box(2, 2, 4, 4)),
      ['coordinates: crosses itself, or has a hole that lies outside or on another'],
    ],
    ['parts that overlap', multi([box(0, 0, 2, 2)], [box(1, 1, 3, 3)]), ['its Polygons overlap one another']],
    [
      'parts that overlap past 180',
      multi([box(170, 0, 190, 2)], [box(-175, 1, -174, 2)]),
      ['its Polygons overlap one another'],
    ],
    [
      'more than the globe',
      polygon([
        [-180, 0],
        [0, 0],
        [180, 0],
        [181, 0],
        [181, 9],
        [0, 9],
        [-180, 9],
        [-180, 0],
      ]),
      ['coordinates: goes round the globe more than once'],
    ],
  ])('with a fault (%s)', (_, area, expected) => {
    expect(areaFaults(area)).toEqual(expected.map((message) => `target.within: ${message}`));
  });

  it('may have 100,000 points, but no more', () => {
    const round = (points: number): Position[] => {
      const ring = Array.from({ length: points - 1 }, (_, i): Position => {
        const [angle, radius] = [(2 * Math.PI * i) / (points - 1), 9];
        return [radius * Math.cos(angle), radius * Math.sin(angle)];
      });
      return [...ring, ring[0]!];
    };
    expect(areaFaults(polygon(round(100_000)))).toEqual([]);
    expect(areaFaults(polygon(round(100_001)))).toEqual(['target.within: at most 100000 points in all rings']);
    const crossed = round(100_000).with(500, [0, -20]);
    expect(areaFaults(polygon(crossed))).toEqual([
      'target.within: coordinates: crosses itself, or has a hole that lies outside or on another',
    ]);
  });

  it('that would take too long to check is refused', () => {
    const teeth = Array.from({ length: 600 }, (_, i): Position => [(i % 2) * 40, i / 20]);
    const comb = polygon([...teeth, [-1, 30], [-1, 0], [0, 0]]);
    const plan = { locations: all, order: joining };
    expect(geoFaults({ target: { kind: 'within', area: comb }, ...plan })).toEqual([]);
    expect(geoFaults({ target: { kind: 'within', area: comb }, ...plan }, 10_000)).toEqual([
      { path: 'target.within', message: 'too intricate to be checked: simplify the borders' },
    ]);
    const locations = regions({ name: 'comb', area: comb }, { name: 'box', area: polygon(box(50, 0, 51, 1)) });
    expect(geoFaults({ target: everyone, locations, order: joining }, 10_000)).toEqual([
      { path: 'locations.regions', message: 'too intricate to be checked: simplify the borders' },
    ]);
  });
});

describe('regions', () => {
  const named = (name: string, i = 0): Region => ({ name, area: polygon(box(2 * i, 0, 2 * i + 1, 1)) });
  const LETTERS = 'a region has a name of 1 to 64 letters, digits, spaces and . _ - that starts with a letter or digit';

  it.each(['Berlin', 'Île-de-France 2', '東京', '1', 'a'.repeat(64), 'All', 'wave'])('may be called %j', (name) => {
    expect(faultsOf(regions(named(name)))).toEqual([]);
  });

  it.each([
    ['', LETTERS],
    ['-a', LETTERS],
    [' a', LETTERS],
    ['a/b', LETTERS],
    ['a'.repeat(65), LETTERS],
    ['all', '"all" means something else already'],
    ['child:a', '"child:…" means something else already'],
    ['wave-2', '"wave-…" means something else already'],
  ])('may not be called %j', (name, message) => {
    expect(faultsOf(regions(named('fine'), named(name, 1)))).toEqual([
      `locations.regions.features[1].properties.name: ${message}`,
    ]);
  });

  const [here, over] = [polygon(box(0, 0, 2, 2)), polygon(box(1, 1, 3, 3))];
  const pairs = (a: Polygonal, b: Polygonal) => faultsOf(regions({ name: 'a', area: a }, { name: 'b', area: b }));
  const overlap = ['locations.regions.features[1].geometry: overlaps features[0] (a)'];

  it.each<[string, Polygonal, Polygonal]>([
    ['partly', here, over],
    ['wholly', here, here],
    ['one in the other', here, polygon(box(0.5, 0.5, 0.6, 0.6))],
    ['one around the other', polygon(box(0.5, 0.5, 0.6, 0.6)), here],
    ['crosswise', polygon(box(0, 1, 3, 2)), polygon(box(1, 0, 2, 3))],
    ['over the antimeridian', polygon(box(170, 0, 190, 5)), polygon(box(-175, 0, -170, 5))],
    [
      'over the antimeridian, jumping',
      polygon([
        [170, 0],
        [-170, 0],
        [-170, 5],
        [170, 5],
        [170, 0],
      ]),
      polygon(box(-175, 0, -170, 5)),
    ],
    ['over the antimeridian, cut', multi([box(170, 0, 180, 5)], [box(-180, 0, -170, 5)]), polygon(box(535, 0, 540, 5))],
    ['in a part', multi([box(40, 0, 41, 1)], [box(50, 0, 51, 1)]), polygon(box(50.5, 0, 52, 1))],
    ['in the hole and more', polygon(box(0, 0, 9, 9), box(1, 1, 8, 8)), polygon(box(1, 1, 8.1, 8))],
    ['by a little', here, polygon(box(1.9999, 0, 4, 2))],
  ])('that overlap %s are found', (_, a, b) => {
    expect(pairs(a, b)).toEqual(overlap);
  });

  it.each<[string, Polygonal, Polygonal]>([
    ['a border', here, polygon(box(2, 0, 3, 2))],
    ['a corner', here, polygon(box(2, 2, 3, 3))],
    [
      'a slanting border that one of them has more points on',
      polygon([
        [0, 0],
        [10, 10],
        [0, 10],
        [0, 0],
      ]),
      polygon([
        [0, 0],
        [10, 0],
        [10, 10],
        [7, 7],
        [3, 3],
        [0, 0],
      ]),
    ],
    ['the border at 180', polygon(box(170, 0, 180, 5)), polygon(box(-180, 0, -170, 5))],
    ['a hole', polygon(box(0, 0, 9, 9), box(1, 1, 8, 8)), polygon(box(1, 1, 8, 8))],
    ['a sliver of 0.1 m', here, polygon(box(1.999_999, 0, 4, 2))],
    ['only their bounds', multi([box(0, 0, 1, 1)], [box(8, 8, 9, 9)]), polygon(box(4, 4, 5, 5))],
  ])('that share %s are fine', (_, a, b) => {
    expect(pairs(a, b)).toEqual([]);
  });

  it('whose overlap would take too long to check are refused', () => {
    const comb = (teeth: number, west: number, south: number): Polygonal => {
      const points = Array.from({ length: teeth }, (_, i): Position => [west + (i % 2) * 40, south + (i * 30) / teeth]);
      return polygon([...points, [west - 1, south + 30], [west - 1, south], [west, south]]);
    };
    // Enough to check each of them, but not for what they share.
    const faults = (west: number): string[] =>
      geoFaults(
        {
          target: everyone,
          locations: regions({ name: 'a', area: comb(300, 0, 0) }, { name: 'b', area: comb(320, west, 0.03) }),
          order: joining,
        },
        800_000,
      ).map(({ message }) => message);
    expect(faults(100)).toEqual([]);
    expect(faults(0)).toEqual(['too intricate to be checked: simplify the borders']);
  });

  const grid = (size: number): Region[] =>
    Array.from({ length: size * size }, (_, i) => {
      const [x, y] = [(i % size) - 50, Math.floor(i / size) - 50];
      return { name: `${i}`, area: polygon(box(x, y, x + 1, y + 1)) };
    });

  it('may be 10,000, each with its neighbours, but no more', () => {
    const many = grid(100);
    expect(faultsOf(regions(...many))).toEqual([]);
    const stray = { name: 'stray', area: polygon(box(10.5, 10.4, 10.6, 10.6)) };
    const astray = many.with(9_000, stray);
    expect(faultsOf(regions(...astray))).toEqual([
      'locations.regions.features[9000].geometry: overlaps features[6060] (6060)',
    ]);
    expect(faultsOf(regions(...many, stray))).toEqual(['locations.regions: at most 10000 regions']);
  });

  it('that are all the same are each told once', () => {
    const same = Array.from({ length: 10_000 }, (_, i): Region => ({ name: `${i}`, area: here }));
    const faults = geoFaults({ target: everyone, locations: regions(...same), order: joining });
    expect(faults.map(({ path }) => path)).toEqual(
      same.slice(1).map((_, i) => `locations.regions.features[${i + 1}].geometry`),
    );
  });
});

describe('a plan', () => {
  const grid = (cellKm: number): Locations => ({ by: 'grid', cellKm });
  const from = (longitude: number, latitude: number): Order => ({ by: 'distance', from: [longitude, latitude] });

  it.each([1, 100, 20_000])('may have cells of %s km', (km) => {
    expect(faultsOf(grid(km))).toEqual([]);
  });

  it.each([0, 0.99, -5, 20_001, Number.NaN])('may not have cells of %s km', (km) => {
    expect(faultsOf(grid(km))).toEqual(['locations.grid_km: a cell measures from 1 to 20000 km']);
  });

  it.each([
    [180, 90, true],
    [-180, -90, true],
    [181, 0, false],
    [-181, 0, false],
    [0, 91, false],
    [0, -91, false],
    [Number.NaN, 0, false],
  ])('that starts from %s, %s: %s', (longitude, latitude, fine) => {
    const faults = ['order.distance_from: a longitude lies between -180 and 180, a latitude between -90 and 90'];
    expect(faultsOf(all, everyone, from(longitude, latitude))).toEqual(fine ? [] : faults);
  });

  it('has all its faults told at once', () => {
    const locations = regions(
      { name: 'a', area: polygon(box(0, 0, 2, 2)) },
      { name: 'a', area: polygon(box(1, 1, 3, 3)) },
      { name: 'all', area: polygon(bowTie) },
      { name: '', area: polygon(box(0, 0, 1, 95)) },
    );
    const target: Target = { kind: 'intersects', area: polygon(box(0, 0, 0, 0)) };
    expect(geoFaults({ target, locations, order: from(999, 0) }).map(({ path }) => path)).toEqual([
      'target.intersects',
      'locations.regions.features[1].properties.name',
      'locations.regions.features[2].properties.name',
      'locations.regions.features[3].properties.name',
      'locations.regions.features[2].geometry',
      'locations.regions.features[3].geometry',
      'locations.regions.features[1].geometry',
      'order.distance_from',
    ]);
  });
});
