import { PRESET_NAMES, PRESETS } from '#domain/plan/presets.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { areaFault, type Position } from '#domain/child/area.ts';
import { NO_COUNTS, stageMetrics } from '#domain/counts/counts.ts';
import { parseGoDuration } from '#domain/duration.ts';
import { CHILD_ID, partitionOf, RELEASE_ID } from '#domain/ids.ts';
import { canBecome, ROLLOUT_STATES, ROLLOUT_TRANSITIONS } from '#domain/rollout/rollout.ts';
import { bucketOf, measuredBuckets, quantile } from '#domain/counts/sketch.ts';
import { packNumbers, packSummary, unpackSummary } from '#domain/child/summary.ts';

describe('Go durations', () => {
  it.each<[string, number | null]>([
    ['10s', 10_000],
    ['1h30m', 5_400_000],
    ['1.5s', 1_500],
    ['100ms', 100],
    ['0', 0],
    ['-2s', -2_000],
    ['10', null],
    ['10 s', null],
    ['', null],
    ['s', null],
    ['1d', null],
  ])('%s is %s ms', (text, ms) => {
    expect(parseGoDuration(text)).toBe(ms);
  });
});

describe('areas', () => {
  const square = (x: number, y: number): Position[] => [
    [x, y],
    [x + 1, y],
    [x + 1, y + 1],
    [x, y + 1],
    [x, y],
  ];
  it.each<[string, Position[][], string | null]>([
    ['a square', [square(13, 52)], null],
    ['one with a hole', [square(13, 52), square(13.2, 52.2)], null],
    ['one that goes on past 180', [square(179.5, 10)], null],
    [
      'one that steps across the antimeridian',
      [
        [
          [179, 0],
          [-179, 0],
          [-179, 1],
          [179, 0],
        ],
      ],
      null,
    ],
    [
      'an open ring',
      [
        [
          [0, 0],
          [1, 0],
          [1, 1],
          [0, 1],
        ],
      ],
      '[0]',
    ],
    [
      'three points',
      [
        [
          [0, 0],
          [1, 0],
          [0, 0],
        ],
      ],
      '[0]',
    ],
    ['no ring', [], ''],
    [
      'a latitude of 91',
      [
        [
          [0, 0],
          [1, 91],
          [1, 1],
          [0, 0],
        ],
      ],
      '[0][1][1]',
    ],
    [
      'a longitude of 541',
      [
        [
          [0, 0],
          [541, 1],
          [1, 1],
          [0, 0],
        ],
      ],
      '[0][1][0]',
    ],
    ['501 points', [Array.from({ length: 501 }, (_, i): Position => [i === 500 ? 0 : i / 10, 0])], ''],
  ])('%s', (_, rings, path) => {
    expect(areaFault(rings)?.path ?? null).toBe(path);
  });
});

describe('ids', () => {
  it.each(['.', '..', '', 'a/b', 'a b', 'x'.repeat(65), 'ä', 'a:b'])('%j is no release id', (id) => {
    expect(RELEASE_ID.test(id)).toBe(false);
  });
  it.each(['21', '1.0', 'sieve_2-a', '...'])('%j is a release id', (id) => {
    expect(RELEASE_ID.test(id)).toBe(true);
  });
  it('takes colons in children’s ids', () => {
    expect(CHILD_ID.test('aa:bb:cc')).toBe(true);
    expect(CHILD_ID.test('a{b}')).toBe(false);
  });

  it('spreads children evenly over the partitions, and always the same way', () => {
    expect(partitionOf('7cb606ee-fde1-4b2c-bffc-20f558fc2867', 8)).toBe(
      partitionOf('7cb606ee-fde1-4b2c-bffc-20f558fc2867', 8),
    );
    const counts = Array.from({ length: 8 }, () => 0);
    for (let i = 0; i < 8000; i++) counts[partitionOf(`child-${i}`, 8)]!++;
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(200);
    // Fixed for ever: stored data is found by it.
    expect(['a', 'child-1', 'edge:7'].map((id) => partitionOf(id, 64))).toMatchInlineSnapshot(`
      [
        32,
        49,
        34,
      ]
    `);
  });

  it('always names an existing partition', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 1024 }), (id, partitions) => {
        const p = partitionOf(id, partitions);
        expect(p).toBeGreaterThanOrEqual(0);
        expect(p).toBeLessThan(partitions);
      }),
    );
  });
});

describe('sketches', () => {
  const times = (median: number) => ({ median, minimum: median, maximum: median });

  it('find a quantile to within 2 %', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0.01, max: 1e5, noNaN: true }), { minLength: 1, maxLength: 50 }),
        (values) => {
          const buckets = new Map<string, number>();
          for (const value of values) buckets.set(bucketOf(value), (buckets.get(bucketOf(value)) ?? 0) + 1);
          const median = [...values].sort((a, b) => a - b)[Math.floor(0.5 * (values.length - 1))] ?? 0;
          expect(Math.abs((quantile(buckets, 0.5) ?? 0) - median)).toBeLessThanOrEqual(0.0201 * median);
        },
      ),
    );
  });

  it('take no evidence from a version without calls', () => {
    const summary = { proxy: times(5), f1: times(4), f2: times(-1), f1ErrRate: 0, f2ErrRate: 0 };
    expect(measuredBuckets(summary)).toEqual([
      { metric: 'f1', bucket: bucketOf(4) },
      { metric: 'e1', bucket: 'z' },
    ]);
    expect(stageMetrics(NO_COUNTS, 0).f2).toEqual({ p50: null, p99: null });
  });

  it('pack a summary and back', () => {
    const summary = { proxy: times(8.24175), f1: times(7.9), f2: times(-1), f1ErrRate: 0.015, f2ErrRate: 1e-7 };
    expect(unpackSummary(packSummary(summary))).toEqual(summary);
  });
});

describe('tables', () => {
  it('let a rollout go only where the table says', () => {
    for (const from of ROLLOUT_STATES)
      for (const to of ROLLOUT_STATES)
        expect(canBecome(from, to)).toBe((ROLLOUT_TRANSITIONS[from] as readonly string[]).includes(to));
    expect(canBecome('completed', 'running')).toBe(false);
    expect(canBecome('aborted', 'running')).toBe(false);
  });

  it('name each preset as it is called', () => {
    for (const name of PRESET_NAMES) expect(PRESETS[name].name).toBe(name);
  });
});

describe('numbers in single precision', () => {
  it('keep seven digits, and packing again changes nothing', () => {
    const value = fc.double({ min: -1e9, max: 1e9, noNaN: true });
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 11 }), (values) => {
        const packed = packNumbers(values);
        const back = packed.split(',').map(Number);
        back.forEach((n, i) => {
          expect(Math.abs(n - (values[i] ?? NaN))).toBeLessThanOrEqual(Math.abs(values[i] ?? 0) * 1.2e-7 + 1e-44);
        });
        expect(packNumbers(back)).toBe(packed);
        expect(packNumbers(back.map(Math.fround))).toBe(packed);
      }),
    );
    expect(packNumbers([8.24175, 21.592958, -1, 0, 0.015, 1e300])).toBe('8.24175,21.592958,-1,0,0.015,3.4e+38');
  });
});
