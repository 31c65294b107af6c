/** When a plan brings a release to each location at the earliest: nobody fails, or waits, and an operator approves at once. */
import { type Plan, rulesOf } from '#domain/plan/plan.ts';
import { isByTurns } from '#domain/rollout/membership.ts';
import { seededRandom } from './chance.ts';
import { IDEAL } from './fates.ts';
import type { SimulatedStage } from './flow.ts';
import { simulatePlan } from './simulate.ts';
import type { LocationSize } from './turns.ts';

export type EarliestOptions = {
  plan: Plan;
  stages: readonly SimulatedStage[];
  /** In the order of the plan. Where each child is a location, or all are one: the groups that they come in. */
  locations: readonly LocationSize[];
  bundleBytes?: number;
  /** A bound on the work: what lies behind it has no time. */
  maxTicks?: number;
};

/** Times in milliseconds after the start; null: never, or behind the bound. */
export type EarliestLocation = {
  id: string;
  n: number;
  wave: number;
  children: number;
  opensAtMs: number;
  completesAtMs: number | null;
};

export type Earliest = {
  /** Those that are opened, in their order. Waves of children are one each; of single children the first fifty. */
  locations: EarliestLocation[];
  endsAtMs: number | null;
};

const MAX_TICKS = 100_000;
const UNTIL_MS = 10 * 365 * 24 * 3_600_000;
/** Single children one after another take the same time each: the first of them tell of all. */
const TURNS = 50;

export function earliestTimes({
  plan,
  stages,
  locations,
  bundleBytes = 0,
  maxTicks = MAX_TICKS,
}: EarliestOptions): Earliest {
  const all = locations.reduce((sum, { children }) => sum + children, 0);
  const some = isByTurns(rulesOf(plan)) ? firstOf(locations, TURNS) : locations;
  const { course, end } = simulatePlan({
    plan,
    stages,
    locations: some,
    behaviour: IDEAL,
    random: seededRandom(0),
    bundleBytes,
    approveAfterMs: 0,
    tickMs: 0,
    untilMs: UNTIL_MS,
    maxTicks,
  });
  const found = new Map<string, EarliestLocation>();
  for (const { atMs, wave, what } of course) {
    if (what.kind === 'wave')
      for (const { id, n, members } of what.locations)
        found.set(id, { id, n, wave, children: members ?? 1, opensAtMs: atMs, completesAtMs: null });
    const location = 'location' in what ? found.get(what.location ?? '') : undefined;
    if (location === undefined) continue;
    if (what.kind === 'enrolled') location.children = what.children;
    if (what.kind === 'completed') location.completesAtMs = atMs;
  }
  const times = [...found.values()];
  const endsAtMs = end.state === 'completed' ? end.atMs : null;
  return { locations: times, endsAtMs: some === locations ? endsAtMs : laterEnd(plan, times, endsAtMs, all) };
}

/** The end, where only the first of single children were tried. */
function laterEnd(plan: Plan, times: readonly EarliestLocation[], end: number | null, all: number): number | null {
  const [last, before] = [times.at(-1), times.at(-2)];
  if (end === null || last === undefined || before === undefined || all <= times.length) return end;
  // A rate that grows later would bring it nearer.
  if (plan.rate.all.growth !== null) return null;
  return end + (all - times.length) * (last.opensAtMs - before.opensAtMs);
}

function firstOf(locations: readonly LocationSize[], count: number): LocationSize[] {
  let left = count;
  return locations.flatMap(({ id, children }) => {
    const taken = Math.min(children, left);
    left -= taken;
    return taken > 0 ? [{ id, children: taken }] : [];
  });
}
