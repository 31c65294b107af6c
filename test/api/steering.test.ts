/** When cooperative children are asked to come again. */
import { describe, expect, it } from 'vitest';
import { createSteering } from '#services/api/overload/steering.ts';

const at = (pressure: number) => createSteering({ pressure: () => pressure }, 30);
const many = (next: () => string): number[] => Array.from({ length: 640 }, () => Number(next()));
const mean = (values: readonly number[]): number => values.reduce((sum, n) => sum + n, 0) / values.length;

describe('Retry-After', () => {
  it('is spread by a quarter around the interval, evenly', () => {
    const values = many(at(0).poll);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(22);
    expect(Math.max(...values)).toBeLessThanOrEqual(38);
    expect(Math.abs(mean(values) - 30)).toBeLessThan(0.5);
    expect(new Set(values).size).toBeGreaterThan(10);
  });

  it('is wider the higher the load is, and not beyond twentyfold', () => {
    const means = [0, 0.25, 0.5, 0.75, 1, 5].map((pressure) => mean(many(at(pressure).poll)));
    expect(means).toEqual([...means].sort((a, b) => a - b));
    expect(means[4]).toBeGreaterThan(500);
    expect(means[5]).toBeCloseTo(means[4] ?? 0);
  });

  it('is a whole number of seconds, at least one', () => {
    for (const value of many(createSteering({ pressure: () => 0 }, 0.1).endStage)) expect(value).toBe(1);
  });
});
