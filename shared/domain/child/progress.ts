/**
 * How far a child has come, as one number that only grows. The index of a release is sorted by it, so that the children that
 * keep a stage from ending, or have failed, are found without a scan.
 */
import { ReleaseStatus, StageStatus } from './status.ts';

/** In stage i with status s a child ranks `(i + 1) * STAGE_RANK + s`. Todo is 0. */
export const STAGE_RANK = 8;
/** Done; Failed is one more. No stage reaches it. */
export const DONE_RANK = 1_000_000;

/** What of a record says how far it is. */
type Progress = {
  downloaded: boolean;
  stages: readonly { status: StageStatus; final: StageStatus }[];
};

export function progressRank({ downloaded, stages }: Progress): number {
  const end = stages.find(({ final }) => final > 0);
  if (end !== undefined) return end.final === StageStatus.Completed ? DONE_RANK : DONE_RANK + 1;
  if (!downloaded) return 0;
  const current = stages.findLastIndex(({ status }) => status > StageStatus.Pending && status < StageStatus.Completed);
  // Between two stages (its next one had ended before) it's as far as the last that it reached.
  const last = current >= 0 ? current : stages.findLastIndex(({ status }) => status > StageStatus.Pending);
  return stageRank(last, stages[last]?.status ?? StageStatus.Pending);
}

export const stageRank = (stage: number, status: StageStatus): number => (stage + 1) * STAGE_RANK + status;

/** The ranks, both ends included, that children of a release status have. */
export function rankRange(status: ReleaseStatus): readonly [number, number] {
  if (status === ReleaseStatus.Todo) return [0, 0];
  if (status === ReleaseStatus.Doing) return [1, DONE_RANK - 1];
  const rank = DONE_RANK + (status - ReleaseStatus.Done);
  return [rank, rank];
}
