/** What keeps children back before they are enrolled, in words. */
import type { Counts } from '#domain/counts/counts.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';
import { bothCounts } from '#domain/scheduling/gates.ts';
import { isPaced, perMinute, roomFor, successesIn } from '#domain/scheduling/pace.ts';
import type { LocationView } from '#domain/scheduling/snapshot.ts';

/** Null: nothing does. `here`: in a location, which may be paced on its own. */
export function paceText({ plan, bundleBytes }: Rollout, totals: Counts, here: LocationView | null): string | null {
  if (!isPaced(plan)) return null;
  const { all, location: own } = plan.rate;
  const limits = [
    { rate: all, counts: [totals], where: '' },
    ...(here === null ? [] : [{ rate: own, counts: bothCounts(here), where: ' in a location' }]),
  ];
  const full = limits.find(({ rate, counts }) => roomFor(rate, counts, 0) === 0);
  if (full !== undefined) return `at most ${full.rate.atOnce} children at once${full.where}`;
  const slowest = limits
    .map(({ rate, counts, where }) => ({ limit: perMinute(rate, successesIn(counts), bundleBytes), where }))
    .filter(({ limit }) => limit !== null)
    .sort((a, b) => Number(a.limit) - Number(b.limit))[0];
  if (slowest === undefined) return null;
  return `at a rate of ${Number(Number(slowest.limit).toPrecision(3))} children a minute${slowest.where}`;
}
