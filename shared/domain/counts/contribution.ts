/** What one child adds to the counts of its release and of its location (law 3: counts equal the fold over all children). */
import { FLAG, hasFlag } from '#domain/child/flags.ts';
import { type ChildRecord, endedAt, releaseStatusOf } from '#domain/child/record.ts';
import { ReleaseStatus, StageStatus } from '#domain/child/status.ts';
import { unpackSummary } from '#domain/child/summary.ts';
import { addCounts, type Counts, type MutableCounts, newCounts, sketchIn, stageIn } from './counts.ts';
import { measuredBuckets } from './sketch.ts';

/** An ejected child counts as enrolled and ejected only. Stages behind the one with which its release ended count nothing. */
export function contributionOf(record: ChildRecord): Counts {
  const counts = newCounts();
  counts.enrolled = 1;
  const end = endedAt(record);
  if (hasFlag(record.flags, FLAG.ejected)) {
    counts.byFlags[record.flags] = 1;
    return counts;
  }
  if (record.flags > 0 && end < 0) counts.byFlags[record.flags] = 1;
  const status = releaseStatusOf(record);
  counts.byStatus[status] = 1;
  if (status === ReleaseStatus.Done) stageIn(counts, end).doneWith = 1;
  const stages = record.stages.slice(0, end < 0 ? undefined : end + 1);
  for (const [i, stage] of stages.entries()) addStage(counts, i, stage);
  return counts;
}

function addStage(counts: MutableCounts, i: number, { status, kept }: ChildRecord['stages'][number]): void {
  if (status > StageStatus.Pending) stageIn(counts, i).byStatus[status] = 1;
  if (kept === null) return;
  for (const { metric, bucket } of measuredBuckets(unpackSummary(kept.summary)))
    sketchIn(stageIn(counts, i), metric).set(bucket, 1);
}

export const foldContributions = (records: Iterable<ChildRecord>): Counts =>
  addCounts([...records].map((record) => contributionOf(record)));
