/** Named plans. A preset is nothing but its long form: every number in it can be changed. */
import type { Budget, Plan, Rate, Waves } from './plan.ts';

export const NO_RATE: Rate = { perMinute: null, growth: null, atOnce: null, bytesPerSecond: null };

export const NO_FAILURES: Budget = { count: 0, share: 0, then: 'hold' };

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
  openGatesOnRevert: false,
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
  /** 1, 2, 4, … locations, the smallest first, with a pause between waves. */
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
