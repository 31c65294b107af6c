/** What the laws remember of a release so far, and what they count of its children. */
import { StageStatus } from '#domain/child/status.ts';
import type { OpenLocation, Rollout } from '#domain/rollout/rollout.ts';
import type { Child } from '../model/child.ts';
import type { Fleet } from '../model.ts';
import type { Scenario } from '../play.ts';

class Broken extends Error {}

export function must(condition: boolean, law: string): asserts condition {
  if (!condition) throw new Broken(law);
}

/** Between two decisions. */
export type Moment = { rollout: Rollout; fleet: Fleet; now: number };

export type LawState = Pick<Scenario, 'plan' | 'stages' | 'bundleBytes'> & {
  /** Indices of the stages that end by a gate. */
  signalled: readonly number[];
  /** Since when all that children bring about holds, by location and stage; seconds in which it didn't leave no trace. */
  metSince: Map<string, number>;
  isAnyOpen: boolean;
  /** When the last location of the last wave completed. */
  emptySince: number | null;
  /** The ids of locations that were opened or passed over, in that order. */
  hadTurn: string[];
  /** Locations of which it is known how many children they have: who comes later is late. */
  known: Set<string>;
  /** The numbers of locations that have been open. */
  numbers: Map<string, number>;
  enrolments: { at: number; location: string }[];
  /** The greatest rates so far, in children a minute. */
  fastest: { all: number; location: Map<string, number> };
};

export const newLawState = ({ plan, stages, bundleBytes }: Scenario): LawState => ({
  plan,
  stages,
  bundleBytes,
  signalled: stages.flatMap(({ type }, i) => (type === 'WaitForSignal' ? [i] : [])),
  metSince: new Map(),
  isAnyOpen: false,
  emptySince: null,
  hadTurn: [],
  known: new Set(),
  numbers: new Map(),
  enrolments: [],
  fastest: { all: 0, location: new Map() },
});

export const enrolledIn = ({ children }: Fleet): Child[] => children.filter(({ enrolledAt }) => enrolledAt !== null);

/** Without late joiners. */
export const membersIn = (fleet: Fleet, location: string): Child[] =>
  fleet.membersOf(location).filter(({ ejected, late }) => !ejected && !late);

export const lateIn = (fleet: Fleet, location: string): Child[] =>
  fleet.membersOf(location).filter(({ ejected, late }) => !ejected && late);

export const hasPassed = ({ statuses }: Child, stage: number): boolean =>
  statuses[stage] === StageStatus.SuccessWaiting || statuses[stage] === StageStatus.Completed;

export const hasFailed = ({ statuses }: Child, stage: number): boolean => (statuses[stage] ?? 0) >= StageStatus.Failure;

export function isFullyEnrolled({ plan, known }: LawState, fleet: Fleet, { id, members }: OpenLocation): boolean {
  const has = fleet.membersOf(id).length;
  if (known.has(id)) return true;
  const isNobodyToCome = fleet.toCome(id).length === 0;
  if (fleet.isDirect || fleet.byTurns) return has > 0 && isNobodyToCome;
  const isCapped = plan.rate.all.atOnce !== null || plan.rate.location.atOnce !== null;
  return isNobodyToCome || ((fleet.byCohorts || isCapped) && has >= (members ?? Infinity));
}
