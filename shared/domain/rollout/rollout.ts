/** The state of one release on its way over the fleet: all that the scheduler decides from and writes back, as one. */
import { type Plan, type Rules, rulesOf } from '#domain/plan/plan.ts';
import type { StageType } from '#domain/strategy/strategy.ts';

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
  reverted: ['reverting'],
  completed: ['reverting'],
} as const satisfies Record<RolloutStateName, readonly RolloutStateName[]>;

export const canBecome = (from: RolloutStateName, to: RolloutStateName): boolean =>
  (ROLLOUT_TRANSITIONS[from] as readonly RolloutStateName[]).includes(to);

/** A condition of a stage that the fleet's counts can be held against: the new version's median or error rate. */
export type Condition = { metric: 'f2' | 'e2'; operator: '<' | '<=' | '>' | '>=' | '='; limit: number };

export type RolloutStage = { name: string; type: StageType; conditions?: readonly Condition[] };

/** Milliseconds of Redis' clock by the index of a stage. */
type TimeByStage = Readonly<Record<number, number>>;

/** A location by its id and its number in the order of locations, from 1. Number 0: the location is the child of that id. */
export type LocationRef = { id: string; n: number };

/** A location whose children have the release now. */
export type OpenLocation = LocationRef & {
  /** Children that belong to it, as known at its opening; null: enrolment will tell. */
  members: number | null;
  /** How many may be enrolled by now; null: all. Late joiners are among them. */
  quota: number | null;
  /** Children enrolled in it; null until its enrolment is complete in every partition, and no gate opens before. Late joiners don't count. */
  children: number | null;
  /** Indices of the stages whose gate is open here. */
  gates: readonly number[];
  /** When the first child was in the stage. */
  enteredAt?: TimeByStage;
  /** Since when the stage's conditions hold. */
  metSince?: TimeByStage;
  /** Stages that an operator has approved here. */
  approved?: readonly number[];
  /** Why nothing goes on here, or absent. */
  held?: string;
  /** Failures that an operator has looked past. */
  forgiven?: { used: number; overdue: number };
  pace?: Pace;
};

/** Of a rate: what is left of it (children, with fractions) at a time (ms). */
export type Pace = { at: number; credit: number };

/** A location that was left out, or is taken back. Its children stay where they are; nobody more is offered the release. */
export type WithdrawnLocation = LocationRef & {
  as: 'skipped' | 'aborted' | 'reverting' | 'reverted';
  reason: string;
  children: number;
  gates: readonly number[];
};

/** Work that a decision asks for. Each is idempotent and repeated until a tick sees that it's done. */
export type Effect =
  /** Finds out which child belongs to which location, and puts the locations in order. */
  | { kind: 'assign' }
  /** `upTo`: how many of its children may be enrolled, late ones too; null: all. */
  | { kind: 'enrol'; location: string; upTo: number | null }
  /** Publishes and starts the compensating release of a location, or (null) of all. */
  | { kind: 'compensate'; location: string | null };

export type Rollout = {
  release: string;
  /** The release's short id: fields of it in children's hashes begin with it. Decimal digits. */
  shortId: string;
  state: RolloutStateName;
  /** Why it was halted or aborted; names the child and the stage. */
  reason: string | null;
  /** Grows with every write: a writer whose version is stale drops out. */
  version: number;
  /** Grows whenever offers are made or withdrawn: a pending release counts only at the epoch it was given under. */
  epoch: number;
  plan: Rules;
  stages: readonly RolloutStage[];
  /** Of the functions, as each child downloads them. */
  bundleBytes: number;
  /** Milliseconds of Redis' clock, or null. */
  startedAt: number | null;
  endedAt: number | null;
  /** Children are enrolled whose last heartbeat is at or after this. */
  freshSince: number;
  open: readonly OpenLocation[];
  /** Locations that have completed, and the children in them. */
  completed: { locations: number; children: number };
  /** Locations that completed without ever opening the gates of these stages: nobody needed them, and they stay closed. */
  neverOpened: readonly { n: number; stages: readonly number[] }[];
  withdrawn: readonly WithdrawnLocation[];
  /** Locations (children, where each is its own) that are to be passed over at their turn. */
  skip: readonly string[];
  /** What there is to go through, once it's known. `outside`: children in no region. */
  order: { locations: number; children: number; outside: number } | null;
  /** Locations (children, where waves are of children) and waves that have had their turn. */
  started: { locations: number; waves: number };
  /** When the last location of the last wave completed (ms), or null. */
  waveEndedAt: number | null;
  /** Waves that an operator has approved. */
  approvedWaves: number;
  /** Failures that an operator has looked past. */
  forgiven: number;
  pace: Pace | null;
  effects: readonly Effect[];
};

type Published = Pick<Rollout, 'release' | 'shortId' | 'stages'> & { plan: Plan; bundleBytes?: number };

export function publishedRollout({ release, shortId, stages, plan, bundleBytes = 0 }: Published): Rollout {
  return {
    release,
    shortId,
    state: 'published',
    reason: null,
    version: 1,
    epoch: 0,
    plan: rulesOf(plan),
    stages,
    bundleBytes,
    startedAt: null,
    endedAt: null,
    freshSince: 0,
    ...NOTHING_DONE,
  };
}

const NOTHING_DONE = {
  open: [],
  completed: { locations: 0, children: 0 },
  neverOpened: [],
  withdrawn: [],
  skip: [],
  order: null,
  started: { locations: 0, waves: 0 },
  waveEndedAt: null,
  approvedWaves: 0,
  forgiven: 0,
  pace: null,
  effects: [],
} as const satisfies Partial<Rollout>;

/** Starting: the epoch grows, and every child with a heartbeat since `freshSince` may be enrolled. */
export function startRollout(rollout: Rollout, plan: Plan, now: number, freshSince: number): Rollout {
  const rules = rulesOf(plan);
  return {
    ...rollout,
    state: 'running',
    plan: rules,
    epoch: rollout.epoch + 1,
    startedAt: now,
    freshSince,
    effects: rules.direct ? [] : [{ kind: 'assign' }],
  };
}

/** Nobody new will ever run it, and no tick has anything to decide. */
export const isSettled = ({ state, withdrawn }: Pick<Rollout, 'state' | 'withdrawn'>): boolean =>
  isFinished(state) && withdrawn.every(({ as }) => as !== 'reverting');

/** Nobody new will ever run it. */
export const isFinished = (state: RolloutStateName): boolean =>
  state === 'aborted' || state === 'completed' || state === 'reverted';

/** Indices of the stages that end by a gate. */
export const signalledStages = ({ stages }: Pick<Rollout, 'stages'>): number[] =>
  stages.flatMap((stage, i) => (stage.type === 'WaitForSignal' ? [i] : []));
