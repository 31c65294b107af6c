/**
 * The release that takes another one back: made from it, with the version from before on both sides of every stage. There
 * is no way to tell a child that is Done to roll back, so it gets a release like any other.
 */
import { compensationId } from '#domain/rollout/compensation-id.ts';
import { PRESETS } from '#domain/plan/presets.ts';
import { stringify } from 'yaml';
import { type Plan } from '#domain/plan/plan.ts';
import { type Rollout } from '#domain/rollout/rollout.ts';
import { ROLLBACK, type Stage, type Strategy } from '#domain/strategy/strategy.ts';

/** A child that is silent for so long doesn't keep the release from being called reverted; it gets the version when it's back. */
const LOST_AFTER_MS = 10 * 60_000;
/** Before all releases of operators. */
const FIRST_IN_LINE = 1_000_000;

/** `location`: the one that is taken back, by its place in the order and its id; null: all of them. */
export function compensationOf(
  strategy: Strategy,
  rollout: Pick<Rollout, 'release' | 'shortId' | 'plan'>,
  location: { n: number; id: string } | null,
): { strategy: Strategy; yml: Buffer; plan: Plan } {
  const id = compensationId(rollout, location?.n ?? null);
  const touched = strategy.functions.filter(({ name }) => strategy.stages.some((stage) => stage.func_name === name));
  const names = touched.map(({ name }) => `Revert ${name}`);
  const stages = touched.map(({ name }, i): Stage => ({
    name: names[i] ?? name,
    type: 'WaitForSignal',
    func_name: name,
    variants: [
      { name: 'base_version', trafficPercentage: 100 },
      { name: 'new_version', trafficPercentage: 0 },
    ],
    metrics_conditions: [],
    // It ends at its first ask, without any call.
    end_conditions: [
      { name: 'minDuration', threshold: '0s' },
      { name: 'minCalls', threshold: '0' },
    ],
    end_action: { onSuccess: names[i + 1] ?? ROLLBACK, onFailure: ROLLBACK },
  }));
  const where = location === null ? '' : ` in ${location.id}`;
  const made: Strategy = {
    id,
    name: `${strategy.name}: back${where}`,
    type: strategy.type,
    functions: touched.map(({ name, base_version: base }) => ({ name, base_version: base, new_version: base })),
    stages,
    rollback: { action: { function: 'base_version' } },
  };
  const plan: Plan = {
    ...PRESETS['global-incremental'],
    name: 'revert',
    target: { kind: 'done', release: rollout.release, location: location?.id ?? null },
    // A failure of the version from before is no reason to leave the others with the new one.
    failure: { location: null, all: { count: 0, share: 1, then: 'hold' } },
    lostAfterMs: rollout.plan.lostAfterMs ?? LOST_AFTER_MS,
    lateJoiners: 'join',
    rate: { ...PRESETS['global-incremental'].rate, all: rollout.plan.rate.all },
    priority: FIRST_IN_LINE,
    conflicts: 'allow',
    compensates: rollout.release,
  };
  return { strategy: made, yml: Buffer.from(ymlOf(made)), plan };
}

/** Texts in quotes where YAML would read something else into them; percentages plain, as agents want numbers. */
function ymlOf(strategy: Strategy): string {
  const endConditions = (stage: Stage) => stage.end_conditions.map(({ name, threshold }) => ({ name, threshold }));
  const stages = strategy.stages.map((stage) => ({ ...stage, end_conditions: endConditions(stage) }));
  return stringify(
    { ...strategy, stages },
    { defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN', lineWidth: 0 },
  );
}
