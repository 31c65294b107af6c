/** Silence counts only while the manager was serving. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutoff, type Gap, SERVING_MS } from '#domain/child/silence.ts';

/** Milliseconds of `since` to `now` in which somebody served, one by one. */
function servedSince(since: number, now: number, lastServed: number, gaps: readonly Gap[]): number {
  let served = 0;
  for (let ms = since; ms < now; ms++) {
    const isAway = gaps.some(([from, to]) => from <= ms && ms < to);
    const isAwayNow = now - lastServed > SERVING_MS && ms >= lastServed;
    if (!isAway && !isAwayNow) served++;
  }
  return served;
}

/** A course of times served and not, ending now. */
const course = fc
  .tuple(
    fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 })), { maxLength: 6 }),
    fc.integer({ min: 0, max: 2 * SERVING_MS }),
    fc.integer({ min: 1, max: 150 }),
  )
  .map(([spans, quiet, silentMs]) => {
    const gaps: Gap[] = [];
    let at = 200;
    for (const [served, away] of spans) {
      gaps.push([at + served, at + served + away]);
      at += served + away;
    }
    return { gaps, lastServed: at, now: at + quiet, silentMs };
  });

describe('the cutoff', () => {
  it('is the latest time since which so much served time has passed', () => {
    fc.assert(
      fc.property(course, ({ gaps, lastServed, now, silentMs }) => {
        const since = cutoff(now, silentMs, lastServed, gaps);
        expect(servedSince(since, now, lastServed, gaps)).toBe(silentMs);
        expect(servedSince(since + 1, now, lastServed, gaps)).toBeLessThan(silentMs);
      }),
    );
  });

  it.each([
    ['nobody was ever away', 100_000, 99_000, [], 70_000],
    ['a note that is a little old is none of absence', 100_000, 95_000, [], 70_000],
    ['away since the last note', 100_000, 90_000, [], 60_000],
    ['away for a while', 100_000, 100_000, [[80_000, 85_000]], 65_000],
    [
      'away twice',
      100_000,
      100_000,
      [
        [60_000, 70_000],
        [80_000, 85_000],
      ],
      55_000,
    ],
    ['away long before', 100_000, 100_000, [[10_000, 20_000]], 70_000],
    ['back right when so much had passed', 100_000, 100_000, [[50_000, 70_000]], 70_000],
    ['it just came back', 100_000, 100_000, [[10_000, 99_999]], -19_999],
    ['away before, and away now', 100_000, 80_000, [[60_000, 70_000]], 40_000],
    ['nobody has ever served', 100_000, null, [], -Infinity],
  ] as const)('%s', (_, now, lastServed, gaps, since) => {
    expect(cutoff(now, 30_000, lastServed, gaps)).toBe(since);
  });
});
