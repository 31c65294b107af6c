/**
 * The scheduler's mind: state and aggregates in, new state out. Pure; a plan is numbers in it, never a branch.
 *
 * Never fail open (law 4): every step forward is taken by a condition that holds on counts that are complete. Nothing
 * is taken from a location that some partition hasn't marked as enrolled, or that has no children.
 */
import { type Counts, ended, expectedIn, inRelease, passed } from './counts.ts';
import { isFinished, type Effect, type OpenLocation, type Rollout } from './rollout.ts';
import { ReleaseStatus, StageStatus, STAGE_STATUSES } from './status.ts';

/** What a tick reads. */
export type Snapshot = {
  /** Over all locations, closed ones too. */
  totals: Counts;
  /** Per open location: its counts, and the children enrolled in it once every partition has marked it. */
  locations: ReadonlyMap<string, { counts: Counts; enrolled: number | null }>;
  /** Locations whose turn comes next, first ones first: as many as a wave may take. */
  next: readonly string[];
  /** The order of locations is known and `next` tells the truth. */
  ordered: boolean;
  /** One of the children that Failed, for the reason. */
  failed: { child: string; stage: number; status: StageStatus } | null;
};

type Step = (rollout: Rollout, snapshot: Snapshot, now: number) => Rollout;

/** The same object when there is nothing to change, so that an idle tick writes nothing. */
export const decide: Step = (rollout, snapshot, now) => {
  const settled = settleEffects(rollout, snapshot, now);
  if (settled.state !== 'running') return settled;
  return [haltOnFailures, openGates, closeLocations, openLocations, complete].reduce(
    (state, step) => (state.state === 'running' ? step(state, snapshot, now) : state),
    settled,
  );
};

const settleEffects: Step = (rollout, snapshot) => {
  if (isFinished(rollout.state)) return rollout;
  const open = rollout.open.map((location): OpenLocation => {
    const children = snapshot.locations.get(location.id)?.enrolled ?? null;
    return location.children === null && children !== null ? { ...location, children } : location;
  });
  const isDone = (effect: Effect): boolean =>
    effect.kind === 'order'
      ? snapshot.ordered
      : open.some((location) => location.id === effect.location && location.children !== null);
  if (!rollout.effects.some(isDone)) return rollout;
  return { ...rollout, open, effects: rollout.effects.filter((effect) => !isDone(effect)) };
};

const haltOnFailures: Step = (rollout, { totals, locations, failed }, now) => {
  // What is known of open locations may be newer than the totals.
  const open = [...locations.values()].reduce((sum, { counts }) => sum + inRelease(counts, ReleaseStatus.Failed), 0);
  const failures = Math.max(inRelease(totals, ReleaseStatus.Failed), open);
  if (failures <= rollout.plan.failureBudget) return rollout;
  const others = failures > 1 ? ` (and ${failures - 1} more)` : '';
  const reason =
    failed === null
      ? `${failures} children failed`
      : `child ${failed.child} reported ${STAGE_STATUSES[failed.status]} in stage "${rollout.stages[failed.stage]?.name}"${others}`;
  return { ...rollout, state: 'halted', reason, endedAt: now };
};

/** The condition under which a stage ends in a location. Shown to operators by the same function. */
export function stageNeeds(
  rollout: Rollout,
  location: OpenLocation,
  counts: Counts,
  stage: number,
): { passed: number; needed: number; holds: boolean } {
  const needed = Math.ceil(rollout.plan.quorum * expectedIn(counts, location.children ?? 0, stage));
  const count = passed(counts, stage);
  return { passed: count, needed, holds: location.children !== null && needed > 0 && count >= needed };
}

const openGates: Step = (rollout, snapshot) => {
  const holds = (location: OpenLocation, stage: number): boolean => {
    const counts = snapshot.locations.get(location.id)?.counts;
    return counts !== undefined && stageNeeds(rollout, location, counts, stage).holds;
  };
  const signalled = rollout.stages.flatMap((stage, i) => (stage.type === 'WaitForSignal' ? [i] : []));
  const opens = (location: OpenLocation, stage: number): boolean =>
    !location.gates.includes(stage) &&
    (rollout.plan.lockstep ? rollout.open.every((each) => holds(each, stage)) : holds(location, stage));
  let changed = false;
  const open = rollout.open.map((location) => {
    const gates = signalled.filter((stage) => opens(location, stage));
    if (gates.length === 0) return location;
    changed = true;
    return { ...location, gates: [...location.gates, ...gates] };
  });
  return changed ? { ...rollout, open } : rollout;
};

/** A location is through once every child enrolled in it has ended. One without children gives way to the next. */
const closeLocations: Step = (rollout, snapshot) => {
  const isThrough = ({ id, children }: OpenLocation): boolean => {
    if (children === null) return false;
    if (children === 0) return snapshot.next.some((next) => next !== id) || rollout.closed.children > 0;
    return ended(snapshot.locations.get(id)?.counts ?? new Map()) >= children;
  };
  const through = rollout.open.filter(isThrough);
  if (through.length === 0) return rollout;
  return {
    ...rollout,
    open: rollout.open.filter((location) => !through.includes(location)),
    closed: {
      locations: rollout.closed.locations + through.length,
      children: rollout.closed.children + through.reduce((sum, location) => sum + (location.children ?? 0), 0),
    },
  };
};

/** The next wave starts when the last location of this one is through. */
const openLocations: Step = (rollout, snapshot) => {
  if (!snapshot.ordered || rollout.open.length > 0) return rollout;
  const next = snapshot.next.slice(0, rollout.plan.wave);
  if (next.length === 0) return rollout;
  return {
    ...rollout,
    open: next.map((id) => ({ id, children: null, gates: [] })),
    effects: [...rollout.effects, ...next.map((location) => ({ kind: 'enrol', location }) as const)],
  };
};

const complete: Step = (rollout, snapshot, now) => {
  const nobodyLeft = snapshot.ordered && rollout.open.length === 0 && snapshot.next.length === 0;
  // A start that found nobody to enrol stays running and says so: success needs somebody who succeeded.
  if (!nobodyLeft || rollout.closed.children === 0) return rollout;
  return { ...rollout, state: 'completed', endedAt: now };
};
