/** Rollouts, and what a tick reads of them, for tables of decisions. */
import { PRESETS } from '#domain/plan/presets.ts';
import type { LocationView, Snapshot } from '#domain/scheduling/snapshot.ts';
import { addCounts } from '#domain/counts/counts.ts';
import { counts, type CountsTable } from './counts.ts';
import { decide } from '#domain/scheduling/decide.ts';
import { type Plan, type Rate } from '#domain/plan/plan.ts';
import {
  type OpenLocation,
  publishedRollout,
  type Rollout,
  type RolloutStage,
  startRollout,
} from '#domain/rollout/rollout.ts';

export const STAGES = [
  { name: 'Canary', type: 'WaitForSignal' },
  { name: 'Test', type: 'A/B' },
  { name: 'Gradual', type: 'WaitForSignal' },
] as const satisfies RolloutStage[];
export const NOW = 1_700_000_000_000;
export const SECOND = 1000;

export const NO_RATE: Rate = { perMinute: null, growth: null, atOnce: null, bytesPerSecond: null };

/** Two regions, one after another, each at its own pace, with no budget: what a table says, and nothing else, holds it. */
export const PLAN: Plan = {
  ...PRESETS['global-incremental'],
  name: 'custom',
  locations: { by: 'regions', regions: [], outside: 'own' },
  stages: 'own-pace',
  failure: { location: null, all: null },
};

type Changes = Partial<Omit<Plan, 'advance'>> & { advance?: Partial<Plan['advance']> };

export const planWith = ({ advance, ...changes }: Changes, base: Plan = PLAN): Plan => ({
  ...base,
  ...changes,
  advance: { ...base.advance, ...advance },
});

/** Started, the order of locations known, with nothing open. */
export function started(plan: Plan, stages: readonly RolloutStage[] = STAGES, bundleBytes = 0): Rollout {
  const published = publishedRollout({ release: '21', shortId: '1', stages, plan, bundleBytes });
  return { ...startRollout(published, plan, NOW, NOW - SECOND), effects: [] };
}

export const located = (id: string, n: number, more: Partial<OpenLocation> = {}): OpenLocation => ({
  id,
  n,
  members: 3,
  quota: null,
  children: 3,
  gates: [],
  ...more,
});

/** A rollout in its first wave. */
export const running = (plan: Plan, open: readonly OpenLocation[], stages?: readonly RolloutStage[]): Rollout => ({
  ...started(plan, stages),
  open,
  started: { locations: open.length, waves: 1 },
});

export const viewOf = (
  table: CountsTable,
  { late = {}, ...more }: Partial<Omit<LocationView, 'counts' | 'late'>> & { late?: CountsTable } = {},
): LocationView => ({ counts: counts(table), late: counts(late), left: 0, enrolled: null, failed: null, ...more });

/** What a tick reads; totals are what the locations add up to, unless they are given. */
export function snapshotOf(
  locations: Record<string, LocationView>,
  { totals, ...more }: Partial<Omit<Snapshot, 'totals'>> & { totals?: CountsTable } = {},
): Snapshot {
  const all = Object.values(locations).flatMap((view) => [view.counts, view.late]);
  return {
    totals: totals === undefined ? addCounts(all) : counts(totals),
    locations: new Map(Object.entries(locations)),
    next: [],
    ordered: true,
    order: null,
    failed: null,
    compensations: new Map(),
    takenBack: null,
    ...more,
  };
}

/** Ticks until nothing is left to decide. */
export function settled(rollout: Rollout, snapshot: Snapshot, now = NOW): Rollout {
  for (let state = rollout, i = 0; i < 20; i++) {
    const next = decide(state, snapshot, now);
    if (next === state) return state;
    state = next;
  }
  throw new Error('it never settles');
}
