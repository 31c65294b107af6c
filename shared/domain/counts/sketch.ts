/**
 * Mergeable quantiles: integer counts in fixed logarithmic buckets (as in DDSketch, Masson et al., VLDB 2019). Integer
 * counts commute exactly, which float sums don't. A quantile is right to within 2 % of its value.
 */
import type { StageSummary } from '#domain/child/summary.ts';

/** Of a value: how far a quantile may be off. */
export const ACCURACY = 0.02;
const GAMMA = (1 + ACCURACY) / (1 - ACCURACY);
const LOG_GAMMA = Math.log(GAMMA);
/** Values at and below this count as zero; values above the other end share the last bucket. */
export const SMALLEST = 1e-6;
export const LARGEST = 1e9;

export const METRICS = ['f1', 'f2', 'e1', 'e2'] as const;
/** f1, f2: median response times in ms of the base and the new version; e1, e2: their error rates. */
export type Metric = (typeof METRICS)[number];

/** Values are taken in single precision, as records keep them (see summary.ts); `lua/children/apply-results.lua` does the same. */
export function bucketOf(value: number): string {
  const single = Math.fround(value);
  if (single <= SMALLEST) return 'z';
  return String(Math.ceil(Math.log(Math.min(single, LARGEST)) / LOG_GAMMA) + 0);
}

export const valueOf = (bucket: string): number => (bucket === 'z' ? 0 : (2 * GAMMA ** Number(bucket)) / (GAMMA + 1));

/** A sketch: how many values fell into each bucket. */
export type Sketch = ReadonlyMap<string, number>;

/** The buckets that one summary adds 1 to. A version without calls (median -1) is no evidence: none. */
export function measuredBuckets(s: StageSummary): { metric: Metric; bucket: string }[] {
  const f1 = s.f1.median < 0 ? [] : [measured('f1', s.f1.median), measured('e1', s.f1ErrRate)];
  const f2 = s.f2.median < 0 ? [] : [measured('f2', s.f2.median), measured('e2', s.f2ErrRate)];
  return [...f1, ...f2];
}

const measured = (metric: Metric, value: number): { metric: Metric; bucket: string } => ({
  metric,
  bucket: bucketOf(value),
});

/** The q-quantile (0 to 1) of bucket counts, or null where nothing was counted. */
export function quantile(buckets: Sketch, q: number): number | null {
  const sorted = [...buckets]
    .filter(([, count]) => count > 0)
    .map(([bucket, count]) => [valueOf(bucket), count] as const)
    .sort(([a], [b]) => a - b);
  const total = sorted.reduce((sum, [, count]) => sum + count, 0);
  let left = q * (total - 1);
  for (const [value, count] of sorted) {
    if (left < count) return value;
    left -= count;
  }
  return sorted.at(-1)?.[0] ?? null;
}
