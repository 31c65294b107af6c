/** What doesn't go together in a plan of the right shape: every fault at once, its path as users write plans. */
import { ROUNDING } from '#domain/tolerance.ts';
import { durationText } from '#domain/duration.ts';
import type { Budget, Locations, Plan, Rate, Waves } from './plan.ts';
import type { Finding, Strategy } from '#domain/strategy/strategy.ts';
import type { StrategyFault } from '#domain/strategy/check.ts';

/** `from`: the other values that it is drawn from. */
export type PlanFault = Finding & { from: readonly string[] };

type Say = (path: string, message: string, ...from: string[]) => void;

const MAX_PRIORITY = 1000;
/** A child's last heartbeat is known to SEEN_PRECISION; one more passes until it is applied, one for its own pauses. */
const PRECISIONS_TO_BE_LOST = 3;
const AGGREGATED = 'only medians and error rates are aggregated';

/** A share as users write it, without the noise of a multiplication. */
export const percentOf = (share: number): number => Number((share * 100).toPrecision(15));

export function planFaults(plan: Plan): PlanFault[] {
  const faults: PlanFault[] = [];
  const fault: Say = (path, message, ...from) => void faults.push({ path, message, from });
  checkTarget(plan, fault);
  checkRegions(plan.locations, fault);
  checkOrder(plan, fault);
  checkWaves(plan.waves, fault);
  checkAdvance(plan, fault);
  checkFailure(plan, fault);
  checkTimes(plan, fault);
  checkRate('rate', plan.rate.all, fault);
  checkRate('rate.per_location', plan.rate.location, fault);
  if (!(Number.isInteger(plan.priority) && Math.abs(plan.priority) <= MAX_PRIORITY))
    fault('priority', `is a whole number from -${MAX_PRIORITY} to ${MAX_PRIORITY}`);
  return faults;
}

function checkTarget({ target }: Plan, fault: Say): void {
  if (target.kind === 'share' && !(target.share > 0 && target.share <= 1))
    fault('target.percent', 'is above 0 and at most 100: otherwise nobody gets the release');
  if (target.kind !== 'children') return;
  if (target.ids.length === 0) fault('target.children', 'names nobody');
  for (const i of duplicates(target.ids)) fault(`target.children[${i}]`, `"${target.ids[i]}" stands there twice`);
}

/** Geography, the names of regions too, is checked elsewhere. */
function checkRegions(locations: Locations, fault: Say): void {
  if (locations.by === 'regions' && locations.regions.length === 0)
    fault('locations.regions.features', 'holds no region');
}

function checkOrder({ order, locations, target }: Plan, fault: Say): void {
  if (order.by === 'listed' && locations.by !== 'regions' && target.kind !== 'children')
    fault('order', '"listed" needs a list: regions in locations, or children in target', 'locations', 'target');
}

function checkWaves(waves: Waves, fault: Say): void {
  if (waves.kind === 'fixed' && !(Number.isInteger(waves.size) && waves.size >= 1))
    fault('waves', 'is a whole number of locations, at least 1');
  if (waves.kind !== 'shares') return;
  waves.shares.forEach((share, i) => {
    if (!(share > (waves.shares[i - 1] ?? 0) && share <= 1))
      fault(`waves.percent[${i}]`, 'is above 0, above the one before it, and at most 100');
  });
  if (waves.shares.at(-1) !== 1) fault('waves.percent', 'ends with 100: otherwise some never get the release');
}

function checkAdvance(plan: Plan, fault: Say): void {
  const { quorum, minChildren, soakMs } = plan.advance;
  if (!(quorum > 0 && quorum <= 1)) fault('advance.quorum', 'is above 0 and at most 100');
  else checkQuorum(plan, fault);
  if (!(Number.isInteger(minChildren) && minChildren >= 1))
    fault('advance.min_children', 'is a whole number, at least 1');
  if (!(soakMs >= 0)) fault('advance.soak', 'is no time to wait');
  checkOwnPace(plan, fault);
}

/** Children that failed stay in the count: what a budget lets pass, the quorum has to let pass too. */
function checkQuorum({ advance: { quorum }, failure, locations, stages }: Plan, fault: Say): void {
  // A child that waits for no other needs only its own success; others may fail.
  if (locations.by === 'child' && stages === 'own-pace') return;
  const path = failure.location === null ? 'failure.all' : 'failure.location';
  const budget = failure.location ?? failure.all;
  if (budget === null) return;
  const most = 1 - budget.share;
  const spends = budget.count > 0 || budget.share > 0;
  if (!(quorum > most + ROUNDING) && !(quorum === 1 && spends)) return;
  const written = `${percentOf(quorum)} can't be reached once the budget of ${path} is used`;
  const hint = most > ROUNDING && most < 1 ? `at most ${percentOf(most)}` : 'failed children stay in the count';
  fault('advance.quorum', `${written}: ${hint}`, 'failure.location', 'failure.all', 'locations', 'stages');
}

/** A location of one child that waits for no other: what is asked of many children can't be asked there. */
function checkOwnPace({ locations, stages, waves, advance }: Plan, fault: Say): void {
  if (locations.by !== 'child') return;
  const byTurns = waves.kind === 'fixed' && waves.size === 1;
  if (stages === 'lockstep' && !byTurns) return;
  const say = (path: string, what: string): void =>
    fault(
      path,
      `each child is a location of its own and goes at its own pace: there is nothing to ${what}`,
      'locations',
      'stages',
      'waves',
    );
  if (advance.minChildren > 1) say('advance.min_children', 'count');
  if (byTurns) return;
  if (advance.soakMs > 0) say('advance.soak', 'soak together');
  if (advance.metrics !== null) say('advance.metrics', 'aggregate');
  if (advance.approval.stages.length > 0) say('advance.approval.stages', 'approve for all of them');
}

function checkFailure({ failure, locations }: Plan, fault: Say): void {
  checkBudget('failure.location', failure.location, fault);
  checkBudget('failure.all', failure.all, fault);
  if (failure.location === null && failure.all === null)
    fault('failure', 'sets no limit: give all, or location, a budget', 'failure.location', 'failure.all');
  if (failure.location === null) return;
  if (locations.by === 'all') fault('failure.location', 'there is one location: use failure.all', 'locations');
  if (locations.by === 'child') fault('failure.location', 'each child is a location: use failure.all', 'locations');
}

function checkBudget(path: string, budget: Budget | null, fault: Say): void {
  if (budget === null) return;
  if (!(Number.isInteger(budget.count) && budget.count >= 0))
    fault(`${path}.count`, 'is a whole number of children, at least 0');
  if (!(budget.share >= 0 && budget.share <= 1)) fault(`${path}.share`, 'is a share from 0 to 100');
}

function checkTimes({ waveSoakMs, lostAfterMs, deadline }: Plan, fault: Say): void {
  if (!(waveSoakMs >= 0)) fault('wave_soak', 'is no time to wait');
  if (lostAfterMs !== null && !(lostAfterMs > 0)) fault('lost_after', 'is above 0: otherwise everyone is lost at once');
  if (deadline !== null && !(deadline.afterMs > 0))
    fault('stage_deadline.after', 'is above 0: otherwise everyone is overdue at once');
}

function checkRate(path: string, { perMinute, growth, atOnce, bytesPerSecond }: Rate, fault: Say): void {
  const limits = [
    ['per_minute', perMinute],
    ['at_once', atOnce],
    ['bytes_per_second', bytesPerSecond],
  ] as const;
  for (const [key, limit] of limits)
    if (limit !== null && !(limit > 0)) fault(`${path}.${key}`, 'is above 0: otherwise nobody gets the release');
  if (atOnce !== null && !Number.isInteger(atOnce)) fault(`${path}.at_once`, 'is a whole number of children');
  if (growth === null) return;
  const at = `${path}.growth`;
  if (!(growth.factor > 1)) fault(`${at}.factor`, 'is above 1: otherwise nothing grows');
  if (!(Number.isInteger(growth.every) && growth.every >= 1))
    fault(`${at}.every`, 'is a whole number of children, at least 1');
  if (perMinute === null) fault(at, `needs ${path}.per_minute to grow from`, `${path}.per_minute`);
  else if (!(growth.upTo >= perMinute))
    fault(`${at}.up_to`, `is below per_minute, ${perMinute}: it grows from there`, `${path}.per_minute`);
}

/** What a plan asks of a release's stages that they can't give; paths are those in the plan. */
export function planStageFaults({ advance }: Plan, { stages }: Pick<Strategy, 'stages'>): StrategyFault[] {
  const named = advance.approval.stages === 'all' ? [] : advance.approval.stages;
  const approvals = named.flatMap((name, i): StrategyFault[] => {
    const path = `advance.approval.stages[${i}]`;
    const stage = stages.find((each) => each.name === name);
    if (stage === undefined)
      return [{ path, message: `"${name}" is none of the stages`, from: { list: 'stages', field: 'name' } }];
    if (stage.type === 'WaitForSignal') return [];
    const message = `"${name}" is no WaitForSignal stage: children end it themselves, and an approval changes nothing`;
    return [{ path, message, from: { list: 'stages', field: 'type' } }];
  });
  if (advance.metrics === null) return approvals;
  const unmeasured = stages.flatMap(({ name, type, metrics_conditions }) =>
    metrics_conditions.flatMap(({ name: metric, compareWith }): StrategyFault[] =>
      type === 'WaitForSignal' && metric === 'responseTime' && /^(Minimum|Maximum)$/.test(compareWith ?? '')
        ? [{ path: 'advance.metrics', message: `"${name}" compares responseTime with ${compareWith}: ${AGGREGATED}` }]
        : [],
    ),
  );
  return [...approvals, ...unmeasured];
}

/** Silence shorter than what a last-seen time is exact to says nothing. */
export function lostAfterFault({ lostAfterMs }: Plan, seenPrecisionMs: number): Finding[] {
  const least = PRECISIONS_TO_BE_LOST * seenPrecisionMs;
  if (lostAfterMs === null || lostAfterMs >= least) return [];
  const message = `is at least ${durationText(least)}: ${PRECISIONS_TO_BE_LOST} times SEEN_PRECISION`;
  return [{ path: 'lost_after', message }];
}

/** Indices of the values that stood earlier in the list already. */
function duplicates(values: readonly string[]): number[] {
  const seen = new Set<string>();
  return values.flatMap((value, i) => {
    if (!seen.has(value)) {
      seen.add(value);
      return [];
    }
    return [i];
  });
}
