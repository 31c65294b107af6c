/**
 * How a release spreads over the fleet: one general plan, as data. Two axes, the order of locations and the order of
 * stages, and the conditions under which it goes on. A preset is nothing but its long form, so `decide` reads numbers and
 * never a plan's name. Shares are from 0 to 1, times in milliseconds; null is "no limit" or "never".
 */
import { ROUNDING } from '#domain/tolerance.ts';
import type { Position } from '#domain/child/area.ts';

export type Polygonal =
  | { type: 'Polygon'; coordinates: Position[][] }
  | { type: 'MultiPolygon'; coordinates: Position[][][] };

/** Who gets the release. `done`: children of a location (null: of all) that are Done with another release, to take it back. */
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
  /** For children that are InProgress in a stage for so long: they count as failed, or their location is held. */
  deadline: null | { afterMs: number; then: 'fail' | 'hold' };
  lateJoiners: 'none' | 'join';
  rate: { all: Rate; location: Rate };
  /** The greatest comes first where a child is offered several releases. */
  priority: number;
  conflicts: 'refuse' | 'allow';
  /** A revert opens every gate: children that wait at one pass it, so that they can be reached. */
  openGatesOnRevert: boolean;
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

/** The one location of a plan that has no others. */
export const ALL = 'all';

/** Beyond it a number is no longer whole. */
const MAX_DOUBLINGS = 52;

/** How many locations the next wave takes, when so many of all have started in so many waves. */
export function waveSize(waves: Waves, started: { locations: number; waves: number }, all: number): number {
  if (waves.kind === 'fixed') return waves.size;
  if (waves.kind === 'doubling') return 2 ** Math.min(started.waves, MAX_DOUBLINGS);
  const share = waves.shares[started.waves] ?? 1;
  return Math.max(1, Math.ceil(share * all - ROUNDING) - started.locations);
}
