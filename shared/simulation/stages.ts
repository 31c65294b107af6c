/** The stages of a release, with the time that each takes at least. */
import { parseGoDuration } from '#domain/duration.ts';
import type { StageType, Strategy } from '#domain/strategy/strategy.ts';
import type { SimulatedStage } from './flow.ts';

export function simulatedStagesOf({ stages }: Pick<Strategy, 'stages'>): SimulatedStage[] {
  return stages.map(({ name, type, end_conditions: ends }) => {
    const least = ends.find((condition) => condition.name === 'minDuration')?.threshold;
    return { name, type: type as StageType, minDurationMs: (least === undefined ? null : parseGoDuration(least)) ?? 0 };
  });
}
