/** A budget that is spent stops what it is for, and nothing else does but a stage that takes too long. */
import type { OpenLocation } from '#domain/rollout/rollout.ts';
import type { Child } from '../model/child.ts';
import type { Fleet } from '../model.ts';
import type { Decision } from '../play.ts';
import { enrolledIn, type LawState, type Moment, must } from './state.ts';

/** What a release is, once its budget has been acted on. */
const STOPPED = { hold: 'halted', abort: 'aborted', revert: 'reverting' } as const;

const usedBy = ({ plan }: LawState, children: readonly Child[]): number =>
  children.filter(
    ({ ejected, ended, lost, overdue }) =>
      !ejected && (ended === 'Failed' || (ended === null && (lost || (overdue && plan.deadline?.then === 'fail')))),
  ).length;

const allowed = ({ count, share }: { count: number; share: number }, of: number): number =>
  Math.max(count, Math.floor(share * of + 1e-9));

/** The budget over all. */
function isAllSpent(state: LawState, fleet: Fleet, forgiven: number): boolean {
  const { all } = state.plan.failure;
  const enrolled = enrolledIn(fleet);
  return all !== null && usedBy(state, enrolled) - forgiven > allowed(all, enrolled.length);
}

/** The location's own. */
function isOwnSpent(state: LawState, fleet: Fleet, { id, members, forgiven }: OpenLocation): boolean {
  const { location: own } = state.plan.failure;
  const here = fleet.membersOf(id);
  const of = Math.max(members ?? 0, here.filter(({ late }) => !late).length);
  return own !== null && usedBy(state, here) - (forgiven?.used ?? 0) > allowed(own, of);
}

/** Nothing is stopped but by a budget that is spent, or by a stage that takes too long. */
export function checkStopping(state: LawState, decision: Decision): void {
  const { before, after, fleet } = decision;
  const { plan } = state;
  const { all } = plan.failure;
  // Where there is one location, one that takes too long halts the release.
  const isLate = after.state === 'halted' && plan.deadline !== null && plan.locations.by === 'all';
  if (before.state === 'running' && after.state !== 'running' && after.state !== 'completed' && !isLate) {
    must(all !== null, 'only a budget stops a release');
    must(isAllSpent(state, fleet, before.forgiven), 'it is stopped, and its budget is not spent');
    must(STOPPED[all.then] === after.state, 'it is stopped as its budget says');
  }
  for (const location of before.open) checkLocation(state, decision, location);
}

function checkLocation(state: LawState, { after, fleet }: Decision, location: OpenLocation): void {
  const { id, held } = location;
  const { plan } = state;
  const then = plan.failure.location?.then;
  const isSpent = isOwnSpent(state, fleet, location);
  if (after.withdrawn.some((each) => each.id === id))
    must(isSpent && then !== 'hold', `${id} is withdrawn, and its budget is not spent`);
  const isHeld = after.open.some((each) => each.id === id && each.held !== undefined);
  if (isHeld && held === undefined)
    must((isSpent && then === 'hold') || plan.deadline !== null, `${id} is held for no reason`);
}

/** After a tick a budget that is spent has been acted on. */
export function checkBudgets(state: LawState, { rollout, fleet }: Moment): void {
  if (rollout.state !== 'running') return;
  const { deadline, failure } = state.plan;
  if (failure.all !== null)
    must(!isAllSpent(state, fleet, rollout.forgiven), 'the budget over all is spent, and it runs');
  for (const location of rollout.open) {
    const { id, held, forgiven } = location;
    if (held !== undefined) continue;
    const here = fleet.membersOf(id);
    const overdue = here.filter((child) => child.overdue && !child.ejected && child.ended === null).length;
    if (deadline?.then === 'hold')
      must(overdue <= (forgiven?.overdue ?? 0), `${overdue} children are overdue in ${id}, and it goes on`);
    if (failure.location !== null)
      must(!isOwnSpent(state, fleet, location), `the budget of ${id} is spent, and it goes on`);
  }
}
