/** What a child does, second by second, and the flags that it gets. */
import { StageStatus } from '#domain/child/status.ts';
import { type Child, isUnderway } from './child.ts';
import { endsByGate, type FleetState, isThere, openAt } from './state.ts';

export function act(state: FleetState, child: Child): void {
  const { now } = state;
  if (!isThere(state, child) || !isUnderway(child) || isSilent(state, child)) return;
  const script = child.script.stages[child.stage];
  const isAtWork = script !== undefined && now - child.stageSince < script.seconds * 1000;
  // In an A/B stage it makes no request before its result.
  if (!isAtWork || endsByGate(state, child.stage)) {
    child.seenAt = now;
    child.lost = false;
  }
  if (!child.downloaded) {
    if (!isOffered(state, child)) return;
    child.downloaded = true;
    return enter(state, child, 0);
  }
  if (script === undefined) return;
  const status = child.statuses[child.stage];
  if (status === StageStatus.SuccessWaiting && isGateOpen(state, child, child.stage)) return complete(state, child);
  if (status === StageStatus.InProgress && !isAtWork) reportResult(state, child);
}

function isSilent({ now }: FleetState, { script, stage, statuses, stageSince }: Child): boolean {
  if (script.stages[stage]?.does !== 'falls silent' || statuses[stage] !== StageStatus.InProgress) return false;
  return script.returnsAfter === null || now - stageSince < script.returnsAfter * 1000;
}

function reportResult(state: FleetState, child: Child): void {
  const does = child.script.stages[child.stage]?.does;
  if (does === 'fails' || does === 'fails and goes on') {
    child.statuses[child.stage] = StageStatus.Failure;
    if (does === 'fails') return end(child, 'Failed');
    return goOn(state, child);
  }
  if (!endsByGate(state, child.stage)) return complete(state, child);
  child.statuses[child.stage] = StageStatus.SuccessWaiting;
  child.overdue = false;
}

function enter({ now }: FleetState, child: Child, stage: number): void {
  child.stage = stage;
  child.statuses[stage] = StageStatus.InProgress;
  child.stageSince = now;
  child.overdue = false;
}

function complete(state: FleetState, child: Child): void {
  child.statuses[child.stage] = StageStatus.Completed;
  if (child.script.stages[child.stage]?.does === 'ends early') return end(child, 'Done');
  goOn(state, child);
}

function goOn(state: FleetState, child: Child): void {
  if (child.stage + 1 < state.stages.length) return enter(state, child, child.stage + 1);
  end(child, child.statuses[child.stage] === StageStatus.Completed ? 'Done' : 'Failed');
}

function end(child: Child, as: 'Done' | 'Failed'): void {
  child.ended = as;
  child.lost = false;
  child.overdue = false;
}

function isOffered(state: FleetState, child: Child): boolean {
  if (state.rollout?.state !== 'running') return false;
  if (state.byTurns) return true;
  const isWithdrawn = state.rollout.withdrawn.some(({ id }) => id === child.location);
  return !isWithdrawn && openAt(state, child.location)?.held === undefined;
}

/** By what it has seen opened, never by what decides it. */
export function isGateOpen(state: FleetState, child: Child, stage: number): boolean {
  const { rollout, gates, byTurns } = state;
  if (rollout === null || child.location === null) return false;
  const isSeenOpen = gates.get(child.location)?.has(stage) === true;
  if (!state.isOnItsOwn) return isSeenOpen;
  const goesOn =
    rollout.state === 'running' ||
    rollout.state === 'completed' ||
    (rollout.state === 'reverting' && rollout.plan.openGatesOnRevert);
  if (!byTurns) return goesOn && openAt(state, child.location)?.held === undefined;
  return isSeenOpen || (openAt(state, child.location) === undefined && goesOn);
}

export function flag(state: FleetState, child: Child): void {
  if (!isUnderway(child)) return;
  const { plan, now } = state;
  const inProgress = child.statuses[child.stage] === StageStatus.InProgress;
  const inTest = inProgress && !endsByGate(state, child.stage);
  if (plan.lostAfterMs !== null && !inTest && now - child.seenAt > plan.lostAfterMs) child.lost = true;
  if (plan.deadline !== null && inProgress && now - child.stageSince > plan.deadline.afterMs) child.overdue = true;
}
