/** Why one child doesn't get on, in a sentence's end: "waits for …". */
import { FLAG, hasFlag } from '#domain/child/flags.ts';
import { type ChildRecord, currentStage, endedAt } from '#domain/child/record.ts';
import { StageStatus } from '#domain/child/status.ts';
import { isGateOpen, isWithdrawn, type Membership } from '#domain/rollout/membership.ts';
import type { OpenLocation, Rollout } from '#domain/rollout/rollout.ts';
import { requirementsOf } from '#domain/scheduling/gates.ts';
import type { LocationView } from '#domain/scheduling/snapshot.ts';

/** `runs`: another release that it runs, or null. `view`: of its location, where that is open. */
export type ChildFacts = {
  record: ChildRecord;
  membership: Membership;
  view: LocationView | null;
  runs: string | null;
};

/** Null: it waits for nothing, as it has ended the release. `child` null: it isn't enrolled. */
export function childWait(rollout: Rollout, child: ChildFacts | null, now: number): string | null {
  if (child === null) return notEnrolled(rollout);
  const { record, membership } = child;
  if (hasFlag(record.flags, FLAG.ejected)) return 'nothing: it was ejected from the release';
  if (endedAt(record) >= 0) return null;
  const here = rollout.open.find(({ id, n }) => (membership.n === 0 ? id === membership.id : n === membership.n));
  return record.downloaded ? inStage(rollout, child, here, now) : beforeDownload(rollout, child, here);
}

function notEnrolled({ state }: Rollout): string {
  if (state === 'published') return 'the release to be started';
  if (state !== 'running') return `nothing: the release is ${state}`;
  return 'its location to have its turn, if the plan takes it in';
}

/** An operator has to act, or nothing will ever happen; null: the rollout runs. */
function stopped({ state }: Rollout, end: string): string | null {
  if (state === 'paused' || state === 'halted') return `an operator: the release is ${state}`;
  return state === 'running' ? null : `nothing: the release is ${state}${end}`;
}

function beforeDownload(rollout: Rollout, { membership, runs }: ChildFacts, here: OpenLocation | undefined): string {
  if (isWithdrawn(rollout, membership)) return 'nothing: its location was withdrawn';
  const stop = stopped(rollout, '');
  if (stop !== null) return stop;
  if (runs !== null && runs !== rollout.release) return `release ${runs}, which it runs`;
  return here?.held === undefined ? 'its next poll' : `an operator: its location is held (${here.held})`;
}

function inStage(
  rollout: Rollout,
  { record, membership, view }: ChildFacts,
  here: OpenLocation | undefined,
  now: number,
): string {
  const stage = currentStage(record);
  const named = `stage "${rollout.stages[stage]?.name ?? ''}"`;
  if ((record.stages[stage]?.status ?? 0) !== StageStatus.SuccessWaiting) return `its own result of ${named}`;
  if (stage < record.promotedUpTo || isGateOpen(rollout, membership, stage, -1))
    return `its next call of /end_stage for ${named}`;
  const stop = stopped(rollout, `, and ${named} stays closed`);
  if (stop !== null) return stop;
  if (here === undefined) return `nothing: its location was withdrawn, and ${named} stays closed`;
  if (here.held !== undefined) return `an operator: its location is held (${here.held})`;
  const facts = view === null ? null : { rollout, location: here, view, now };
  const unmet = facts === null ? [] : requirementsOf(facts, stage).filter(({ holds }) => !holds);
  if (unmet.length === 0) return `${named} of the other open locations: they end in lockstep`;
  return `${named} to end: ${unmet.map(({ text }) => text).join('; ')}`;
}
