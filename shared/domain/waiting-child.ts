/** Why one child doesn't get on, in a sentence's end: "waits for …". */
import type { LocationView } from './decide.ts';
import { requirementsOf } from './gates.ts';
import { MARK } from './marks.ts';
import { currentStage, endedAt, type ChildRecord } from './record.ts';
import { gatePassed, isWithdrawn, type Membership } from './membership.ts';
import { type Rollout } from './rollout.ts';
import { StageStatus } from './status.ts';

/**
 * Null: it waits for nothing, as it has ended the release. `record` null: it isn't enrolled. `view`: of its location, where that
 * is open.
 */
export function childWait(
  rollout: Rollout,
  record: ChildRecord | null,
  membership: Membership | null,
  view: LocationView | null,
  now: number,
  /** Another release that it runs, or null. */
  runs: string | null = null,
): string | null {
  const { state } = rollout;
  if (record === null || membership === null) return notEnrolled(rollout);
  if ((record.marks & MARK.ejected) > 0) return 'nothing: it was taken out of the release';
  if (endedAt(record) >= 0) return null;
  const here = rollout.open.find(({ id, n }) => (membership.n === 0 ? id === membership.id : n === membership.n));
  if (!record.downloaded) {
    if (isWithdrawn(rollout, membership)) return 'nothing: its location was left out';
    if (state === 'paused' || state === 'halted') return `an operator: the release is ${state}`;
    if (state !== 'running') return `nothing: the release is ${state}`;
    if (runs !== null && runs !== rollout.release) return `release ${runs}, which it runs`;
    return here?.held === undefined ? 'its next poll' : `an operator: its location is held (${here.held})`;
  }
  const stage = currentStage(record);
  const named = `stage "${rollout.stages[stage]?.name ?? ''}"`;
  if ((record.stages[stage]?.status ?? 0) !== StageStatus.SuccessWaiting) return `its own result of ${named}`;
  if (stage < record.hand || gatePassed(rollout, membership, stage, -1))
    return `its next call of /end_stage for ${named}`;
  if (state === 'paused' || state === 'halted') return `an operator: the release is ${state}`;
  if (state !== 'running') return `nothing: the release is ${state}, and ${named} stays closed`;
  if (here === undefined) return `nothing: its location was left out, and ${named} stays closed`;
  if (here.held !== undefined) return `an operator: its location is held (${here.held})`;
  const unmet = view === null ? [] : requirementsOf(rollout, here, view, stage, now).filter(({ holds }) => !holds);
  if (unmet.length === 0) return `${named} of the other open locations: they end in lockstep`;
  return `${named} to end: ${unmet.map(({ text }) => text).join('; ')}`;
}

function notEnrolled(rollout: Rollout): string {
  if (rollout.state === 'published') return 'the release to be started';
  if (rollout.state !== 'running') return `nothing: the release is ${rollout.state}`;
  return 'its location to have its turn, if the plan takes it in';
}
