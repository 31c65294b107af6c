/** A release as its author wrote it: the meaning of release.yml, in the manager's own names. */

type Variant = { name: string; trafficPercentage: number };
type MetricsCondition = { name: string; threshold: string; compareWith?: string | undefined };
type EndCondition = { name: string; threshold: string };
type FunctionVersion = { path: string; env: string };

export type Stage = {
  name: string;
  type: string;
  func_name: string;
  variants: readonly Variant[];
  metrics_conditions: readonly MetricsCondition[];
  end_conditions: readonly EndCondition[];
  end_action: { onSuccess: string; onFailure: string };
};

export type Strategy = {
  id: string;
  name: string;
  type: string;
  functions: readonly { name: string; base_version: FunctionVersion; new_version: FunctionVersion }[];
  stages: readonly Stage[];
  rollback: { action: { function: string } };
};

export const STAGE_TYPES = ['WaitForSignal', 'A/B'] as const;
export type StageType = (typeof STAGE_TYPES)[number];

/** End actions that name no stage: the release ends there. */
export const ROLLOUT = 'rollout';
export const ROLLBACK = 'rollback';
export const isEnd = (action: string): boolean => action === ROLLOUT || action === ROLLBACK;

/** On the wire `rollout`, `rollback` and the empty string all mean that no stage follows. */
export const namesNoStage = (next: string | null | undefined): boolean => !next || isEnd(next);

/** Where in release.yml, as a path a person can follow, and what is wrong there. */
export type Finding = { path: string; message: string };
export type Findings = { faults: Finding[]; warnings: Finding[] };
