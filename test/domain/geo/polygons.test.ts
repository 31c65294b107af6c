import { area as turfArea, booleanPointInPolygon, featureCollection, intersect, polygon } from '@turf/turf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Position, Rings } from '#domain/child/area.ts';
import {
  areaOf,
  boundsOf,
  contains,
  intersects,
  isWithin,
  middleOf,
  overlapArea,
  shapeOf,
  touches,
} from '#domain/geo/polygons.ts';
import { normalLongitude } from '#domain/geo/rings.ts';
import { distanceKm } from '#domain/geo/sphere.ts';
import type { Polygonal } from '#domain/plan/plan.ts';

const box = (west: number, south: number, east: number, north: number): Position[] => [
  [west, south],
  [east, south],
  [east, north],
  [west, north],
  [west, south],
];
const boxes = (...all: [number, number, number, number][]): Polygonal => ({
  type: 'MultiPolygon',
  coordinates: all.map((one) => [box(...one)]),
});
const square = (west: number, south: number, east: number, north: number) => shapeOf([box(west, south, east, north)]);
const withHole = shapeOf([box(0, 0, 10, 10), box(2, 2, 8, 8)]);

/** Points round a centre, at any distance: never crossing itself, seldom convex. */
const stars = (x: fc.Arbitrary<number>, y: fc.Arbitrary<number>, radius: number): fc.Arbitrary<Position[][]> =>
  fc
    .tuple(x, y, fc.array(fc.double({ min: 0.1, max: 1, noNaN: true }), { minLength: 5, maxLength: 60 }), fc.boolean())
    .map(([cx, cy, radii, clockwise]) => {
      const ring = radii.map((r, i): Position => {
        const angle = (2 * Math.PI * i) / radii.length;
        return [cx + radius * r * Math.cos(angle), cy + radius * r * Math.sin(angle)];
      });
      const closed = [...ring, ring[0]!];
      return [clockwise ? closed.toReversed() : closed];
    });
const degrees = (min: number, max: number) => fc.double({ min, max, noNaN: true });
const plain = (rings: Rings): number[][][] => rings.map((ring) => ring.map((position) => [...position]));
const moved = (rings: Rings, by: number): Position[][] =>
  rings.map((ring) => ring.map(([x, y]): Position => [x + by, y]));
const jumping = (rings: Rings): Position[][] =>
  rings.map((ring) => ring.map(([x, y]): Position => [x >= 180 ? x - 360 : x, y]));

describe('areas in square metres', () => {
  const quarter = (4 * Math.PI * 6_371_008.8 ** 2) / 4;
  it.each<[string, Rings | Polygonal, number]>([
    ['half of the northern half', [box(0, 0, 180, 90)], quarter],
    ['the whole globe', [box(-180, -90, 180, 90)], 4 * quarter],
    [
      'a box with a hole',
      [box(0, 0, 10, 10), box(2, 2, 8, 8)],
      areaOf(square(0, 0, 10, 10)) - areaOf(square(2, 2, 8, 8)),
    ],
    ['its hole spelled like its border', [box(0, 0, 10, 10), box(2, 2, 8, 8).toReversed()], areaOf(withHole)],
    ['its border clockwise', [box(0, 0, 10, 10).toReversed(), box(2, 2, 8, 8)], areaOf(withHole)],
    ['two boxes', boxes([0, 0, 1, 1], [5, 0, 6, 1]), 2 * areaOf(square(0, 0, 1, 1))],
    [
      'a point',
      [
        [
          [5, 5],
          [5, 5],
          [5, 5],
          [5, 5],
        ],
      ],
      0,
    ],
    [
      'a line',
      [
        [
          [0, 0],
          [1, 1],
          [2, 2],
          [0, 0],
        ],
      ],
      0,
    ],
  ])('%s', (_, area, expected) => {
    expect(areaOf(shapeOf(area))).toBeCloseTo(expected, -Math.log10(Math.max(1, expected)) + 12);
    expect(areaOf(shapeOf(area)) > 0).toBe(expected > 0);
  });

  it('is that of turf, and what two share too', () => {
    const near = () => stars(degrees(10, 10.1), degrees(50, 50.1), 0.07);
    fc.assert(
      fc.property(near(), near(), (a, b) => {
        const [turfA, turfB] = [polygon(plain(a)), polygon(plain(b))];
        const common = intersect(featureCollection([turfA, turfB]));
        const [ours, theirs] = [overlapArea(shapeOf(a), shapeOf(b)), common ? turfArea(common) : 0];
        expect(Math.abs(areaOf(shapeOf(a)) / turfArea(turfA) - 1)).toBeLessThan(1e-3);
        expect(Math.abs(ours - theirs)).toBeLessThan(1e-3 * Math.min(turfArea(turfA), turfArea(turfB)));
      }),
    );
  });

  it('has the same digits for a few metres, and with many points', () => {
    const few = square(13, 52, 13.00001, 52.00001);
    const many = shapeOf([
      [
        ...Array.from({ length: 400 }, (_, i): Position => [13 + i * 2.5e-8, 52]),
        ...box(13, 52, 13.00001, 52.00001).slice(1),
      ],
    ]);
    const [width, height] = [distanceKm([13, 52], [13.00001, 52]), distanceKm([13, 52], [13, 52.00001])];
    expect(areaOf(few) / (width * height * 1e6)).toBeCloseTo(1, 6);
    expect(areaOf(many) / areaOf(few)).toBeCloseTo(1, 8);
  });
});

describe('what two areas share', () => {
  it('is all of it with itself, the same from both sides, and adds up over its parts', () => {
    const anywhere = stars(degrees(-180, 180), degrees(-70, 70), 15);
    fc.assert(
      fc.property(anywhere, anywhere, degrees(-14, 14), (a, b, cut) => {
        const [one, other] = [shapeOf(a), shapeOf(b)];
        const at = a[0]![0]![0] + cut;
        const [west, east] = [square(at - 60, -90, at, 90), square(at, -90, at + 60, 90)];
        const all = areaOf(one);
        expect(overlapArea(one, one) / all).toBeCloseTo(1, 9);
        expect((overlapArea(one, west) + overlapArea(one, east)) / all).toBeCloseTo(1, 9);
        expect(overlapArea(one, other) / all).toBeCloseTo(overlapArea(other, one) / all, 9);
      }),
    );
  });

  it('does not depend on how often round the globe they are spelled', () => {
    fc.assert(
      fc.property(
        stars(degrees(170, 190), degrees(-60, 60), 8),
        stars(degrees(170, 190), degrees(-60, 60), 8),
        (a, b) => {
          const expected = overlapArea(shapeOf(a), shapeOf(b));
          for (const spelling of [jumping(a), moved(a, 360), moved(a, -360)]) {
            const difference = Math.abs(overlapArea(shapeOf(spelling), shapeOf(b)) - expected);
            expect(difference).toBeLessThan(1e-9 * areaOf(shapeOf(a)));
          }
        },
      ),
    );
  });
});

describe('two areas', () => {
  const whole = square(-180, -90, 180, 90);
  // Many edges below, one above, and upright sides, which are no edges to the sums.
  const manyPoints = shapeOf([
    [...Array.from({ length: 101 }, (_, i): Position => [i / 10, 0]), [10, 10], [0, 10], [0, 0]],
  ]);
  const slanting: Position[] = [
    [0, 0],
    [10, 7],
    [0, 7],
    [0, 0],
  ];
  const onSlope = [9.1, 7.7, 4.3, 3.3, 0.7].map((x): Position => [x, x * 0.7]);
  it.each<[string, ReturnType<typeof shapeOf>, ReturnType<typeof shapeOf>, string]>([
    ['apart', square(0, 0, 1, 1), square(2, 2, 3, 3), ''],
    ['apart in latitude only', square(0, 0, 1, 1), square(0, 2, 1, 3), ''],
    ['with a common border', square(0, 0, 1, 1), square(1, 0, 2, 1), 'touches'],
    ['with a common corner', square(0, 0, 1, 1), square(1, 1, 2, 2), 'touches'],
    ['with a common border at the antimeridian', square(170, 0, 180, 1), square(-180, 0, -170, 1), 'touches'],
    ['that overlap', square(0, 0, 2, 2), square(1, 1, 3, 3), 'touches intersects'],
    ['that overlap past 180', square(170, 0, 190, 1), square(-175, 0, -170, 1), 'touches intersects'],
    ['like a cross', square(0, 1, 3, 2), square(1, 0, 2, 3), 'touches intersects'],
    ['the one in the other', square(1, 1, 2, 2), square(0, 0, 3, 3), 'touches intersects within'],
    ['the one in the other, at its border', square(0, 0, 2, 2), square(0, 0, 3, 3), 'touches intersects within'],
    ['the same', square(0, 0, 2, 2), square(0, 0, 2, 2), 'touches intersects within'],
    ['the one around the other', square(0, 0, 3, 3), square(1, 1, 2, 2), 'touches intersects'],
    ['the one in the hole of the other', square(3, 3, 7, 7), withHole, ''],
    ['the one filling the hole of the other', square(2, 2, 8, 8), withHole, 'touches'],
    ['the one over the hole and more', square(1, 1, 9, 9), withHole, 'touches intersects'],
    ['the one beside the hole', square(0, 0, 2, 10), withHole, 'touches intersects within'],
    [
      'the one over a cut at the antimeridian',
      square(175, 2, 185, 3),
      shapeOf(boxes([170, 0, 180, 9], [-180, 0, -170, 9])),
      'touches intersects within',
    ],
    [
      'the one over a cut elsewhere',
      square(4, 2, 6, 3),
      shapeOf(boxes([0, 0, 5, 9], [5, 0, 10, 9])),
      'touches intersects within',
    ],
    ['the one between two parts', square(4, 2, 6, 3), shapeOf(boxes([0, 0, 3, 9], [7, 0, 10, 9])), ''],
    ['the one half out of a border of many points', square(8, 2, 12, 3), manyPoints, 'touches intersects'],
    ['the one inside a border of many points', square(3, 2, 7, 3), manyPoints, 'touches intersects within'],
    [
      'beside a slanting border',
      shapeOf([slanting]),
      shapeOf([[[0, 0], [10, 0], [10, 7], ...onSlope, [0, 0]]]),
      'touches',
    ],
    [
      'the same, with more points on a slope',
      shapeOf([[[0, 0], ...onSlope.toReversed(), ...slanting.slice(1)]]),
      shapeOf([slanting]),
      'touches intersects within',
    ],
    ['the one in the whole globe', square(175, -5, 185, 5), whole, 'touches intersects within'],
    ['the whole globe in the one', whole, square(175, -5, 185, 5), 'touches intersects'],
    [
      'the one round the pole',
      square(40, 80, 50, 81),
      shapeOf([
        [
          [0, 70],
          [90, 70],
          [180, 70],
          [-90, 70],
          [0, 70],
        ],
      ]),
      'touches intersects within',
    ],
    [
      'the one below that round the pole',
      square(40, 60, 50, 61),
      shapeOf([
        [
          [0, 70],
          [90, 70],
          [180, 70],
          [-90, 70],
          [0, 70],
        ],
      ]),
      '',
    ],
    [
      'the one round the other pole, spelled along it',
      square(40, -81, 50, -80),
      shapeOf([
        [
          [-180, -70],
          [0, -65],
          [180, -70],
          [180, -90],
          [-180, -90],
          [-180, -70],
        ],
      ]),
      'touches intersects within',
    ],
    [
      'a point inside',
      shapeOf([
        [
          [1, 1],
          [1, 1],
          [1, 1],
          [1, 1],
        ],
      ]),
      square(0, 0, 2, 2),
      'touches intersects within',
    ],
    [
      'a point on the border',
      shapeOf([
        [
          [2, 1],
          [2, 1],
          [2, 1],
          [2, 1],
        ],
      ]),
      square(0, 0, 2, 2),
      'touches intersects within',
    ],
    [
      'a point on a corner',
      shapeOf([
        [
          [2, 2],
          [2, 2],
          [2, 2],
          [2, 2],
        ],
      ]),
      square(0, 0, 2, 2),
      'touches intersects within',
    ],
    [
      'a point on the border past 180',
      shapeOf([
        [
          [-170, 1],
          [-170, 1],
          [-170, 1],
          [-170, 1],
        ],
      ]),
      square(170, 0, 190, 2),
      'touches intersects within',
    ],
    [
      'a point outside',
      shapeOf([
        [
          [3, 1],
          [3, 1],
          [3, 1],
          [3, 1],
        ],
      ]),
      square(0, 0, 2, 2),
      '',
    ],
    [
      'a point in a hole',
      shapeOf([
        [
          [5, 5],
          [5, 5],
          [5, 5],
          [5, 5],
        ],
      ]),
      withHole,
      '',
    ],
    [
      'a line with its middle inside',
      shapeOf([
        [
          [1, 1],
          [2.5, 1],
          [1, 1],
          [1, 1],
        ],
      ]),
      square(0, 0, 2, 2),
      'touches intersects within',
    ],
    [
      'an upright line with its middle outside',
      shapeOf([
        [
          [1, 1],
          [1, 9],
          [1, 9],
          [1, 1],
        ],
      ]),
      square(0, 0, 2, 2),
      '',
    ],
    [
      'a bow tie with its middle inside',
      shapeOf([
        [
          [0, 0],
          [3, 3],
          [3, 0],
          [0, 3],
          [0, 0],
        ],
      ]),
      square(1, 1, 2, 2),
      'touches intersects within',
    ],
    [
      'a bow tie with its middle outside',
      shapeOf([
        [
          [0, 0],
          [3, 3],
          [3, 0],
          [0, 3],
          [0, 0],
        ],
      ]),
      square(2.5, 0, 4, 3),
      '',
    ],
    [
      'an area and a point in it',
      square(0, 0, 2, 2),
      shapeOf([
        [
          [1, 1],
          [1, 1],
          [1, 1],
          [1, 1],
        ],
      ]),
      'touches intersects',
    ],
    [
      'the same point',
      shapeOf([
        [
          [1, 1],
          [1, 1],
          [1, 1],
          [1, 1],
        ],
      ]),
      shapeOf([
        [
          [361, 1],
          [361, 1],
          [361, 1],
          [361, 1],
        ],
      ]),
      'touches intersects within',
    ],
    [
      'two points',
      shapeOf([
        [
          [1, 1],
          [1, 1],
          [1, 1],
          [1, 1],
        ],
      ]),
      shapeOf([
        [
          [2, 1],
          [2, 1],
          [2, 1],
          [2, 1],
        ],
      ]),
      '',
    ],
  ])('%s', (_, a, b, expected) => {
    const found = [touches(a, b) && 'touches', intersects(a, b) && 'intersects', isWithin(a, b) && 'within'];
    expect(found.filter(Boolean).join(' ')).toBe(expected);
    expect(touches(b, a)).toBe(touches(a, b));
    expect(intersects(b, a)).toBe(intersects(a, b));
  });

  it('only touch along a slope, and are within it, however many points are on it', () => {
    const slopes = fc.tuple(degrees(0.1, 3), fc.uniqueArray(fc.integer({ min: 1, max: 999 }), { maxLength: 20 }));
    fc.assert(
      fc.property(slopes, degrees(-170, 170), degrees(-50, 50), ([slope, on], x, y) => {
        const down = on.sort((a, b) => b - a).map((i): Position => [x + i / 100, y + (i / 100) * slope]);
        const top: Position = [x + 10, y + 10 * slope];
        const above = shapeOf([[[x, y], top, [x, y + 10 * slope], [x, y]]]);
        const below = shapeOf([[[x, y], [x + 10, y], top, ...down, [x, y]]]);
        const same = shapeOf([[[x, y], ...down.toReversed(), top, [x, y + 10 * slope], [x, y]]]);
        expect(intersects(above, below)).toBe(false);
        expect(isWithin(above, same) && isWithin(same, above)).toBe(true);
      }),
    );
  });

  it('touch where a corner lies on a slope, whatever rounding makes of it', () => {
    const part = degrees(0.01, 0.99);
    fc.assert(
      fc.property(degrees(-150, 150), degrees(-50, 50), degrees(0.1, 3), part, (x, y, slope, along) => {
        const corner: Position = [x + 10 * along, y + 10 * slope * along];
        const above = shapeOf([
          [
            [x, y],
            [x + 10, y + 10 * slope],
            [x, y + 10 * slope],
            [x, y],
          ],
        ]);
        const below = shapeOf([[corner, [corner[0] - 1, corner[1] - 9], [corner[0] + 9, corner[1] - 9], corner]]);
        const child = shapeOf([[corner, corner, corner, corner]]);
        // A child that is that point is within both: they must not be said to be apart.
        expect(isWithin(child, above) && isWithin(child, below)).toBe(true);
        expect(touches(above, below) && touches(below, above)).toBe(true);
      }),
    );
  });

  it('never throw, whatever the rings', () => {
    const point = fc.tuple(fc.integer({ min: -180, max: 540 }), fc.integer({ min: -90, max: 90 }));
    const ring = fc.array(point, { minLength: 3, maxLength: 9 }).map((points): Position[] => [...points, points[0]!]);
    const rings = fc.array(ring, { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(rings, rings, (a, b) => {
        const [one, other] = [shapeOf(a), shapeOf(b)];
        const [x, y] = middleOf(one);
        expect(x).toBeGreaterThanOrEqual(-180);
        expect(x).toBeLessThan(180);
        expect(Math.abs(y)).toBeLessThanOrEqual(90);
        expect(areaOf(one)).toBeGreaterThanOrEqual(0);
        expect(overlapArea(one, other)).toBeLessThanOrEqual(areaOf(one) * (1 + 1e-9));
        if (isWithin(one, other)) expect(intersects(one, other)).toBe(true);
        if (intersects(one, other)) expect(touches(one, other)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('middles and bounds', () => {
  it.each<[string, Rings | Polygonal, [number, number], [number, number, number, number]]>([
    ['a box', [box(10, 50, 12, 52)], [11, 51], [10, 50, 12, 52]],
    [
      'more points on one side',
      [
        [
          [0, 0],
          [1, 0],
          [2, 0],
          [3, 0],
          [4, 0],
          [4, 2],
          [0, 2],
          [0, 0],
        ],
      ],
      [2, 1],
      [0, 0, 4, 2],
    ],
    ['a hole in the west half', [box(0, 0, 4, 4), box(0.5, 1, 1.5, 3)], [(16 * 2 - 2) / 14, 2], [0, 0, 4, 4]],
    ['past 180', [box(170, 0, 196, 2)], [-177, 1], [170, 0, 196, 2]],
    ['a turn on', [box(530, 0, 540, 2)], [175, 1], [170, 0, 180, 2]],
    [
      'jumping',
      [
        [
          [170, 0],
          [-164, 0],
          [-164, 2],
          [170, 2],
          [170, 0],
        ],
      ],
      [-177, 1],
      [170, 0, 196, 2],
    ],
    ['cut', boxes([-180, 0, -164, 2], [170, 0, 180, 2]), [-177, 1], [170, 0, 196, 2]],
    ['a hole a turn away', [box(170, 0, 190, 4), box(-175, 1, -173, 3)], [-180 - 24 / 76 + 360, 2], [170, 0, 190, 4]],
    [
      'a hole that jumps',
      [box(170, 0, 190, 4), box(-189, 1, -187, 3)],
      [180 - 360 + (8 * 4) / 76, 2],
      [170, 0, 190, 4],
    ],
    ['on the antimeridian', [box(179, 0, 181, 2)], [-180, 1], [179, 0, 181, 2]],
    [
      'a point',
      [
        [
          [185, 7],
          [185, 7],
          [185, 7],
          [185, 7],
        ],
      ],
      [-175, 7],
      [-175, 7, -175, 7],
    ],
    ['all round', [box(-180, -60, 180, 60)], [0, 0], [-180, -60, 180, 60]],
    [
      'a bow tie',
      [
        [
          [0, 0],
          [4, 4],
          [4, 0],
          [0, 4],
          [0, 0],
        ],
      ],
      [2, 2],
      [0, 0, 4, 4],
    ],
  ])('%s', (_, area, [x, y], bounds) => {
    const shape = shapeOf(area);
    expect(middleOf(shape)[0]).toBeCloseTo(x, 9);
    expect(middleOf(shape)[1]).toBeCloseTo(y, 9);
    expect(boundsOf(shape).map((side) => Number(side.toFixed(9)))).toEqual(bounds);
  });

  it('hold the points that turf has inside', () => {
    const hundredths = fc.integer({ min: -2_500, max: 2_500 });
    fc.assert(
      fc.property(stars(degrees(-150, 150), degrees(-60, 60), 20), hundredths, hundredths, (a, dx, dy) => {
        // Never on a border, where turf allows no hair's breadth.
        const point: [number, number] = [a[0]![0]![0] + dx / 100 + 0.00371, a[0]![0]![1] + dy / 100 + 0.00173];
        expect(contains(shapeOf(a), point)).toBe(booleanPointInPolygon(point, polygon(plain(a))));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('longitudes', () => {
  it('come to lie from -180 to 180, without 180, where they were', () => {
    const hairs = [-540, -180, 180, 540, 900].flatMap((x) => [-1e-13, -1e-14, 0, 1e-14, 1e-13].map((hair) => x + hair));
    fc.assert(
      fc.property(fc.oneof(fc.constantFrom(...hairs), degrees(-900, 900)), (x) => {
        const normal = normalLongitude(x);
        expect(normal).toBeGreaterThanOrEqual(-180);
        expect(normal).toBeLessThan(180);
        expect(Math.cos(((normal - x) * Math.PI) / 180)).toBeCloseTo(1, 12);
      }),
    );
  });
});

describe('distances', () => {
  it.each<[string, [number, number], [number, number], number]>([
    ['Berlin to Hamburg', [13.4, 52.52], [9.99, 53.55], 255],
    ['over the antimeridian', [179, 0], [-179, 0], 222],
    ['to the other side', [0, 0], [180, 0], 20015],
    ['over the pole', [0, 80], [180, 80], 2224],
    ['nowhere', [5, 5], [5, 5], 0],
  ])('%s', (_, from, to, km) => {
    expect(Math.round(distanceKm(from, to))).toBe(km);
  });

  it('are numbers to the other side of the globe too, from wherever', () => {
    fc.assert(
      fc.property(degrees(-180, 180), degrees(-90, 90), (x, y) => {
        expect(distanceKm([x, y], [x - 180, -y])).toBeCloseTo(Math.PI * 6371.0088, 3);
      }),
      { numRuns: 1_000 },
    );
    // Here turf has none.
    expect(distanceKm([-141.15238666534424, 83.32999527454376], [-321.15238666534424, -83.32999527454376])).toBeCloseTo(
      Math.PI * 6371.0088,
      3,
    );
  });
});
