/** What children add up to, by counting them one by one. */
import { FLAG } from '#domain/child/flags.ts';
import { ReleaseStatus, StageStatus } from '#domain/child/status.ts';
import { type Counts, type MutableCounts, newCounts, sketchIn, stageIn } from '#domain/counts/counts.ts';
import { bucketOf } from '#domain/counts/sketch.ts';
import type { Child } from './child.ts';

export function countsOf(children: readonly Child[]): Counts {
  const counts = newCounts();
  for (const child of children) addChild(counts, child);
  return counts;
}

function addChild(counts: MutableCounts, { script, stage: last, statuses, ...child }: Child): void {
  counts.enrolled++;
  const flags = (child.lost ? FLAG.lost : 0) + (child.overdue ? FLAG.overdue : 0);
  if (child.ejected) {
    addTo(counts.byFlags, flags + FLAG.ejected);
    return;
  }
  addTo(counts.byStatus, ReleaseStatus[child.ended ?? (child.downloaded ? 'Doing' : 'Todo')]);
  if (child.ended === 'Done') stageIn(counts, last).doneWith++;
  if (flags > 0) addTo(counts.byFlags, flags);
  statuses.forEach((status, stage) => {
    if (status === StageStatus.Pending) return;
    const own = stageIn(counts, stage);
    addTo(own.byStatus, status);
    const { median, errors } = script.stages[stage] ?? { median: -1, errors: 0 };
    if (status === StageStatus.InProgress || median < 0) return;
    addValue(sketchIn(own, 'f2'), median);
    addValue(sketchIn(own, 'e2'), errors);
  });
}

function addTo(list: number[], i: number): void {
  list[i] = (list[i] ?? 0) + 1;
}

function addValue(sketch: Map<string, number>, value: number): void {
  const bucket = bucketOf(value);
  sketch.set(bucket, (sketch.get(bucket) ?? 0) + 1);
}
