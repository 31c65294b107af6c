/** The stages of a release, with the time that each takes at least. */
import { parseGoDuration } from '#domain/duration.ts';
import type { StageType, Strategy } from '#domain/strategy.ts';
import type { ModelStage } from './flow.ts';

export function modelStagesOf({ stages }: Pick<Strategy, 'stages'>): ModelStage[] {
  return stages.map(({ name, type, end_conditions: ends }) => {
    const least = ends.find((condition) => condition.name === 'minDuration')?.threshold;
    return { name, type: type as StageType, minDurationMs: (least === undefined ? null : parseGoDuration(least)) ?? 0 };
  });
}
