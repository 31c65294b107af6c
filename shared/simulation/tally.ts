/** Counts that follow children from status to status: those of their location, and those of all. */
import { ReleaseStatus, StageStatus } from '#domain/child/status.ts';
import { type MutableCounts, stageIn } from '#domain/counts/counts.ts';
import { sizeOf } from './fates.ts';
import type { Group } from './location.ts';

const countsOf = ({ location, late }: Group, totals: MutableCounts): readonly MutableCounts[] => [
  late ? location.late : location.counts,
  totals,
];

const add = (list: number[], at: number, n: number): void => void (list[at] = (list[at] ?? 0) + n);

export function countEnrolled(group: Group, totals: MutableCounts): void {
  const n = sizeOf(group.mix);
  for (const counts of countsOf(group, totals)) {
    counts.enrolled += n;
    add(counts.byStatus, ReleaseStatus.Todo, n);
  }
}

export function moveRelease(group: Group, totals: MutableCounts, from: ReleaseStatus, to: ReleaseStatus): void {
  const n = sizeOf(group.mix);
  for (const { byStatus } of countsOf(group, totals)) {
    add(byStatus, from, -n);
    add(byStatus, to, n);
  }
}

type Change = { stage: number; from?: StageStatus; to: StageStatus };

export function moveStage(group: Group, totals: MutableCounts, { stage, from, to }: Change): void {
  const n = sizeOf(group.mix);
  if (n === 0) return;
  for (const counts of countsOf(group, totals)) {
    const { byStatus } = stageIn(counts, stage);
    if (from !== undefined) add(byStatus, from, -n);
    add(byStatus, to, n);
  }
}

export function countDone(group: Group, totals: MutableCounts, stage: number): void {
  moveRelease(group, totals, ReleaseStatus.Doing, ReleaseStatus.Done);
  for (const counts of countsOf(group, totals)) stageIn(counts, stage).doneWith += sizeOf(group.mix);
}

export function countFlags(group: Group, totals: MutableCounts, from: number, to: number): void {
  const n = sizeOf(group.mix);
  for (const { byFlags } of countsOf(group, totals)) {
    if (from > 0) add(byFlags, from, -n);
    if (to > 0) add(byFlags, to, n);
  }
}
