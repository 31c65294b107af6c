/** Failure budgets: how many children may fail, be lost or overdue, in a location and in all. */
import { type Counts, inRelease, marked } from './counts.ts';
import { MARK } from './marks.ts';
import type { LocationCounts } from './gates.ts';
import { percent } from './gates.ts';
import type { Budget, Rules } from './plan.ts';
import { ReleaseStatus } from './status.ts';

export type Used = { failed: number; lost: number; overdue: number; total: number };

/** The marks of children who count as failed while they bear them. */
export const countedMarks = ({ deadline }: Pick<Rules, 'deadline'>): number =>
  deadline?.then === 'fail' ? MARK.lost | MARK.overdue : MARK.lost;

/** What uses a budget up. A child that comes back gives it back; one that is both lost and overdue counts once. */
export function usedBudget(counts: readonly Counts[], rules: Pick<Rules, 'deadline'>): Used {
  const sum = (of: (each: Counts) => number): number => counts.reduce((all, each) => all + of(each), 0);
  const failed = sum((each) => inRelease(each, ReleaseStatus.Failed));
  const counted = countedMarks(rules);
  return {
    failed,
    lost: sum((each) => marked(each, MARK.lost)),
    overdue: sum((each) => marked(each, MARK.overdue)),
    total: failed + sum((each) => marked(each, counted)),
  };
}

/** How many children of so many may fail: the greater of the two limits, as with a small location a share is less than one. */
export const allowedOf = ({ count, share }: Budget, children: number): number =>
  Math.max(count, Math.floor(share * children + 1e-9));

export const isSpent = (budget: Budget, used: Used, forgiven: number, children: number): boolean =>
  used.total - forgiven > allowedOf(budget, children);

export const bothCounts = ({ counts, late }: LocationCounts): Counts[] => [counts, late];

/** `3 failed, 1 lost: more than 2 of 40 (5 %)`. */
export function breachText(budget: Budget, used: Used, children: number): string {
  const parts = [
    ...(used.failed > 0 ? [`${used.failed} failed`] : []),
    ...(used.lost > 0 ? [`${used.lost} lost`] : []),
    ...(used.overdue > 0 ? [`${used.overdue} overdue`] : []),
  ];
  const share = budget.share > 0 ? ` (${percent(budget.share)})` : '';
  return `${parts.join(', ')}: more than ${allowedOf(budget, children)} of ${children} children${share}`;
}
