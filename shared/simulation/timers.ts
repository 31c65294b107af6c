/** When the passing of time alone changes what is decided: soaks and deadlines that end, and rates that give a child out. */
import { isPaced, nextAt, perMinute, roomFor, successesIn } from '#domain/scheduling/pace.ts';
import type { Snapshot } from '#domain/scheduling/snapshot.ts';
import type { Rate } from '#domain/plan/plan.ts';
import { type OpenLocation, type Pace, type Rollout, signalledStages } from '#domain/rollout/rollout.ts';

/** A rate is given out in portions: it saves up for longer than that. */
const PORTION_MS = 2_000;

/** The first such time after `now`; Infinity where only children change anything. */
export function nextTimer(rollout: Rollout, snapshot: Snapshot, now: number): number {
  if (rollout.state !== 'running') return Infinity;
  let first = Infinity;
  const at = (time: number): void => {
    if (time > now && time < first) first = time;
  };
  const { plan, open, waveEndedAt } = rollout;
  if (open.length === 0 && waveEndedAt !== null) at(waveEndedAt + plan.waveSoakMs);
  if (plan.advance.soakMs > 0 || plan.deadline !== null) {
    const signalled = signalledStages(rollout);
    for (const location of open) stageTimes(rollout, location, signalled, at);
  }
  if (isPaced(plan)) at(nextGrant(rollout, snapshot, now));
  return first;
}

function stageTimes({ plan }: Rollout, location: OpenLocation, signalled: number[], at: (time: number) => void): void {
  for (const stage of signalled) {
    if (location.gates.includes(stage)) continue;
    const met = location.metSince?.[stage];
    const since = location.enteredAt?.[stage];
    if (met !== undefined) at(met + plan.advance.soakMs);
    if (since !== undefined && plan.deadline !== null) at(since + plan.deadline.afterMs);
  }
}

/** When rates let more children in, if any are wanted and there is room for them. */
function nextGrant(rollout: Rollout, { totals, locations, next }: Snapshot, now: number): number {
  const { all, location: own } = rollout.plan.rate;
  if (roomFor(all, [totals], 0) === 0) return Infinity;
  const ready = (rate: Rate, pace: Pace | null, successes: number): number => {
    const limit = perMinute(rate, successes, rollout.bundleBytes);
    return limit === null ? 0 : nextAt(pace, limit);
  };
  const inAll = ready(all, rollout.pace, successesIn([totals]));
  if (rollout.open.length === 0) return next.length === 0 ? Infinity : Math.max(inAll, now + 1);
  let first = Infinity;
  for (const { id, held, pace } of rollout.open) {
    const view = locations.get(id);
    if (view === undefined || held !== undefined || view.left === 0 || view.left === null) continue;
    const both = [view.counts, view.late];
    if (roomFor(own, both, 0) > 0) first = Math.min(first, ready(own, pace ?? null, successesIn(both)));
  }
  return first === Infinity ? Infinity : Math.max(inAll, first, now + PORTION_MS);
}
