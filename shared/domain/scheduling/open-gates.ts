/** Opens the gates whose conditions hold. In lockstep a stage ends in all open locations together. */
import { type OpenLocation, type Rollout, signalledStages } from '#domain/rollout/rollout.ts';
import { requirementsOf } from './gates.ts';
import type { Snapshot, Step } from './snapshot.ts';

export const openGates: Step = (rollout, snapshot, now) => {
  const signalled = signalledStages(rollout);
  const isLockstep = rollout.plan.stages === 'lockstep';
  const ending = isLockstep ? stagesEndingTogether(rollout, snapshot, now) : [];
  const opens = (location: OpenLocation, stage: number): boolean =>
    !location.gates.includes(stage) &&
    (isLockstep ? ending.includes(stage) : holds(rollout, location, stage, { snapshot, now }));
  let changed = false;
  const open = rollout.open.map((location) => {
    const gates = signalled.filter((stage) => opens(location, stage));
    if (gates.length === 0) return location;
    changed = true;
    return { ...location, gates: [...location.gates, ...gates] };
  });
  return changed ? { ...rollout, open } : rollout;
};

type Seen = { snapshot: Snapshot; now: number };

function holds(rollout: Rollout, location: OpenLocation, stage: number, { snapshot, now }: Seen): boolean {
  const view = snapshot.locations.get(location.id);
  if (view === undefined || location.held !== undefined) return false;
  return requirementsOf({ rollout, location, view, now }, stage).every((each) => each.holds);
}

/** A stage that has ended in a location already keeps nobody else back. */
const stagesEndingTogether = (rollout: Rollout, snapshot: Snapshot, now: number): number[] =>
  signalledStages(rollout).filter((stage) =>
    rollout.open.every(
      (location) => location.gates.includes(stage) || holds(rollout, location, stage, { snapshot, now }),
    ),
  );
