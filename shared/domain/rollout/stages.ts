/** The stages of a strategy as a rollout keeps them. */
import type { Condition, RolloutStage } from './rollout.ts';
import type { StageType, Strategy } from '#domain/strategy/strategy.ts';

const THRESHOLD = /^(<=|>=|<|>|=)(.+)$/;

/** Conditions that the aggregate knows nothing of (fastest and slowest calls) are left to the children. */
export function stagesOf({ stages }: Strategy): RolloutStage[] {
  return stages.map(({ name, type, metrics_conditions: metrics }) => {
    const conditions = metrics.flatMap((condition): Condition[] => {
      const match = THRESHOLD.exec(condition.threshold);
      if (match === null || (condition.name === 'responseTime' && condition.compareWith !== 'Median')) return [];
      const metric = condition.name === 'errorRate' ? 'e2' : 'f2';
      return [{ metric, operator: match[1] as Condition['operator'], limit: Number(match[2]) }];
    });
    return { name, type: type as StageType, ...(conditions.length > 0 ? { conditions } : {}) };
  });
}
