/** Failure budgets: how many children may fail, be lost or overdue, in a location and in all. */
import { FLAG } from '#domain/child/flags.ts';
import { ReleaseStatus } from '#domain/child/status.ts';
import { type Counts, flagged, inRelease } from '#domain/counts/counts.ts';
import type { Budget, Rules } from '#domain/plan/plan.ts';
import { ROUNDING } from '#domain/tolerance.ts';
import { percent } from './gates.ts';

export type Used = { failed: number; lost: number; overdue: number; total: number };

/** The flags of children that count as failed while they have them. */
export const countedFlags = ({ deadline }: Pick<Rules, 'deadline'>): number =>
  deadline?.then === 'fail' ? FLAG.lost | FLAG.overdue : FLAG.lost;

/** What uses a budget up. A child that comes back gives it back; one that is both lost and overdue counts once. */
export function usedBudget(counts: readonly Counts[], rules: Pick<Rules, 'deadline'>): Used {
  const sum = (of: (each: Counts) => number): number => counts.reduce((all, each) => all + of(each), 0);
  const failed = sum((each) => inRelease(each, ReleaseStatus.Failed));
  const counted = countedFlags(rules);
  return {
    failed,
    lost: sum((each) => flagged(each, FLAG.lost)),
    overdue: sum((each) => flagged(each, FLAG.overdue)),
    total: failed + sum((each) => flagged(each, counted)),
  };
}

/** How many children of so many may fail: the greater of the two limits, as with a small location a share is less than one. */
export const allowedOf = ({ count, share }: Budget, children: number): number =>
  Math.max(count, Math.floor(share * children + ROUNDING));

export const isSpent = (budget: Budget, used: Used, forgiven: number, children: number): boolean =>
  used.total - forgiven > allowedOf(budget, children);

/** `3 of 40 children failed, 1 lost, budget 2 (5 %)`. */
export function breachText(budget: Budget, { failed, lost, overdue }: Used, children: number): string {
  const named: [number, string][] = [
    [failed, 'failed'],
    [lost, 'lost'],
    [overdue, 'overdue'],
  ];
  const [first = '', ...others] = named.flatMap(([n, what]) => (n > 0 ? [`${n} ${what}`] : []));
  const share = budget.share > 0 ? ` (${percent(budget.share)})` : '';
  const head = first.replace(' ', ` of ${children} children `);
  return [head, ...others, `budget ${allowedOf(budget, children)}${share}`].join(', ');
}
