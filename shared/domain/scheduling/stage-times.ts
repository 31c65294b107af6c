/** Since when stages are entered, and since when their conditions hold: kept only where the plan asks for it. */
import { type OpenLocation, type Rollout, signalledStages } from '#domain/rollout/rollout.ts';
import { hasEntered, isMet, requirementsOf } from './gates.ts';
import type { LocationView, Step } from './snapshot.ts';

export const noteStageTimes: Step = (rollout, { locations }, now) => {
  const { advance, deadline } = rollout.plan;
  if (advance.soakMs === 0 && deadline === null) return rollout;
  const open = rollout.open.map((location) => {
    const view = locations.get(location.id);
    if (view === undefined || location.children === null || location.held !== undefined) return location;
    return noted(rollout, location, view, now);
  });
  return open.some((location, i) => location !== rollout.open[i]) ? { ...rollout, open } : rollout;
};

function noted(rollout: Rollout, location: OpenLocation, view: LocationView, now: number): OpenLocation {
  const { advance, deadline } = rollout.plan;
  const enteredAt: Record<number, number> = { ...location.enteredAt };
  const metSince: Record<number, number> = { ...location.metSince };
  let changed = false;
  for (const stage of signalledStages(rollout)) {
    if (location.gates.includes(stage)) continue;
    if (deadline !== null && enteredAt[stage] === undefined && hasEntered(view, stage)) {
      enteredAt[stage] = now;
      changed = true;
    }
    if (advance.soakMs === 0) continue;
    const isNow = isMet(requirementsOf({ rollout, location, view, now }, stage));
    if (isNow === (metSince[stage] !== undefined)) continue;
    changed = true;
    if (isNow) metSince[stage] = now;
    else delete metSince[stage];
  }
  return changed ? { ...location, enteredAt, metSince } : location;
}
