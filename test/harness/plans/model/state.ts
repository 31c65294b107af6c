/** The state of a fleet, and what can be told from it. */
import type { Plan } from '#domain/plan/plan.ts';
import type { OpenLocation, Rollout, RolloutStage } from '#domain/rollout/rollout.ts';
import { type Child, type ChildScript, newChild } from './child.ts';

export type FleetOptions = {
  plan: Plan;
  stages: readonly RolloutStage[];
  /** How many locations there are, where they are regions or a grid. */
  homes: number;
  children: readonly ChildScript[];
};

/** What a plan makes of a fleet, by its own words alone. */
export type FleetKind = {
  isDirect: boolean;
  isPaced: boolean;
  byTurns: boolean;
  byCohorts: boolean;
  isOnItsOwn: boolean;
};

export type FleetState = FleetKind & {
  plan: Plan;
  stages: readonly RolloutStage[];
  homes: number;
  scripts: readonly ChildScript[];
  now: number;
  /** As children see it. */
  rollout: Rollout | null;
  children: Child[];
  isAssigned: boolean;
  /** The ids of locations in their order; where each child is one, of children. */
  order: string[];
  /** Locations that have been opened: all gates that ever were open in them. */
  gates: Map<string, Set<number>>;
  /** When the compensating release of a location ('': of all) was started. */
  compensated: Map<string, number>;
  /** Directly enrolled: noted as complete. */
  isEnrolmentComplete: boolean;
};

function kindOf(plan: Plan): FleetKind {
  const { by } = plan.locations;
  const { all, location } = plan.rate;
  const byTurns = by === 'child' && plan.waves.kind === 'fixed' && plan.waves.size === 1;
  const isPaced = [all, location].some((each) => each.perMinute ?? each.atOnce ?? each.bytesPerSecond);
  return {
    isPaced,
    isDirect: by === 'all' && !isPaced && plan.lateJoiners === 'none' && plan.order.by !== 'distance',
    byTurns,
    byCohorts: by === 'child' && !byTurns,
    isOnItsOwn:
      by === 'child' &&
      plan.stages === 'own-pace' &&
      plan.advance.soakMs === 0 &&
      plan.advance.metrics === null &&
      plan.advance.minChildren <= 1 &&
      plan.advance.approval.stages.length === 0,
  };
}

export function newState({ plan, stages, homes, children: scripts }: FleetOptions): FleetState {
  const kind = kindOf(plan);
  const state: FleetState = {
    ...kind,
    plan,
    stages,
    homes,
    scripts,
    now: 0,
    rollout: null,
    children: [],
    isAssigned: kind.isDirect,
    order: [],
    gates: new Map(),
    compensated: new Map(),
    isEnrolmentComplete: false,
  };
  scripts.forEach((script, i) => {
    if (script.joinsAt === 0) addChild(state, i);
  });
  return state;
}

export function addChild({ children, scripts, stages, now }: FleetState, i: number): Child {
  const child = newChild(`c${i}`, scripts[i] as ChildScript, stages.length, now);
  children.push(child);
  return child;
}

export const homeName = (home: number): string => `h${home}`;

export const isThere = ({ now }: FleetState, { script }: Child): boolean =>
  script.leavesAt === null || now < script.leavesAt * 1000;

export const openAt = ({ rollout }: FleetState, location: string | null): OpenLocation | undefined =>
  rollout?.open.find(({ id }) => id === location);

export const endsByGate = ({ stages }: FleetState, stage: number): boolean => stages[stage]?.type === 'WaitForSignal';

export const toComeAtAll = (state: FleetState): Child[] =>
  state.children.filter((child) => child.enrolledAt === null && !child.isOut && isThere(state, child));

/** Members who are still to be enrolled; where each child is a location, all whose turn is to come. */
export function toCome(state: FleetState, location: string): Child[] {
  const all = toComeAtAll(state);
  return state.byCohorts ? all : all.filter((child) => child.location === location);
}

export const membersOf = ({ children }: FleetState, location: string): Child[] =>
  children.filter((child) => child.enrolledAt !== null && child.location === location);

/** The gates of a location that was open before, one that may have completed by now. */
export function gatesIn(state: FleetState, after: Rollout, { id, n, gates: known }: OpenLocation): readonly number[] {
  const here = [...after.open, ...after.withdrawn].find((each) => each.id === id);
  if (here !== undefined) return here.gates;
  if (state.byTurns || state.isOnItsOwn) return known;
  const closed = after.neverOpened.find((each) => each.n === n)?.stages ?? [];
  return state.stages.flatMap((_, stage) => (endsByGate(state, stage) && !closed.includes(stage) ? [stage] : []));
}
