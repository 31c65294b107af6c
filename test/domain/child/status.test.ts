import { describe, expect, it } from 'vitest';
import {
  effectiveReleaseStatus,
  effectiveStageStatus,
  mayEndStage,
  ReleaseStatus,
  StageStatus,
} from '#domain/child/status.ts';

const S = StageStatus;

describe('the effective status of a stage', () => {
  it.each<[keyof typeof S, keyof typeof S, keyof typeof S, boolean, boolean]>([
    // status, effective with the gate closed, with it open, may end closed, may end open
    ['Pending', 'Pending', 'Pending', false, false],
    ['InProgress', 'InProgress', 'InProgress', false, false],
    ['SuccessWaiting', 'SuccessWaiting', 'ShouldEnd', false, true],
    ['ShouldEnd', 'ShouldEnd', 'ShouldEnd', true, true],
    ['Completed', 'Completed', 'Completed', true, true],
    ['Failure', 'Failure', 'Failure', true, true],
    ['Error', 'Error', 'Error', true, true],
  ])('%s reads %s behind a closed gate and %s behind an open one', (status, closed, open, endClosed, endOpen) => {
    expect(effectiveStageStatus(S[status], false)).toBe(S[closed]);
    expect(effectiveStageStatus(S[status], true)).toBe(S[open]);
    expect(mayEndStage(S[status], false)).toBe(endClosed);
    expect(mayEndStage(S[status], true)).toBe(endOpen);
  });
});

describe('the effective status of a release', () => {
  it('turns Todo, and nothing else, into No when it is withdrawn', () => {
    expect(effectiveReleaseStatus(ReleaseStatus.Todo, true)).toBe(ReleaseStatus.No);
    for (const status of [ReleaseStatus.No, ReleaseStatus.Doing, ReleaseStatus.Done, ReleaseStatus.Failed] as const)
      expect(effectiveReleaseStatus(status, true)).toBe(status);
    expect(effectiveReleaseStatus(ReleaseStatus.Todo, false)).toBe(ReleaseStatus.Todo);
  });
});
