/** Promoting: an operator approves a stage or a wave, or opens a gate though its conditions don't hold. */
import { requirementsOf } from '#domain/scheduling/gates.ts';
import type { Snapshot } from '#domain/scheduling/snapshot.ts';
import { waveWaits } from '#domain/scheduling/waves.ts';
import { isToDo, NotPossible, openLocation, withLocation } from './table.ts';
import { type OpenLocation, type Rollout, signalledStages } from '#domain/rollout/rollout.ts';

export type Promotion = {
  location?: string | undefined;
  stage?: string | undefined;
  wave?: boolean | undefined;
  /** Opens the gate of the stage, though its conditions don't hold. */
  now?: boolean | undefined;
};

type Locations = Pick<Snapshot, 'locations'>;

/** Approves what is named, or with nothing named all that waits for approval now. */
export function promote(rollout: Rollout, what: Promotion, snapshot: Locations, at: number): Rollout {
  isToDo('promote', rollout);
  const stage = stageNamed(rollout, what);
  const locations = what.location === undefined ? rollout.open : [openLocation(rollout, what.location)];
  if (what.wave === true) return approveWave(rollout);
  if (what.now === true && stage !== null) return openGates(rollout, locations, stage);
  const isAll = stage === null && what.location === undefined;
  const next = isAll && isWaveDue(rollout, at) ? approveWave(rollout) : rollout;
  return locations.reduce((state, location) => {
    const stages = stage === null ? stagesToApprove(rollout, location, snapshot, at) : [stage];
    const approved = [...new Set([...(location.approved ?? []), ...stages])];
    return approved.length > (location.approved?.length ?? 0) ? withLocation(state, { ...location, approved }) : state;
  }, next);
}

function stageNamed(rollout: Rollout, what: Promotion): number | null {
  if (what.stage === undefined) {
    if (what.now === true) throw new NotPossible('name the stage that is to end now');
    return null;
  }
  const stage = rollout.stages.findIndex(({ name }) => name === what.stage);
  if (!signalledStages(rollout).includes(stage))
    throw new NotPossible(`"${what.stage}" is none of its WaitForSignal stages`);
  if (what.wave !== true && what.now !== true && !needsApproval(rollout, stage))
    throw new NotPossible(`stage "${what.stage}" needs no approval; with "now" its gate opens all the same`);
  return stage;
}

function needsApproval({ plan, stages }: Rollout, stage: number): boolean {
  const wanted = plan.advance.approval.stages;
  return wanted === 'all' || wanted.includes(stages[stage]?.name ?? '');
}

const isWaveDue = (rollout: Rollout, at: number): boolean =>
  rollout.plan.advance.approval.waves &&
  rollout.open.length === 0 &&
  waveWaits({ ...rollout, waveEndedAt: null }, at) !== null;

function approveWave(rollout: Rollout): Rollout {
  if (!rollout.plan.advance.approval.waves) throw new NotPossible('its plan asks for no approval of waves');
  const { approvedWaves, started } = rollout;
  return approvedWaves >= started.waves ? rollout : { ...rollout, approvedWaves: started.waves };
}

function openGates(rollout: Rollout, locations: readonly OpenLocation[], stage: number): Rollout {
  return locations.reduce((state, location) => {
    if (location.children === null) throw new NotPossible(`location ${location.id} is still being enrolled`);
    if (location.gates.includes(stage)) return state;
    return withLocation(state, { ...location, gates: [...location.gates, stage] });
  }, rollout);
}

/** Stages that wait for nothing but approval, and perhaps for time to pass. */
function stagesToApprove(rollout: Rollout, location: OpenLocation, { locations }: Locations, now: number): number[] {
  const view = locations.get(location.id);
  if (view === undefined) return [];
  return signalledStages(rollout).filter((stage) => {
    if (location.gates.includes(stage) || !needsApproval(rollout, stage)) return false;
    const unmet = requirementsOf({ rollout, location, view, now }, stage).filter(({ holds }) => !holds);
    const isTime = unmet.every(({ kind }) => kind === 'approval' || kind === 'soak');
    return isTime && unmet.some(({ kind }) => kind === 'approval');
  });
}
