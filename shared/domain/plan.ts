/**
 * How a release spreads: one general plan, two axes. A preset is nothing but its long form, so `decide` reads numbers
 * and never a plan's name.
 */
export type Plan = {
  /** The preset's name, for people. */
  name: string;
  /** What a location is: one for all children, or each child its own. */
  locations: 'all' | 'child';
  /** How many locations are open at a time. */
  wave: number;
  /** In lockstep, a stage's gate opens in all open locations together; otherwise each location goes at its own pace. */
  lockstep: boolean;
  /** Share of a location's children that must be SuccessWaiting in a stage, or have Completed it, before it ends. */
  quorum: number;
  /** How many children may fail before the rollout is halted. */
  failureBudget: number;
};

const GLOBAL_INCREMENTAL: Plan = {
  name: 'global-incremental',
  locations: 'all',
  wave: 1,
  lockstep: true,
  quorum: 1,
  failureBudget: 0,
};

const LOCATION_SEQUENTIAL: Plan = {
  ...GLOBAL_INCREMENTAL,
  name: 'location-sequential',
  locations: 'child',
  lockstep: false,
};

export const PRESET_NAMES = ['global-incremental', 'location-sequential'] as const;
export type PresetName = (typeof PRESET_NAMES)[number];

export const PRESETS = {
  'global-incremental': GLOBAL_INCREMENTAL,
  'location-sequential': LOCATION_SEQUENTIAL,
} as const satisfies Record<PresetName, Plan>;

export const DEFAULT_PLAN: PresetName = 'global-incremental';

/** The one location of a plan that has no others. */
export const ALL = 'all';
