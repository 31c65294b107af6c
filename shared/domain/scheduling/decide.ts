/**
 * The scheduler's mind: state and counts in, new state out. Pure; a plan is numbers in it, never a name.
 *
 * Never fail open (law 4): every step forward is taken by a condition that holds on counts that are complete. Nothing
 * is taken from a location whose enrolment isn't complete in every partition, or that has no children.
 */
import { completeLocations, completeRollout } from './completion.ts';
import { enrolMore } from './enrol-more.ts';
import { openGates } from './open-gates.ts';
import { settleEffects, settleRevert, settleWithdrawn } from './settle.ts';
import type { Step } from './snapshot.ts';
import { noteStageTimes } from './stage-times.ts';
import { shrinkForgiveness, stopLocations, stopOnBudget } from './stopping.ts';
import { openLocations } from './waves.ts';

/** In this order: what stops comes before what goes on. */
const STEPS: readonly Step[] = [
  shrinkForgiveness,
  stopOnBudget,
  stopLocations,
  noteStageTimes,
  enrolMore,
  openGates,
  completeLocations,
  openLocations,
  completeRollout,
];

export const decide: Step = (rollout, snapshot, now) => {
  const settled = settleWithdrawn(settleEffects(rollout, snapshot, now), snapshot, now);
  if (settled.state === 'reverting') return settleRevert(settled, snapshot, now);
  if (settled.state !== 'running') return settled;
  if (snapshot.fault !== undefined) return { ...settled, state: 'halted', reason: snapshot.fault, endedAt: now };
  return STEPS.reduce((state, step) => (state.state === 'running' ? step(state, snapshot, now) : state), settled);
};
