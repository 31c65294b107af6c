/** The state of one release on its way over the fleet: all that the scheduler decides from and writes back, as one. */
import type { Plan } from './plan.ts';
import type { StageType } from './strategy.ts';

export const ROLLOUT_STATES = [
  'published',
  'running',
  'paused',
  'halted',
  'aborted',
  'reverting',
  'reverted',
  'completed',
] as const;
export type RolloutStateName = (typeof ROLLOUT_STATES)[number];

/** Where each state may go. The tick and the operators' calls both go through this table. */
export const ROLLOUT_TRANSITIONS = {
  published: ['running', 'aborted'],
  running: ['paused', 'halted', 'aborted', 'completed', 'reverting'],
  paused: ['running', 'aborted', 'reverting'],
  halted: ['running', 'aborted', 'reverting'],
  aborted: ['reverting'],
  reverting: ['reverted'],
  reverted: [],
  completed: ['reverting'],
} as const satisfies Record<RolloutStateName, readonly RolloutStateName[]>;

export const canBecome = (from: RolloutStateName, to: RolloutStateName): boolean =>
  (ROLLOUT_TRANSITIONS[from] as readonly RolloutStateName[]).includes(to);

/** A location whose children have the release now. */
export type OpenLocation = {
  id: string;
  /** Children enrolled in it; null until every partition has marked it, and no gate opens before. */
  children: number | null;
  /** Indices of the stages whose gate is open here. */
  gates: readonly number[];
};

/** Work that a decision asks for. Each is idempotent and repeated until a tick sees that it's done. */
export type Effect =
  | { kind: 'enrol'; location: string }
  /** Puts the children who are fresh at the start in order of joining, for plans with a location per child. */
  | { kind: 'order' };

export type Rollout = {
  release: string;
  /** The release's short name: fields of it in children's hashes begin with it. Decimal digits. */
  tag: string;
  state: RolloutStateName;
  /** Why it was halted or aborted; names the child and the stage. */
  reason: string | null;
  /** Grows with every write: a writer whose version is stale drops out. */
  version: number;
  /** Grows whenever offers are made or withdrawn: a pending release counts only at the epoch it was given under. */
  epoch: number;
  plan: Plan;
  stages: readonly { name: string; type: StageType }[];
  /** Milliseconds of Redis' clock, or null. */
  startedAt: number | null;
  endedAt: number | null;
  /** Children are enrolled whose last sign of life is at or after this. */
  freshSince: number;
  open: readonly OpenLocation[];
  /** Locations that are through, and the children in them. */
  closed: { locations: number; children: number };
  effects: readonly Effect[];
};

export function publishedRollout(release: string, tag: string, stages: Rollout['stages'], plan: Plan): Rollout {
  return {
    release,
    tag,
    state: 'published',
    reason: null,
    version: 1,
    epoch: 0,
    plan,
    stages,
    startedAt: null,
    endedAt: null,
    freshSince: 0,
    open: [],
    closed: { locations: 0, children: 0 },
    effects: [],
  };
}

function gateOpen(rollout: Rollout, location: string, stage: number): boolean {
  return rollout.open.some((open) => open.id === location && open.gates.includes(stage));
}

/**
 * Whether a child may pass a stage's gate. A location leaves `open` once all its children have ended: for a child that
 * has ended with a later stage, the gates before that stage were open and stay so.
 */
export const gatePassed = (rollout: Rollout, location: string, stage: number, end: number): boolean =>
  gateOpen(rollout, location, stage) || stage < end;

/** A pending release counts only while its rollout runs at the epoch under which the child was enrolled. */
export const offers = (rollout: Rollout, epoch: number): boolean =>
  rollout.state === 'running' && rollout.epoch === epoch;

/** Nobody new will ever run it, and no tick has anything to decide. */
export const isFinished = (state: RolloutStateName): boolean =>
  state === 'aborted' || state === 'completed' || state === 'reverted';

/** Starting: the epoch grows, and everyone with a sign of life since `freshSince` may be enrolled. */
export function startRollout(rollout: Rollout, plan: Plan, now: number, freshSince: number): Rollout {
  return {
    ...rollout,
    state: 'running',
    plan,
    epoch: rollout.epoch + 1,
    startedAt: now,
    freshSince,
    effects: plan.locations === 'child' ? [{ kind: 'order' }] : [],
  };
}

/**
 * One write withdraws every offer: the epoch grows, so that pending releases and enrol jobs of the old one are void. Why
 * it was halted stays part of the reason: whoever looks later wants to know what went wrong, not only who stopped it.
 */
export function abortRollout(rollout: Rollout, now: number, given: string): Rollout {
  const halted = rollout.state === 'halted' && rollout.reason !== null;
  const reason = halted ? `${given} (it was halted: ${rollout.reason})` : given;
  return { ...rollout, state: 'aborted', reason, epoch: rollout.epoch + 1, endedAt: now, effects: [] };
}
