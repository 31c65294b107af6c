/** What stops a release, or one location of it: budgets that are spent, and stages that take too long. */
import { bothCounts, breachText, isSpent, usedBudget } from './budget.ts';
import { enrolled, marked } from './counts.ts';
import type { FailedChild, LocationView, Step } from './decide.ts';
import { requirementsOf } from './gates.ts';
import { MARK } from './marks.ts';
import { abortRollout, type OpenLocation, revertRollout, type Rollout, setAside, signalledStages } from './rollout.ts';
import { STAGE_STATUSES } from './status.ts';

function failureText(rollout: Rollout, failed: FailedChild | null, failures: number, breach: string): string {
  if (failed === null) return breach;
  const others = failures > 1 ? ` (and ${failures - 1} more)` : '';
  const stage = rollout.stages[failed.stage]?.name;
  return `child ${failed.child} reported ${STAGE_STATUSES[failed.status]} in stage "${stage}"${others}`;
}

/** What was looked past once and has been made good since, by a retry or a return, is no credit for other failures. */
export const forgiveNoMore: Step = (rollout, { totals, locations }) => {
  const { plan } = rollout;
  let changed = false;
  const open = rollout.open.map((location) => {
    const view = locations.get(location.id);
    if (location.forgiven === undefined || view === undefined) return location;
    const now = usedBudget(bothCounts(view), plan);
    const { used, overdue } = location.forgiven;
    if (now.total >= used && now.overdue >= overdue) return location;
    changed = true;
    return { ...location, forgiven: { used: Math.min(used, now.total), overdue: Math.min(overdue, now.overdue) } };
  });
  const forgiven = rollout.forgiven === 0 ? 0 : Math.min(rollout.forgiven, usedBudget([totals], plan).total);
  return changed || forgiven !== rollout.forgiven ? { ...rollout, open, forgiven } : rollout;
};

/** The budget over all locations. */
export const stopOnBudget: Step = (rollout, { totals, locations, failed }, now) => {
  const { plan } = rollout;
  const budget = plan.failure.all;
  if (budget === null) return rollout;
  // What is known of open locations may be newer than the totals.
  const isOpen = (id: string): boolean => rollout.open.some((each) => each.id === id);
  const open = usedBudget(
    [...locations].flatMap(([id, view]) => (isOpen(id) ? bothCounts(view) : [])),
    plan,
  );
  const inAll = usedBudget([totals], plan);
  const used = open.total > inAll.total ? open : inAll;
  const children = enrolled(totals);
  if (!isSpent(budget, used, rollout.forgiven, children)) return rollout;
  const breach = breachText(budget, used, children);
  const named = failureText(rollout, failed, used.failed, breach);
  const reason =
    named === breach || budget.count + budget.share + used.lost + used.overdue === 0 ? named : `${named}; ${breach}`;
  if (budget.then === 'abort') return abortRollout(rollout, now, reason);
  if (budget.then === 'revert') return revertRollout(rollout, now, reason, plan.releaseHeld);
  return { ...rollout, state: 'halted', reason, endedAt: now };
};

/** The budget and the deadline of each location: the others go on. */
export const stopLocations: Step = (rollout, snapshot, now) =>
  rollout.open.reduce((state, location) => {
    const view = snapshot.locations.get(location.id);
    if (view === undefined || location.held !== undefined) return state;
    const budget = state.plan.failure.location;
    const used = usedBudget(bothCounts(view), state.plan);
    const children = Math.max(location.children ?? 0, location.members ?? 0, enrolled(view.counts));
    const spent = budget !== null && isSpent(budget, used, location.forgiven?.used ?? 0, children);
    if (!spent) {
      const late = overdueText(state, location, view, now);
      if (late === null) return state;
      // Where there is one location, it is the release.
      if (state.plan.by === 'all') return { ...state, state: 'halted', reason: late, endedAt: now };
      return holdLocation(state, location.id, late);
    }
    const breach = breachText(budget, used, children);
    const named = failureText(state, view.failed, used.failed, breach);
    const reason = named === breach ? named : `${named}; ${breach}`;
    if (budget.then === 'hold') return holdLocation(state, location.id, reason);
    return setAside(state, location, budget.then === 'abort' ? 'aborted' : 'reverting', reason, now);
  }, rollout);

const holdLocation = (rollout: Rollout, id: string, held: string): Rollout => ({
  ...rollout,
  open: rollout.open.map((each) => (each.id === id ? { ...each, held } : each)),
});

/** Why a location has taken too long, or null. Children who wait, for others or for an operator, take no time of their own. */
function overdueText(rollout: Rollout, location: OpenLocation, view: LocationView, now: number): string | null {
  const { deadline } = rollout.plan;
  if (deadline === null) return null;
  const limit = `${Math.round(deadline.afterMs / 1000)} s`;
  const overdue = bothCounts(view).reduce((sum, each) => sum + marked(each, MARK.overdue), 0);
  if (deadline.then === 'hold' && overdue > (location.forgiven?.overdue ?? 0))
    return `${overdue} children have been InProgress in a stage for more than ${limit}`;
  for (const stage of signalledStages(rollout)) {
    const since = location.since?.[stage];
    if (since === undefined || location.gates.includes(stage) || now - since < deadline.afterMs) continue;
    const unmet = requirementsOf(rollout, location, view, stage, now).filter(({ holds }) => !holds);
    const metric = unmet.find(({ kind }) => kind === 'metrics');
    if (metric !== undefined && unmet.every(({ kind }) => kind === 'metrics' || kind === 'soak' || kind === 'approval'))
      return `stage "${rollout.stages[stage]?.name}" has waited for more than ${limit} for ${metric.text}`;
  }
  return null;
}
