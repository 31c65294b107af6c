/** The counts that children add up to (see `contributionOf`), read back from an aggregate's fields. */
import { METRICS, type Metric, quantile } from './sketch.ts';
import { ReleaseStatus, StageStatus } from './status.ts';

export type Counts = ReadonlyMap<string, number>;

export const inRelease = (counts: Counts, status: ReleaseStatus): number => counts.get(`r${status}`) ?? 0;
export const inStage = (counts: Counts, stage: number, status: StageStatus): number =>
  counts.get(`s${stage}.${status}`) ?? 0;

/** Children whose release has ended for them, well or badly. */
export const ended = (counts: Counts): number =>
  inRelease(counts, ReleaseStatus.Done) + inRelease(counts, ReleaseStatus.Failed);

/** Children who are SuccessWaiting in a stage or have Completed it. */
export const passed = (counts: Counts, stage: number): number =>
  inStage(counts, stage, StageStatus.SuccessWaiting) + inStage(counts, stage, StageStatus.Completed);

/** Children of a location who still have a stage before them or in it: those Done earlier never reach it. */
export function expectedIn(counts: Counts, children: number, stage: number): number {
  let doneBefore = 0;
  for (let i = 0; i < stage; i++) doneBefore += counts.get(`d${i}`) ?? 0;
  return children - doneBefore;
}

export function addCounts(all: Iterable<Counts>): Map<string, number> {
  const sum = new Map<string, number>();
  for (const counts of all) for (const [field, n] of counts) sum.set(field, (sum.get(field) ?? 0) + n);
  return sum;
}

export type Quantiles = { p50: number | null; p99: number | null };

/** What a stage's children measured: quantiles over children of their medians and error rates. */
export function stageMetrics(counts: Counts, stage: number): Record<Metric, Quantiles> {
  const of = (metric: Metric): Quantiles => {
    const prefix = `${stage}.${metric}:`;
    const buckets = new Map(
      [...counts].flatMap(([field, n]) => (field.startsWith(prefix) ? [[field.slice(prefix.length), n] as const] : [])),
    );
    return { p50: quantile(buckets, 0.5), p99: quantile(buckets, 0.99) };
  };
  return Object.fromEntries(METRICS.map((metric) => [metric, of(metric)])) as Record<Metric, Quantiles>;
}
