/** The state of one release on its way over the fleet: all that the scheduler decides from and writes back, as one. */
import { type Plan, type Rules, rulesOf } from './plan.ts';
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
  reverted: ['reverting'],
  completed: ['reverting'],
} as const satisfies Record<RolloutStateName, readonly RolloutStateName[]>;

export const canBecome = (from: RolloutStateName, to: RolloutStateName): boolean =>
  (ROLLOUT_TRANSITIONS[from] as readonly RolloutStateName[]).includes(to);

/** A condition of a stage that the fleet's aggregate can be held against: the new version's median or error rate. */
export type Condition = { metric: 'f2' | 'e2'; operator: '<' | '<=' | '>' | '>=' | '='; limit: number };

export type RolloutStage = { name: string; type: StageType; conditions?: readonly Condition[] };

/** Milliseconds of Redis' clock by the index of a stage. */
type TimeByStage = Readonly<Record<number, number>>;

/** A location whose children have the release now. */
export type OpenLocation = {
  id: string;
  /** Its place in the order of locations, from 1. */
  n: number;
  /** Children that belong to it, as known at its opening; null: a walk over the fleet will tell. */
  members: number | null;
  /** How many may be enrolled by now; null: all. Late joiners are among them. */
  quota: number | null;
  /** Children enrolled in it; null until every partition has marked it, and no gate opens before. Late joiners don't count. */
  children: number | null;
  /** Indices of the stages whose gate is open here. */
  gates: readonly number[];
  /** When the first child was in the stage. */
  since?: TimeByStage;
  /** Since when the stage's conditions hold. */
  met?: TimeByStage;
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

/** A location that was taken out of the course. Its children stay where they are; nobody more is offered the release. */
export type Aside = {
  id: string;
  n: number;
  as: 'skipped' | 'aborted' | 'reverting' | 'reverted';
  reason: string;
  children: number;
  gates: readonly number[];
};

/** Work that a decision asks for. Each is idempotent and repeated until a tick sees that it's done. */
export type Effect =
  /** `upTo`: how many of its children may be enrolled, late ones too; null: all. */
  | { kind: 'enrol'; location: string; upTo: number | null }
  /** Finds out who belongs where, and puts the locations in order. */
  | { kind: 'order' }
  /** Publishes and starts the compensating release of a location, or (null) of all. */
  | { kind: 'compensate'; location: string | null };

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
  plan: Rules;
  stages: readonly RolloutStage[];
  /** Of the functions, as each child downloads them. */
  bundleBytes: number;
  /** Milliseconds of Redis' clock, or null. */
  startedAt: number | null;
  endedAt: number | null;
  /** Children are enrolled whose last sign of life is at or after this. */
  freshSince: number;
  open: readonly OpenLocation[];
  /** Locations that are through, and the children in them. */
  closed: { locations: number; children: number };
  /** Locations that closed with a gate that never opened: nobody needed it, and it stays shut. */
  shut: readonly { n: number; gates: readonly number[] }[];
  aside: readonly Aside[];
  /** Locations (children, where each is its own) that are to be passed over at their turn. */
  skip: readonly string[];
  /** What there is to go through, once it's known. `outside`: children in no region. */
  order: { locations: number; children: number; outside: number } | null;
  /** Locations (children, where waves are of children) and waves that have had their turn. */
  started: { locations: number; waves: number };
  /** When the last location of the last wave was through (ms), or null. */
  waveEndedAt: number | null;
  /** Waves that an operator has approved. */
  approvedWaves: number;
  /** Failures that an operator has looked past. */
  forgiven: number;
  pace: Pace | null;
  effects: readonly Effect[];
};

export function publishedRollout(
  release: string,
  tag: string,
  stages: Rollout['stages'],
  plan: Plan,
  bundleBytes = 0,
): Rollout {
  return {
    release,
    tag,
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
  closed: { locations: 0, children: 0 },
  shut: [],
  aside: [],
  skip: [],
  order: null,
  started: { locations: 0, waves: 0 },
  waveEndedAt: null,
  approvedWaves: 0,
  forgiven: 0,
  pace: null,
  effects: [],
} as const satisfies Partial<Rollout>;

/** Nobody new will ever run it, and no tick has anything to decide. */
export const isSettled = ({ state, aside }: Pick<Rollout, 'state' | 'aside'>): boolean =>
  isFinished(state) && aside.every(({ as }) => as !== 'reverting');

/** Nobody new will ever run it. */
export const isFinished = (state: RolloutStateName): boolean =>
  state === 'aborted' || state === 'completed' || state === 'reverted';

/** Starting: the epoch grows, and everyone with a sign of life since `freshSince` may be enrolled. */
export function startRollout(rollout: Rollout, plan: Plan, now: number, freshSince: number): Rollout {
  const rules = rulesOf(plan);
  return {
    ...rollout,
    state: 'running',
    plan: rules,
    epoch: rollout.epoch + 1,
    startedAt: now,
    freshSince,
    effects: rules.direct ? [] : [{ kind: 'order' }],
  };
}

/**
 * One write withdraws every offer: the epoch grows, so that pending releases and enrol jobs of the old one are void. Why
 * it was halted stays part of the reason: whoever looks later wants to know what went wrong, not only who stopped it.
 */
export function abortRollout(rollout: Rollout, now: number, given: string): Rollout {
  return {
    ...rollout,
    state: 'aborted',
    reason: reasonWith(rollout, given),
    epoch: rollout.epoch + 1,
    endedAt: now,
    // What is being taken back is taken back all the same.
    effects: rollout.effects.filter(({ kind }) => kind === 'compensate'),
  };
}

const LOST_AFTER_MS = 10 * 60_000;

/** Taking it back: nobody more gets it, and those who are Done get the version from before. */
export function revertRollout(rollout: Rollout, now: number, given: string, releaseHeld: boolean): Rollout {
  const next: Rollout = {
    ...rollout,
    state: 'reverting',
    reason: reasonWith(rollout, given),
    epoch: rollout.epoch + 1,
    endedAt: now,
    // Whoever is silent for good mustn't keep it from its end.
    plan: { ...rollout.plan, releaseHeld, lostAfterMs: rollout.plan.lostAfterMs ?? LOST_AFTER_MS },
    effects: [{ kind: 'compensate', location: null }],
  };
  return releaseHeld ? letHeldThrough(next) : next;
}

/** Every gate opens, so that those who are held get through and can be reached. */
export function letHeldThrough(rollout: Rollout): Rollout {
  const gates = signalledStages(rollout);
  return {
    ...rollout,
    state: 'reverting',
    plan: { ...rollout.plan, releaseHeld: true },
    open: rollout.open.map((each) => ({ ...each, gates })),
    aside: rollout.aside.map((each) => ({ ...each, gates })),
    shut: [],
  };
}

function reasonWith({ state, reason }: Rollout, given: string): string {
  return state === 'halted' && reason !== null ? `${given} (it was halted: ${reason})` : given;
}

/** Indices of the stages that end by a gate. */
export const signalledStages = ({ stages }: Pick<Rollout, 'stages'>): number[] =>
  stages.flatMap((stage, i) => (stage.type === 'WaitForSignal' ? [i] : []));

/** Takes an open location out of the course. */
export function setAside(
  rollout: Rollout,
  location: OpenLocation,
  as: Aside['as'],
  reason: string,
  now: number,
  releaseHeld: boolean = rollout.plan.releaseHeld,
): Rollout {
  const { id, n, children, members } = location;
  const gates = as === 'reverting' && releaseHeld ? signalledStages(rollout) : location.gates;
  const open = rollout.open.filter((each) => each.id !== id);
  return {
    ...rollout,
    open,
    waveEndedAt: open.length === 0 ? now : rollout.waveEndedAt,
    aside: [...rollout.aside, { id, n, as, reason, children: children ?? members ?? 0, gates }],
    effects: [
      ...rollout.effects.filter((effect) => effect.kind !== 'enrol' || effect.location !== id),
      ...(as === 'reverting' ? [{ kind: 'compensate', location: id } as const] : []),
    ],
  };
}

/** The id of the release that takes another one back, in a location (by its place in the order) or everywhere. */
export function compensationId({ release, tag }: Pick<Rollout, 'release' | 'tag'>, n: number | null): string {
  const end = n === null ? '.revert' : `.revert-${n}`;
  if (release.length + end.length <= MAX_RELEASE_ID) return `${release}${end}`;
  // Two long ids that begin alike must not share one: a tag is a release's own.
  const own = `.${tag}${end}`;
  return `${release.slice(0, MAX_RELEASE_ID - own.length)}${own}`;
}
const MAX_RELEASE_ID = 64;

/** Whether an id ends like one of those: nobody else may take it, or a release couldn't be taken back. */
export const isCompensationId = (id: string): boolean => /\.revert(-\d+)?$/.test(id);
