/** The counts that children add up to (see `contributionOf`), read back from an aggregate's fields. */
import { MARK } from './marks.ts';
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

/** Of so many children of a location, those who still have a stage before them or in it: those Done earlier never reach it. */
export function expectedIn(counts: Counts, children: number, stage: number): number {
  let doneBefore = 0;
  for (let i = 0; i < stage; i++) doneBefore += counts.get(`d${i}`) ?? 0;
  return children - doneBefore;
}

/** Children underway (in the aggregate under `m<sum of marks>`) that bear one of the marks (a sum of them) at least, but were not ejected. */
export function marked(counts: Counts, marks: number): number {
  let sum = 0;
  for (let m = 1; m < MARK.ejected; m++) if ((m & marks) > 0) sum += counts.get(MARK_FIELDS[m] ?? '') ?? 0;
  return sum;
}

/** Kept: a tick reads them for every open location. */
const MARK_FIELDS = Array.from({ length: 2 * MARK.ejected }, (_, m) => `m${m}`);

/** Children that were taken out of the release: they are enrolled, and count nothing else. */
export const ejected = (counts: Counts): number => {
  let sum = 0;
  for (let m: number = MARK.ejected; m < 2 * MARK.ejected; m++) sum += counts.get(MARK_FIELDS[m] ?? '') ?? 0;
  return sum;
};

export const enrolled = (counts: Counts): number => counts.get('n') ?? 0;

/** Children who have the release, or are offered it, and may yet end it. */
export const underway = (counts: Counts): number => enrolled(counts) - ejected(counts) - ended(counts);

export const failedIn = (counts: Counts, stage: number): number =>
  inStage(counts, stage, StageStatus.Failure) + inStage(counts, stage, StageStatus.Error);

/** Children who have reached a stage, whatever became of them there. */
export function entered(counts: Counts, stage: number): number {
  let sum = 0;
  for (let status: number = StageStatus.InProgress; status <= StageStatus.Error; status++)
    sum += inStage(counts, stage, status as StageStatus);
  return sum;
}

export function addCounts(all: Iterable<Counts>): Map<string, number> {
  const sum = new Map<string, number>();
  for (const counts of all) for (const [field, n] of counts) sum.set(field, (sum.get(field) ?? 0) + n);
  return sum;
}

/** Bucket counts of a metric in a stage. */
export function bucketsOf(counts: Counts, stage: number, metric: Metric): Map<string, number> {
  const prefix = `${stage}.${metric}:`;
  const found = [...counts].filter(([field]) => field.startsWith(prefix));
  return new Map(found.map(([field, n]) => [field.slice(prefix.length), n]));
}

export type Quantiles = { p50: number | null; p99: number | null };

/** What a stage's children measured: quantiles over children of their medians and error rates. */
export function stageMetrics(counts: Counts, stage: number): Record<Metric, Quantiles> {
  const of = (metric: Metric): Quantiles => {
    const buckets = bucketsOf(counts, stage, metric);
    return { p50: quantile(buckets, 0.5), p99: quantile(buckets, 0.99) };
  };
  return Object.fromEntries(METRICS.map((metric) => [metric, of(metric)])) as Record<Metric, Quantiles>;
}
