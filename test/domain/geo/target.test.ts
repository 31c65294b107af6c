import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Position, Rings } from '#domain/child/area.ts';
import { share01 } from '#domain/geo/hash.ts';
import { createTarget, mayOverlap } from '#domain/geo/target.ts';
import type { Polygonal, Target } from '#domain/plan/plan.ts';

const box = (west: number, south: number, east: number, north: number): Position[] => [
  [west, south],
  [east, south],
  [east, north],
  [west, north],
  [west, south],
];
const area = (...rings: Position[][]): Polygonal => ({ type: 'Polygon', coordinates: rings });
const intersecting = (...rings: Position[][]): Target => ({ kind: 'intersects', area: area(...rings) });
const within = (...rings: Position[][]): Target => ({ kind: 'within', area: area(...rings) });
const share = (part: number, seed = 'seed'): Target => ({ kind: 'share', share: part, seed });
const children = (...ids: string[]): Target => ({ kind: 'children', ids });
const everyone: Target = { kind: 'everyone' };
const done: Target = { kind: 'done', release: 'r1', location: null };
const ids = Array.from({ length: 20_000 }, (_, i) => `child-${i}`);
const somewhere: Rings = [box(0, 0, 1, 1)];

describe('the number of a text', () => {
  // FNV-1a has 0x811c9dc5 for nothing and 0xe40c292c for an a; what MurmurHash3 makes of them was worked out elsewhere.
  it.each([
    ['', 0xab3e7c0b],
    ['a', 0x1a80b1b3],
    ['seed child-1', 0x1f86b9d0],
  ])('%j never changes', (text, hash) => {
    expect(share01(text)).toBe(hash / 2 ** 32);
  });

  it('lies from 0 to 1, without 1', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(share01(text)).toBeGreaterThanOrEqual(0);
        expect(share01(text)).toBeLessThan(1);
      }),
    );
  });

  it('is spread evenly for texts that differ in their last letters only', () => {
    const tenths = Array.from({ length: 10 }, () => 0);
    for (const id of ids) tenths[Math.floor(share01(id) * 10)]!++;
    for (const tenth of tenths) expect(Math.abs(tenth - ids.length / 10)).toBeLessThan(200);
  });
});

describe('a target', () => {
  it.each<[string, Target, Rings, boolean]>([
    ['everyone', everyone, somewhere, true],
    ['done', done, somewhere, true],
    ['an area that it lies in', within(box(-1, -1, 2, 2)), somewhere, true],
    ['an area that it lies in', intersecting(box(-1, -1, 2, 2)), somewhere, true],
    ['an area that it is', within(box(0, 0, 1, 1)), somewhere, true],
    ['an area that it lies across', within(box(0.5, 0, 2, 1)), somewhere, false],
    ['an area that it lies across', intersecting(box(0.5, 0, 2, 1)), somewhere, true],
    ['an area inside it', within(box(0.4, 0.4, 0.6, 0.6)), somewhere, false],
    ['an area inside it', intersecting(box(0.4, 0.4, 0.6, 0.6)), somewhere, true],
    ['an area beside it', intersecting(box(1, 0, 2, 1)), somewhere, false],
    ['an area with it in a hole', intersecting(box(-5, -5, 5, 5), box(-1, -1, 2, 2)), somewhere, false],
    ['an area over the antimeridian', within(box(170, 0, 190, 10)), [box(-179, 1, -178, 2)], true],
    [
      'an area that a point lies in',
      within(box(0, 0, 1, 1)),
      [
        [
          [1, 1],
          [1, 1],
          [1, 1],
          [1, 1],
        ],
      ],
      true,
    ],
    [
      'an area beside a point',
      intersecting(box(0, 0, 1, 1)),
      [
        [
          [2, 1],
          [2, 1],
          [2, 1],
          [2, 1],
        ],
      ],
      false,
    ],
    ['its id', children('x', 'me'), somewhere, true],
    ['other ids', children('x', 'y'), somewhere, false],
    ['all of it', share(1), somewhere, true],
    ['none of it', share(0), somewhere, false],
  ])('of %s (%j)', (_, target, place, expected) => {
    expect(createTarget(target)({ id: 'me', area: place })).toBe(expected);
  });

  const count = (target: Target) => {
    const has = createTarget(target);
    return ids.filter((id) => has({ id, area: somewhere }));
  };

  it.each([0.001, 0.01, 0.1, 0.5, 0.9])('of the share %s has about so many', (part) => {
    const chosen = count(share(part)).length / ids.length;
    // Four standard deviations.
    expect(Math.abs(chosen - part)).toBeLessThan(4 * Math.sqrt((part * (1 - part)) / ids.length));
  });

  it('of a greater share holds those of a smaller one', () => {
    const part = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(part, part, fc.string(), fc.string(), (a, b, seed, id) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)].map((p) => createTarget(share(p, seed)));
        if (less!({ id, area: somewhere })) expect(more!({ id, area: somewhere })).toBe(true);
      }),
    );
    const more = new Set(count(share(0.31)));
    expect(count(share(0.3)).filter((id) => !more.has(id))).toEqual([]);
    expect(more.size).toBeGreaterThan(count(share(0.3)).length);
  });

  it('of another seed is another one, independent of the first', () => {
    const other = new Set(count(share(0.5, 'other')));
    const both = count(share(0.5)).filter((id) => other.has(id)).length / ids.length;
    expect(Math.abs(both - 0.25)).toBeLessThan(0.02);
  });
});

describe('two targets', () => {
  const here = box(0, 0, 1, 1);
  const beside = box(1, 0, 2, 1);
  const away = box(5, 0, 6, 1);
  const inHalf = ids.find((id) => share01(`seed ${id}`) < 0.5);
  const notInHalf = ids.find((id) => share01(`seed ${id}`) >= 0.5);
  it.each<[string, Target, Target, boolean]>([
    ['everyone twice', everyone, everyone, true],
    ['everyone and some', everyone, children('a'), true],
    ['everyone and no one', everyone, children(), false],
    ['everyone and a share of 0', everyone, share(0), false],
    ['no one twice', children(), children(), false],
    ['common ids', children('a', 'b'), children('b', 'c'), true],
    ['different ids', children('a', 'b'), children('c'), false],
    ['ids and an area', children('a'), within(here), true],
    ['ids and those who are done', children('a'), done, true],
    ['ids in a share', children(inHalf!), share(0.5), true],
    ['ids not in a share', children(notInHalf!), share(0.5), false],
    ['no ids and those who are done', children(), done, false],
    ['two shares', share(0.1), share(0.2), true],
    ['shares of two seeds', share(0.1), share(0.2, 'other'), true],
    ['a share and an area', share(0.1), within(here), true],
    ['within areas apart', within(here), within(away), false],
    ['within areas that touch, as points on the border are in both', within(here), within(beside), true],
    ['within areas that overlap', within(here), within(box(0.5, 0, 2, 1)), true],
    ['within a hole', within(box(-9, -9, 9, 9), box(-5, -5, 5, 5)), within(here), false],
    ['within an area past 180', within(box(170, 0, 190, 1)), within(box(-175, 0, -171, 1)), true],
    ['intersecting areas apart: one child may be large', intersecting(here), intersecting(away), true],
    ['within the one, so clear of the other', within(here), intersecting(away), false],
    ['within the one, and perhaps across the other', within(here), intersecting(box(0.5, 0, 2, 1)), true],
    ['an area and those who are done', intersecting(here), done, true],
    ['an area and everyone', within(here), everyone, true],
    ['done twice', done, done, true],
  ])('%s', (_, a, b, expected) => {
    expect(mayOverlap(a, b)).toBe(expected);
    expect(mayOverlap(b, a)).toBe(expected);
  });

  it('that have a child in common are never said to have none', () => {
    const side = fc.integer({ min: 0, max: 6 });
    const ring = fc.tuple(side, side, side, side).map(([x, y, w, h]) => box(x, y, x + w, y + h));
    const solid = fc.tuple(side, side, side, side).map(([x, y, w, h]) => box(x, y, x + w + 1, y + h + 1));
    const target = fc.oneof(
      solid.map((outer) => within(outer)),
      solid.map((outer) => intersecting(outer)),
      fc.double({ min: 0, max: 1, noNaN: true }).map((part) => share(part)),
      fc.subarray(['a', 'b', 'c']).map((chosen) => children(...chosen)),
      fc.constant(everyone),
    );
    fc.assert(
      fc.property(target, target, ring, fc.constantFrom('a', 'b', 'c'), (a, b, place, id) => {
        const child = { id, area: [place] };
        if (createTarget(a)(child) && createTarget(b)(child)) expect(mayOverlap(a, b)).toBe(true);
      }),
      { numRuns: 3_000 },
    );
  });
});
