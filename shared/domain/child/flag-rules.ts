/** When the manager flags a child, and when it takes flags back. Pure: what was read of a child in, yes or no out. */
import { FLAG, hasFlag } from './flags.ts';
import { type ChildRecord, currentStage, endedAt, releaseStatusOf } from './record.ts';
import { ReleaseStatus, StageStatus } from './status.ts';

export const isUnderway = (record: ChildRecord): boolean => endedAt(record) < 0;

export const isEjected = (record: ChildRecord): boolean => hasFlag(record.flags, FLAG.ejected);

/** A child is offered the release again only where it Failed or is lost. */
export const canRetry = (record: ChildRecord): boolean =>
  !isEjected(record) &&
  (releaseStatusOf(record) === ReleaseStatus.Failed || (isUnderway(record) && hasFlag(record.flags, FLAG.lost)));

/** Milliseconds of Redis' clock; `left`: it polls although it runs the release; `isBusy`: it runs another release. */
export type Sighting = { lastSeen: number; left: boolean; isBusy: boolean };

/**
 * Whether a child becomes lost that was silent since `cutoff`. `always`: it has left the release, whatever it says from now
 * on; otherwise it is lost only if it says nothing more.
 */
export function lossOf(
  record: ChildRecord,
  { lastSeen, left, isBusy }: Sighting,
  stages: readonly { type: string }[],
  cutoff: number,
): 'always' | 'while-silent' | null {
  if (!isUnderway(record) || isEjected(record) || hasFlag(record.flags, FLAG.lost)) return null;
  if (left) return 'always';
  // A child makes no request in an A/B stage, nor about this release while it runs another one.
  const isQuiet = isBusy || stages[currentStage(record)]?.type === 'A/B';
  return lastSeen > cutoff || isQuiet ? null : 'while-silent';
}

/** Whether a child may be overdue: it is InProgress in a stage. For how long it has been is known elsewhere. */
export const canBeOverdue = (record: ChildRecord): boolean =>
  isUnderway(record) && (record.flags & (FLAG.overdue | FLAG.ejected)) === 0 && isInProgress(record);

const isInProgress = (record: ChildRecord): boolean =>
  record.stages[currentStage(record)]?.status === StageStatus.InProgress;

/** A child that was lost before it downloaded: its next request, whatever it's about, gives it back. */
export const isLostTodo = (record: ChildRecord): boolean => hasFlag(record.flags, FLAG.lost) && !record.downloaded;

/** Whether it's to be found by how long it has been in its stage. An overdue child has been found. */
export const isTimed = (record: ChildRecord): boolean =>
  (record.flags & (FLAG.ejected | FLAG.overdue)) === 0 && isInProgress(record);
