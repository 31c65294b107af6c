/**
 * What the children of a release, or of one of its locations, add up to. A tick decides on these and never on single
 * children. They are sums, so the counts of partitions are added, and a change is one more sum.
 */
import { FLAG, FLAG_SUMS, hasFlag } from '#domain/child/flags.ts';
import { RELEASE_STATUSES, ReleaseStatus, STAGE_STATUSES, StageStatus } from '#domain/child/status.ts';
import { METRICS, type Metric, quantile, type Sketch } from './sketch.ts';

export type StageCounts = {
  /** Children by status, at its ordinal. */
  byStatus: readonly number[];
  /** Children whose release ended Done with this stage. */
  doneWith: number;
  /** What they measured; a metric that nobody has reported is absent. */
  sketches: Readonly<Partial<Record<Metric, Sketch>>>;
};

export type Counts = {
  enrolled: number;
  /** Children by release status, at its ordinal. */
  byStatus: readonly number[];
  /** Children underway, and ejected ones, by the sum of their flags; those without any flag aren't counted here. */
  byFlags: readonly number[];
  /** In file order; stages that nobody has reached may be absent at the end. */
  stages: readonly StageCounts[];
};

/** Counts that are still being added up. */
export type MutableCounts = {
  enrolled: number;
  byStatus: number[];
  byFlags: number[];
  stages: MutableStageCounts[];
};
export type MutableStageCounts = {
  byStatus: number[];
  doneWith: number;
  sketches: Partial<Record<Metric, Map<string, number>>>;
};

const zeros = (length: number): number[] => Array.from({ length }, () => 0);

export const newCounts = (): MutableCounts => ({
  enrolled: 0,
  byStatus: zeros(RELEASE_STATUSES.length),
  byFlags: zeros(FLAG_SUMS),
  stages: [],
});

/** The counts of a stage, made where there are none yet. */
export function stageIn(counts: MutableCounts, stage: number): MutableStageCounts {
  while (counts.stages.length <= stage)
    counts.stages.push({ byStatus: zeros(STAGE_STATUSES.length), doneWith: 0, sketches: {} });
  return counts.stages[stage] as MutableStageCounts;
}

/** The buckets of a metric, made where there are none yet. */
export const sketchIn = (stage: MutableStageCounts, metric: Metric): Map<string, number> =>
  (stage.sketches[metric] ??= new Map<string, number>());

export const NO_COUNTS: Counts = newCounts();

function addTo(sum: MutableCounts, counts: Counts, factor: 1 | -1): void {
  sum.enrolled += factor * counts.enrolled;
  addList(sum.byStatus, counts.byStatus, factor);
  addList(sum.byFlags, counts.byFlags, factor);
  for (const [i, { byStatus, doneWith, sketches }] of counts.stages.entries()) {
    const stage = stageIn(sum, i);
    stage.doneWith += factor * doneWith;
    addList(stage.byStatus, byStatus, factor);
    for (const metric of METRICS) {
      const sketch = sketches[metric];
      if (sketch === undefined) continue;
      const buckets = sketchIn(stage, metric);
      for (const [bucket, n] of sketch) buckets.set(bucket, (buckets.get(bucket) ?? 0) + factor * n);
    }
  }
}

function addList(sum: number[], list: readonly number[], factor: 1 | -1): void {
  for (let i = 0; i < list.length; i++) sum[i] = (sum[i] ?? 0) + factor * (list[i] ?? 0);
}

export function addCounts(all: Iterable<Counts>): MutableCounts {
  const sum = newCounts();
  for (const counts of all) addTo(sum, counts, 1);
  return sum;
}

/** What turns one into the other. */
export function countsBetween(before: Counts, after: Counts): Counts {
  const change = addCounts([after]);
  addTo(change, before, -1);
  return change;
}

export const inRelease = (counts: Counts, status: ReleaseStatus): number => counts.byStatus[status] ?? 0;
export const inStage = (counts: Counts, stage: number, status: StageStatus): number =>
  counts.stages[stage]?.byStatus[status] ?? 0;

/** Children whose release has ended for them, well or badly. */
export const ended = (counts: Counts): number =>
  inRelease(counts, ReleaseStatus.Done) + inRelease(counts, ReleaseStatus.Failed);

/** Children that are SuccessWaiting in a stage or have Completed it. */
export const passed = (counts: Counts, stage: number): number =>
  inStage(counts, stage, StageStatus.SuccessWaiting) + inStage(counts, stage, StageStatus.Completed);

/** Of so many children of a location, those that still have a stage before them or are in it: those Done earlier never reach it. */
export function expectedIn(counts: Counts, children: number, stage: number): number {
  let doneBefore = 0;
  for (let i = 0; i < stage; i++) doneBefore += counts.stages[i]?.doneWith ?? 0;
  return children - doneBefore;
}

/** Children underway that have one of the flags (a sum of them) at least, and were not ejected. */
export function flagged(counts: Counts, flags: number): number {
  let sum = 0;
  for (let i = 1; i < FLAG.ejected; i++) if (hasFlag(i, flags)) sum += counts.byFlags[i] ?? 0;
  return sum;
}

/** Children that were ejected: they are enrolled, and count nothing else. */
export function ejected(counts: Counts): number {
  let sum = 0;
  for (let i: number = FLAG.ejected; i < FLAG_SUMS; i++) sum += counts.byFlags[i] ?? 0;
  return sum;
}

/** Children that have the release, or are offered it, and may yet end it. */
export const underway = (counts: Counts): number => counts.enrolled - ejected(counts) - ended(counts);

/** Children that may still come to an end by themselves. */
export const underwayNotLost = (counts: Counts): number => underway(counts) - flagged(counts, FLAG.lost | FLAG.overdue);

export const failedIn = (counts: Counts, stage: number): number =>
  inStage(counts, stage, StageStatus.Failure) + inStage(counts, stage, StageStatus.Error);

/** Children that have reached a stage, whatever became of them there. */
export function entered(counts: Counts, stage: number): number {
  let sum = 0;
  for (let status: number = StageStatus.InProgress; status <= StageStatus.Error; status++)
    sum += inStage(counts, stage, status as StageStatus);
  return sum;
}

const NO_SKETCH: Sketch = new Map();

export const sketchOf = (counts: Counts, stage: number, metric: Metric): Sketch =>
  counts.stages[stage]?.sketches[metric] ?? NO_SKETCH;

export type Quantiles = { p50: number | null; p99: number | null };

/** What a stage's children measured: quantiles over children of their medians and error rates. */
export function stageMetrics(counts: Counts, stage: number): Record<Metric, Quantiles> {
  const of = (metric: Metric): Quantiles => {
    const sketch = sketchOf(counts, stage, metric);
    return { p50: quantile(sketch, 0.5), p99: quantile(sketch, 0.99) };
  };
  return Object.fromEntries(METRICS.map((metric) => [metric, of(metric)])) as Record<Metric, Quantiles>;
}
