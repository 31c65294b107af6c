/** What operators' controls make of a rollout. Each throws NotPossible where the table of controls has a reason against it. */
import { usedBudget } from '#domain/scheduling/budget.ts';
import { bothCounts } from '#domain/scheduling/gates.ts';
import type { Snapshot } from '#domain/scheduling/snapshot.ts';
import { isToDo, NotPossible, openLocation, withLocation } from './table.ts';
import { type OpenLocation, type Rollout, signalledStages } from '#domain/rollout/rollout.ts';
import { abortRollout, openAllGates, revertRollout, withdrawLocation } from '#domain/rollout/stop.ts';

export const pause = (rollout: Rollout, reason: string | null): Rollout =>
  isToDo('pause', rollout) ? { ...rollout, state: 'paused', reason } : rollout;

/** Going on after a halt looks past the failures so far: only further ones use the budget up. */
export function resume(rollout: Rollout, snapshot: Pick<Snapshot, 'totals' | 'locations'>, now: number): Rollout {
  if (!isToDo('resume', rollout)) {
    // Where there is one location, it is the release; of several the operator names one.
    const [held] = rollout.plan.by === 'all' ? rollout.open.filter((each) => each.held !== undefined) : [];
    return held === undefined ? rollout : resumeLocation(rollout, held.id, snapshot, now);
  }
  const isHalted = rollout.state === 'halted';
  const forgiven = isHalted ? usedBudget([snapshot.totals], rollout.plan).total : rollout.forgiven;
  // Where there is one location, one that takes too long halts the release.
  const isOne = isHalted && rollout.plan.by === 'all' && rollout.plan.deadline !== null;
  const open = rollout.open.map((each) => unsoaked(isOne ? inTimeAgain(each, snapshot, now) : each));
  return { ...rollout, state: 'running', reason: null, endedAt: null, forgiven, open };
}

/** No tick looked meanwhile: whether the conditions held all the time isn't known, so a soak begins again. */
function unsoaked({ metSince: _metSince, ...location }: OpenLocation): OpenLocation {
  return location;
}

/** Children that took too long are looked past, and a stage that took too long has its whole time again. */
function inTimeAgain(location: OpenLocation, { locations }: Pick<Snapshot, 'locations'>, now: number): OpenLocation {
  const { enteredAt, ...rest } = location;
  const view = locations.get(location.id);
  const { overdue } = usedBudget(view === undefined ? [] : bothCounts(view), { deadline: null });
  const again =
    enteredAt === undefined
      ? {}
      : { enteredAt: Object.fromEntries(Object.keys(enteredAt).map((stage) => [stage, now])) };
  return { ...rest, forgiven: { used: location.forgiven?.used ?? 0, overdue }, ...again };
}

export function resumeLocation(
  rollout: Rollout,
  id: string,
  snapshot: Pick<Snapshot, 'locations'>,
  now: number,
): Rollout {
  isToDo('resume-location', rollout);
  const location = openLocation(rollout, id);
  if (location.held === undefined) return rollout;
  const view = snapshot.locations.get(id);
  const used = usedBudget(view === undefined ? [] : bothCounts(view), rollout.plan).total;
  const { held: _held, ...rest } = inTimeAgain(unsoaked(location), snapshot, now);
  return withLocation(rollout, { ...rest, forgiven: { used, overdue: rest.forgiven?.overdue ?? 0 } });
}

export const abort = (rollout: Rollout, reason: string, now: number): Rollout =>
  isToDo('abort', rollout) ? abortRollout(rollout, now, reason) : rollout;

/** `isToCome`: whether the location still has its turn before it. */
export type Leaving = { as: 'skipped' | 'aborted'; reason: string; isToCome: boolean };

/** Withdraws an open location, or has it passed over at its turn. */
export function leaveOut(rollout: Rollout, id: string, { as, reason, isToCome }: Leaving, now: number): Rollout {
  isToDo(as === 'skipped' ? 'skip' : 'abort-location', rollout);
  if (rollout.withdrawn.some((each) => each.id === id) || rollout.skip.includes(id)) return rollout;
  const location = rollout.open.find((each) => each.id === id);
  if (location !== undefined) return withdrawLocation(rollout, location, { as, reason }, now);
  if (!isToCome) throw new NotPossible(`location ${id} has completed, or the plan has no such location`);
  if (as === 'aborted') throw new NotPossible(`location ${id} is still to come: skip it`);
  return { ...rollout, skip: [...rollout.skip, id] };
}

/** `openGates`: children that wait at a gate pass it, so that they can be reached. */
export type Reverting = { reason: string; openGates: boolean };

export function revert(rollout: Rollout, { reason, openGates }: Reverting, now: number): Rollout {
  if (isToDo('revert', rollout)) return revertRollout(rollout, now, reason, openGates);
  // The gates may be opened later, too.
  return openGates && !rollout.plan.openGatesOnRevert ? openAllGates(rollout) : rollout;
}

/** Takes one location back: one that is open, or was withdrawn; the others go on. */
export function revertLocation(rollout: Rollout, id: string, { reason, openGates }: Reverting, now: number): Rollout {
  isToDo('revert-location', rollout);
  const withdrawn = rollout.withdrawn.find((each) => each.id === id);
  if (withdrawn === undefined)
    return withdrawLocation(rollout, openLocation(rollout, id), { as: 'reverting', reason, openGates }, now);
  const gates = openGates ? signalledStages(rollout) : withdrawn.gates;
  const isTakenBack = withdrawn.as === 'reverting' || withdrawn.as === 'reverted';
  if (isTakenBack && gates.every((stage) => withdrawn.gates.includes(stage))) return rollout;
  return {
    ...rollout,
    withdrawn: rollout.withdrawn.map((each) =>
      each === withdrawn ? { ...each, as: 'reverting' as const, reason, gates } : each,
    ),
    effects: [...rollout.effects, { kind: 'compensate', location: id }],
  };
}
