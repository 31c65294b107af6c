/** What stops a release, or one location of it: budgets that are spent, and stages that take too long. */
import { FLAG } from '#domain/child/flags.ts';
import { STAGE_STATUSES } from '#domain/child/status.ts';
import { flagged } from '#domain/counts/counts.ts';
import { type OpenLocation, type Rollout, signalledStages } from '#domain/rollout/rollout.ts';
import { abortRollout, revertRollout, withdrawLocation } from '#domain/rollout/stop.ts';
import { breachText, isSpent, type Used, usedBudget } from './budget.ts';
import { bothCounts, requirementsOf } from './gates.ts';
import type { FailedChild, LocationView, Snapshot, Step } from './snapshot.ts';

function failureText(rollout: Rollout, failed: FailedChild | null, failures: number, breach: string): string {
  if (failed === null) return breach;
  const others = failures > 1 ? ` (and ${failures - 1} more)` : '';
  const stage = rollout.stages[failed.stage]?.name;
  return `child ${failed.child} reported ${STAGE_STATUSES[failed.status]} in stage "${stage}"${others}`;
}

/** What was looked past once and has been made good since, by a retry or a return, is no credit for other failures. */
export const shrinkForgiveness: Step = (rollout, snapshot) => {
  const { plan } = rollout;
  const { locations } = snapshot;
  const open = rollout.open.map((location) => {
    const view = locations.get(location.id);
    if (location.forgiven === undefined || view === undefined) return location;
    const now = usedBudget(bothCounts(view), plan);
    const { used, overdue } = location.forgiven;
    if (now.total >= used && now.overdue >= overdue) return location;
    return { ...location, forgiven: { used: Math.min(used, now.total), overdue: Math.min(overdue, now.overdue) } };
  });
  const changed = open.some((location, i) => location !== rollout.open[i]);
  const forgiven = rollout.forgiven === 0 ? 0 : Math.min(rollout.forgiven, usedInAll(rollout, snapshot).total);
  return changed || forgiven !== rollout.forgiven ? { ...rollout, open, forgiven } : rollout;
};

/** The budget over all locations. */
export const stopOnBudget: Step = (rollout, snapshot, now) => {
  const { plan } = rollout;
  const budget = plan.failure.all;
  if (budget === null) return rollout;
  const used = usedInAll(rollout, snapshot);
  const children = snapshot.totals.enrolled;
  if (!isSpent(budget, used, rollout.forgiven, children)) return rollout;
  const breach = breachText(budget, used, children);
  const named = failureText(rollout, snapshot.failed, used.failed, breach);
  const allowsNone = budget.count + budget.share + used.lost + used.overdue === 0;
  const reason = named === breach || allowsNone ? named : `${named}; ${breach}`;
  if (budget.then === 'abort') return abortRollout(rollout, now, reason);
  if (budget.then === 'revert') return revertRollout(rollout, now, reason, plan.openGatesOnRevert);
  return { ...rollout, state: 'halted', reason, endedAt: now };
};

/**
 * What is known of open locations and the totals are read one after the other, and a child may fail, or be tried again, in
 * between: the greater of both counts.
 */
function usedInAll({ open, plan }: Rollout, { totals, locations }: Snapshot): Used {
  const ids = new Set(open.map(({ id }) => id));
  const here = [...locations].flatMap(([id, view]) => (ids.has(id) ? bothCounts(view) : []));
  const [inOpen, inAll] = [usedBudget(here, plan), usedBudget([totals], plan)];
  return inOpen.total > inAll.total ? inOpen : inAll;
}

/** The budget and the deadline of each location: the others go on. */
export const stopLocations: Step = (rollout, snapshot, now) =>
  rollout.open.reduce((state, location) => {
    const view = snapshot.locations.get(location.id);
    if (view === undefined || location.held !== undefined) return state;
    return stopOnFailures(state, location, view, now) ?? stopOnTime(state, location, view, now);
  }, rollout);

/** Null: the location's budget is not spent. */
function stopOnFailures(rollout: Rollout, location: OpenLocation, view: LocationView, now: number): Rollout | null {
  const budget = rollout.plan.failure.location;
  if (budget === null) return null;
  const used = usedBudget(bothCounts(view), rollout.plan);
  const children = Math.max(location.children ?? 0, location.members ?? 0, view.counts.enrolled);
  if (!isSpent(budget, used, location.forgiven?.used ?? 0, children)) return null;
  const breach = breachText(budget, used, children);
  const named = failureText(rollout, view.failed, used.failed, breach);
  const reason = named === breach ? named : `${named}; ${breach}`;
  if (budget.then === 'hold') return holdLocation(rollout, location.id, reason);
  return withdrawLocation(rollout, location, { as: budget.then === 'abort' ? 'aborted' : 'reverting', reason }, now);
}

function stopOnTime(rollout: Rollout, location: OpenLocation, view: LocationView, now: number): Rollout {
  const reason = overdueText(rollout, location, view, now);
  if (reason === null) return rollout;
  // Where there is one location, it is the release.
  if (rollout.plan.by === 'all') return { ...rollout, state: 'halted', reason, endedAt: now };
  return holdLocation(rollout, location.id, reason);
}

const holdLocation = (rollout: Rollout, id: string, held: string): Rollout => ({
  ...rollout,
  open: rollout.open.map((each) => (each.id === id ? { ...each, held } : each)),
});

/** Why a location has taken too long, or null. Children that wait, for others or for an operator, take no time of their own. */
function overdueText(rollout: Rollout, location: OpenLocation, view: LocationView, now: number): string | null {
  const { deadline } = rollout.plan;
  if (deadline === null) return null;
  const limit = `${Math.round(deadline.afterMs / 1000)} s`;
  const overdue = bothCounts(view).reduce((sum, each) => sum + flagged(each, FLAG.overdue), 0);
  if (deadline.then === 'hold' && overdue > (location.forgiven?.overdue ?? 0))
    return `${overdue} children have been InProgress in a stage for more than ${limit}`;
  for (const stage of signalledStages(rollout)) {
    const entered = location.enteredAt?.[stage];
    if (entered === undefined || location.gates.includes(stage) || now - entered < deadline.afterMs) continue;
    const unmet = requirementsOf({ rollout, location, view, now }, stage).filter(({ holds }) => !holds);
    const metric = unmet.find(({ kind }) => kind === 'metrics');
    if (metric !== undefined && unmet.every(({ kind }) => kind === 'metrics' || kind === 'soak' || kind === 'approval'))
      return `stage "${rollout.stages[stage]?.name}" has waited for more than ${limit} for ${metric.text}`;
  }
  return null;
}
