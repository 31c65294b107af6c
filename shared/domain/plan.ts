/**
 * How a release spreads over the fleet: one general plan, as data. Two axes, the order of locations and the order of
 * stages, and the conditions under which it goes on. A preset is nothing but its long form, so `decide` reads numbers and
 * never a plan's name. Shares are from 0 to 1, times in milliseconds; null is "no limit" or "never".
 */
import type { Position } from './area.ts';

export type Polygonal =
  | { type: 'Polygon'; coordinates: Position[][] }
  | { type: 'MultiPolygon'; coordinates: Position[][][] };

/** Who gets the release. `done`: those of a location (null: of all) who are Done with another release, to take it back. */
export type Target =
  | { kind: 'everyone' }
  | { kind: 'intersects' | 'within'; area: Polygonal }
  | { kind: 'children'; ids: readonly string[] }
  /** Stable: the same children for the same seed, and a greater share holds those of a smaller one. */
  | { kind: 'share'; share: number; seed: string }
  | { kind: 'done'; release: string; location: string | null };

export type Region = { name: string; area: Polygonal };

/** What a location is. `outside`: what becomes of children outside every region. */
export type Locations =
  | { by: 'all' }
  | { by: 'child' }
  | { by: 'regions'; regions: readonly Region[]; outside: 'refuse' | 'own' }
  /** Squares of this many kilometres; a child belongs to the one that holds its middle. */
  | { by: 'grid'; cellKm: number };

export type Order =
  | { by: 'joining' | 'size' | 'listed' }
  | { by: 'distance'; from: readonly [longitude: number, latitude: number] }
  | { by: 'shuffled'; seed: string };

/** How many locations start together: always so many, 1 2 4 8 …, or until this share of all has started. */
export type Waves =
  | { kind: 'fixed'; size: number }
  | { kind: 'doubling' }
  | { kind: 'shares'; shares: readonly number[] };

export type Advance = {
  /** Share of a location's children that must be SuccessWaiting in a stage, or have Completed it, before it ends. */
  quorum: number;
  /** And at least so many of them. */
  minChildren: number;
  /** For how long the conditions must have held. */
  soakMs: number;
  /** The release's metrics_conditions against what the location's children measured; `share`: of children that meet them. */
  metrics: null | { judge: 'worst' | 'median' } | { judge: 'share'; share: number };
  /** Stages (by name, or all) and waves that an operator must approve. */
  approval: { stages: 'all' | readonly string[]; waves: boolean };
};

export const BREACH_ACTIONS = ['hold', 'abort', 'revert'] as const;
export type BreachAction = (typeof BREACH_ACTIONS)[number];

/** Spent when more children than both have failed, are lost or overdue. `share`: of the children enrolled so far (in a location: of its members). */
export type Budget = { count: number; share: number; then: BreachAction };

/** How fast children are enrolled; null: at once. */
export type Rate = {
  perMinute: number | null;
  /** The rate is multiplied by `factor` with each `every` children that pass the first stage, up to `upTo` a minute. */
  growth: null | { factor: number; every: number; upTo: number };
  /** Children that have the release and haven't ended it: never more at a time. */
  atOnce: number | null;
  /** Of bundles: each child enrolled downloads one. */
  bytesPerSecond: number | null;
};

/** All of a plan that `decide` needs: small, as it travels with every change of the rollout. */
export type Rules = {
  /** The preset that it was made from, for people; `custom` where there was none. */
  name: string;
  by: Locations['by'];
  /** Nobody is left out and nothing paces: children are enrolled straight from the fleet, without being put in order. */
  direct: boolean;
  waves: Waves;
  /** Between the end of a wave and the start of the next. */
  waveSoakMs: number;
  /** In lockstep, a stage ends in all open locations together; otherwise each location goes at its own pace. */
  stages: 'lockstep' | 'own-pace';
  advance: Advance;
  /** A location's own budget stops that location; the one over all of them stops the release. */
  failure: { location: Budget | null; all: Budget | null };
  lostAfterMs: number | null;
  /** For children who are InProgress in a stage for so long: they count as failed, or hold the release. */
  deadline: null | { afterMs: number; then: 'fail' | 'hold' };
  lateJoiners: 'none' | 'join';
  rate: { all: Rate; location: Rate };
  /** The greatest comes first where a child is offered several releases. */
  priority: number;
  conflicts: 'refuse' | 'allow';
  /** When it is taken back, children held in a stage are let through, so that they can be reached. */
  releaseHeld: boolean;
  /** A compensating release: each child's stage ends at its first ask, and it goes on until every child has it. */
  compensates: string | null;
};

export type Plan = Omit<Rules, 'by' | 'direct'> & { target: Target; locations: Locations; order: Order };

export function rulesOf({ target, locations, order, ...rules }: Plan): Rules {
  const { all, location } = rules.rate;
  const paced = [all, location].some((rate) => Object.values(rate).some((limit) => limit !== null));
  const direct = locations.by === 'all' && target.kind === 'everyone' && !paced && rules.lateJoiners === 'none';
  return { ...rules, by: locations.by, direct: direct && order.by !== 'distance' };
}

const NO_RATE: Rate = { perMinute: null, growth: null, atOnce: null, bytesPerSecond: null };

const NO_FAILURES: Budget = { count: 0, share: 0, then: 'hold' };

const GLOBAL_INCREMENTAL: Plan = {
  name: 'global-incremental',
  target: { kind: 'everyone' },
  locations: { by: 'all' },
  order: { by: 'joining' },
  waves: { kind: 'fixed', size: 1 },
  waveSoakMs: 0,
  stages: 'lockstep',
  advance: { quorum: 1, minChildren: 1, soakMs: 0, metrics: null, approval: { stages: [], waves: false } },
  failure: { location: null, all: NO_FAILURES },
  lostAfterMs: null,
  deadline: null,
  lateJoiners: 'none',
  rate: { all: NO_RATE, location: NO_RATE },
  priority: 0,
  conflicts: 'refuse',
  releaseHeld: false,
  compensates: null,
};

const CELL_KM = 100;
const ALL_TOGETHER: Waves = { kind: 'shares', shares: [1] };
const WAVE_SOAK_MS = 10 * 60_000;

export const PRESET_NAMES = [
  'global-incremental',
  'location-sequential',
  'all-at-once',
  'location-parallel',
  'waves',
] as const;
export type PresetName = (typeof PRESET_NAMES)[number];

export const PRESETS = {
  /** All children together, stage by stage. */
  'global-incremental': GLOBAL_INCREMENTAL,
  /** One child after the other, in order of joining, each through all its stages. */
  'location-sequential': {
    ...GLOBAL_INCREMENTAL,
    name: 'location-sequential',
    locations: { by: 'child' },
    stages: 'own-pace',
  },
  /** Everyone at once, and nobody waits for another. */
  'all-at-once': {
    ...GLOBAL_INCREMENTAL,
    name: 'all-at-once',
    locations: { by: 'child' },
    waves: ALL_TOGETHER,
    stages: 'own-pace',
  },
  /** All locations at once, each at its own pace. */
  'location-parallel': {
    ...GLOBAL_INCREMENTAL,
    name: 'location-parallel',
    locations: { by: 'grid', cellKm: CELL_KM },
    waves: ALL_TOGETHER,
    stages: 'own-pace',
    failure: { location: NO_FAILURES, all: null },
  },
  /** 1, 2, 4, … locations, the smallest first, with time to look between waves. */
  waves: {
    ...GLOBAL_INCREMENTAL,
    name: 'waves',
    locations: { by: 'grid', cellKm: CELL_KM },
    order: { by: 'size' },
    waves: { kind: 'doubling' },
    waveSoakMs: WAVE_SOAK_MS,
    stages: 'own-pace',
    failure: { location: NO_FAILURES, all: null },
  },
} as const satisfies Record<PresetName, Plan>;

export const DEFAULT_PLAN: PresetName = 'global-incremental';

/** The one location of a plan that has no others. */
export const ALL = 'all';

/** How many locations the next wave takes, when so many of all have started in so many waves. */
export function waveSize(waves: Waves, started: { locations: number; waves: number }, all: number): number {
  if (waves.kind === 'fixed') return waves.size;
  if (waves.kind === 'doubling') return 2 ** Math.min(started.waves, 52);
  const share = waves.shares[started.waves] ?? 1;
  return Math.max(1, Math.ceil(share * all - 1e-9) - started.locations);
}
