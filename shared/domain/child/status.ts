/** The two status enums of the child protocol. The ordinals are on the wire and in Redis: order is meaning. */

export const RELEASE_STATUSES = ['No', 'Todo', 'Doing', 'Done', 'Failed'] as const;
export type ReleaseStatusName = (typeof RELEASE_STATUSES)[number];
export const ReleaseStatus = { No: 0, Todo: 1, Doing: 2, Done: 3, Failed: 4 } as const satisfies Record<
  ReleaseStatusName,
  number
>;
export type ReleaseStatus = (typeof ReleaseStatus)[ReleaseStatusName];

export const STAGE_STATUSES = [
  'Pending',
  'InProgress',
  'SuccessWaiting',
  'ShouldEnd',
  'Completed',
  'Failure',
  'Error',
] as const;
export type StageStatusName = (typeof STAGE_STATUSES)[number];
export const StageStatus = {
  Pending: 0,
  InProgress: 1,
  SuccessWaiting: 2,
  ShouldEnd: 3,
  Completed: 4,
  Failure: 5,
  Error: 6,
} as const satisfies Record<StageStatusName, number>;
export type StageStatus = (typeof StageStatus)[StageStatusName];

/** What a child may report about a stage; every other status is the manager's own to give. */
export const REPORTED = [
  StageStatus.SuccessWaiting,
  StageStatus.Completed,
  StageStatus.Failure,
  StageStatus.Error,
] as const;
export type ReportedStatus = (typeof REPORTED)[number];

export const hasEnded = (status: StageStatus): boolean => status >= StageStatus.Completed;

/**
 * The status that operators and `/end_stage` see: an open gate turns SuccessWaiting, and nothing else, into ShouldEnd.
 * A child still InProgress is never let through: ending it would roll out code that it hasn't tried.
 */
export function effectiveStageStatus(status: StageStatus, gateOpen: boolean): StageStatus {
  return gateOpen && status === StageStatus.SuccessWaiting ? StageStatus.ShouldEnd : status;
}

/** `/end_stage` is true from ShouldEnd on: "(or later)", as the specification has it. */
export function mayEndStage(status: StageStatus, gateOpen: boolean): boolean {
  return effectiveStageStatus(status, gateOpen) >= StageStatus.ShouldEnd;
}

/**
 * The release status that children and operators see. After an abort a child that hasn't downloaded reads No:
 * withdrawing is one write to the rollout, never one per child.
 */
export function effectiveReleaseStatus(status: ReleaseStatus, withdrawn: boolean): ReleaseStatus {
  return withdrawn && status === ReleaseStatus.Todo ? ReleaseStatus.No : status;
}
