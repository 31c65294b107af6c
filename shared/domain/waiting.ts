/** Why a release waits: the conditions that don't hold yet, with their numbers. Read from what `decide` reads. */
import { type Counts, expectedIn, inStage } from './counts.ts';
import { stageNeeds } from './decide.ts';
import { stageRank } from './record.ts';
import type { OpenLocation, Rollout } from './rollout.ts';
import { StageStatus } from './status.ts';

export type Wait = {
  location: string | null;
  stage: string | null;
  for: string;
  /** Ranks, both ends included, of the children that it waits for; null: it waits for no child in particular. */
  ranks: readonly [number, number] | null;
  /** A stage that some children failed and then went on: they hold it as well, from behind. */
  failedStage?: number;
};

type View = {
  locations: ReadonlyMap<string, { counts: Counts; enrolled: number | null }>;
  partitionsDone: number;
  partitions: number;
  ordered: boolean;
  next: readonly string[];
};

export function waitsOf(rollout: Rollout, view: View): Wait[] {
  if (rollout.state === 'halted')
    return [{ location: null, stage: null, for: `an operator: ${rollout.reason ?? 'halted'}`, ranks: null }];
  if (rollout.state !== 'running') return [];
  const partitions = `${view.partitionsDone} of ${view.partitions} partitions are through`;
  if (rollout.effects.some((effect) => effect.kind === 'order'))
    return [{ location: null, stage: null, for: `the order of joining: ${partitions}`, ranks: null }];
  const waits = rollout.open.flatMap((location): Wait[] => {
    if (location.children === null) {
      const through = rollout.plan.locations === 'child' ? '' : `: ${partitions}`;
      return [{ location: location.id, stage: null, for: `enrolment${through}`, ranks: null }];
    }
    if (location.children === 0) return [nobody(location.id)];
    return stageWaits(rollout, location, view.locations.get(location.id)?.counts ?? new Map());
  });
  if (waits.length > 0 || rollout.open.length > 0) return waits;
  if (!view.ordered || view.next.length > 0)
    return [{ location: null, stage: null, for: 'the scheduler to open the next location', ranks: null }];
  return rollout.closed.children === 0 ? [nobody(null)] : [];
}

const nobody = (location: string | null): Wait => ({
  location,
  stage: null,
  for: 'children: at the start nobody had given a sign of life lately enough to be enrolled',
  ranks: null,
});

/** The earliest stage that isn't through here: children are before it, in it, or wait for its gate. */
function stageWaits(rollout: Rollout, location: OpenLocation, counts: Counts): Wait[] {
  const children = location.children ?? 0;
  for (const [i, stage] of rollout.stages.entries()) {
    const expected = expectedIn(counts, children, i);
    if (expected === 0) return [];
    const wait = (missing: number, before: StageStatus): Wait => ({
      location: location.id,
      stage: stage.name,
      for: `${missing} of ${expected} children`,
      ranks: [0, stageRank(i, before) - 1],
    });
    if (stage.type === 'WaitForSignal' && !location.gates.includes(i)) {
      const { passed, needed } = stageNeeds(rollout, location, counts, i);
      const waits = wait(Math.max(needed - passed, 0), StageStatus.SuccessWaiting);
      const failed = inStage(counts, i, StageStatus.Failure) + inStage(counts, i, StageStatus.Error);
      if (failed === 0) return [waits];
      return [{ ...waits, for: `${waits.for} (${failed} failed the stage and went on)`, failedStage: i }];
    }
    const { Completed, Failure, Error } = StageStatus;
    const through = inStage(counts, i, Completed) + inStage(counts, i, Failure) + inStage(counts, i, Error);
    if (through < expected) return [wait(expected - through, StageStatus.Completed)];
  }
  return [];
}
