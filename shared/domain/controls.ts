/**
 * What an operator may do to a release, in which state. One table for all: each control is done, has been done already
 * (which is no error), or is refused with the reason.
 */
import { bothCounts, usedBudget } from './budget.ts';
import type { Snapshot } from './decide.ts';
import { requirementsOf } from './gates.ts';
import { waveWaits } from './opening.ts';
import {
  abortRollout,
  letHeldThrough,
  type OpenLocation,
  revertRollout,
  type Rollout,
  type RolloutStateName,
  setAside,
  signalledStages,
} from './rollout.ts';

export const CONTROLS = [
  'start',
  'pause',
  'resume',
  'resume-location',
  'promote',
  'abort',
  'abort-location',
  'retry',
  'skip',
  'eject',
  'revert',
  'revert-location',
] as const;
export type Control = (typeof CONTROLS)[number];

type Verdict = 'do' | 'same' | { no: string };

const no = (why: string): Verdict => ({ no: why });
const NOT_STARTED = no('it was never started');
const IS_PAUSED = no('it is paused: resume it first');
const IS_HALTED = no('it is halted: resume or abort it');
const IS_OVER = no('it is over');
const IS_ABORTED = no('it was aborted: nobody more gets it');
const IS_REVERTING = no('it is being taken back');
const WAS_REVERTED = no('it was taken back');
const ENDED = { aborted: IS_ABORTED, reverting: IS_REVERTING, reverted: WAS_REVERTED, completed: IS_OVER } as const;
const WHILE_UNDERWAY = { published: NOT_STARTED, running: 'do', paused: 'do', halted: 'do', ...ENDED } as const;

export const CONTROL_TABLE: Record<Control, Record<RolloutStateName, Verdict>> = {
  start: {
    published: 'do',
    running: 'same',
    paused: IS_PAUSED,
    halted: IS_HALTED,
    aborted: IS_ABORTED,
    reverting: IS_REVERTING,
    reverted: WAS_REVERTED,
    completed: IS_OVER,
  },
  pause: {
    published: NOT_STARTED,
    running: 'do',
    paused: 'same',
    halted: no('it is halted: nothing goes on'),
    ...ENDED,
  },
  resume: { published: NOT_STARTED, running: 'same', paused: 'do', halted: 'do', ...ENDED },
  'resume-location': WHILE_UNDERWAY,
  promote: { published: NOT_STARTED, running: 'do', paused: IS_PAUSED, halted: IS_HALTED, ...ENDED },
  abort: { ...WHILE_UNDERWAY, published: 'do', aborted: 'same' },
  'abort-location': WHILE_UNDERWAY,
  retry: WHILE_UNDERWAY,
  skip: WHILE_UNDERWAY,
  eject: WHILE_UNDERWAY,
  revert: { ...WHILE_UNDERWAY, aborted: 'do', completed: 'do', reverting: 'same', reverted: 'same' },
  'revert-location': { ...WHILE_UNDERWAY, aborted: 'do', completed: 'do' },
};

/** A control that can't be. The message is a sentence's end: "release 21 can't be paused: <message>". */
export class NotPossible extends Error {
  override name = 'NotPossible';
}

/** True: it's to be done; false: it has been. Throws NotPossible. */
export function isToDo(control: Control, rollout: Rollout): boolean {
  const verdict = CONTROL_TABLE[control][rollout.state];
  if (typeof verdict === 'object') throw new NotPossible(verdict.no);
  return verdict === 'do';
}

export const pause = (rollout: Rollout, reason: string | null): Rollout =>
  isToDo('pause', rollout) ? { ...rollout, state: 'paused', reason } : rollout;

/** Going on after a halt looks past the failures so far: only further ones use the budget up. */
export function resume(rollout: Rollout, snapshot: Pick<Snapshot, 'totals' | 'locations'>, now: number): Rollout {
  if (!isToDo('resume', rollout)) {
    // Where there is one location, it is the release; others are named by whoever looked at them.
    const [held] = rollout.plan.by === 'all' ? rollout.open.filter((each) => each.held !== undefined) : [];
    return held === undefined ? rollout : resumeLocation(rollout, held.id, snapshot, now);
  }
  const isHalted = rollout.state === 'halted';
  const forgiven = isHalted ? usedBudget([snapshot.totals], rollout.plan).total : rollout.forgiven;
  // Where there is one location, one that takes too long halts the release.
  const isOne = isHalted && rollout.plan.by === 'all' && rollout.plan.deadline !== null;
  const open = rollout.open.map((each) => unsoaked(isOne ? inTimeAgain(each, snapshot, now) : each));
  return { ...rollout, state: 'running', reason: null, endedAt: null, forgiven, open };
}

/** Nobody looked meanwhile: whether the conditions held all the time isn't known, so a soak begins again. */
function unsoaked({ met: _met, ...location }: OpenLocation): OpenLocation {
  return location;
}

/** Whoever took too long is looked past, and a stage that did has its whole time again. */
function inTimeAgain(location: OpenLocation, { locations }: Pick<Snapshot, 'locations'>, now: number): OpenLocation {
  const { since, ...rest } = location;
  const view = locations.get(location.id);
  const { overdue } = usedBudget(view === undefined ? [] : bothCounts(view), { deadline: null });
  const again =
    since === undefined ? {} : { since: Object.fromEntries(Object.keys(since).map((stage) => [stage, now])) };
  return { ...rest, forgiven: { used: location.forgiven?.used ?? 0, overdue }, ...again };
}

export function resumeLocation(
  rollout: Rollout,
  id: string,
  snapshot: Pick<Snapshot, 'locations'>,
  now: number,
): Rollout {
  isToDo('resume-location', rollout);
  const location = openOne(rollout, id);
  if (location.held === undefined) return rollout;
  const view = snapshot.locations.get(id);
  const used = usedBudget(view === undefined ? [] : bothCounts(view), rollout.plan).total;
  const { held: _held, ...rest } = inTimeAgain(unsoaked(location), snapshot, now);
  return replaced(rollout, { ...rest, forgiven: { used, overdue: rest.forgiven?.overdue ?? 0 } });
}

export const abort = (rollout: Rollout, reason: string, now: number): Rollout =>
  isToDo('abort', rollout) ? abortRollout(rollout, now, reason) : rollout;

/** Takes an open location out of the course, or has it passed over at its turn. `isToCome`: whether it has a turn yet. */
export function leaveOut(
  rollout: Rollout,
  id: string,
  as: 'skipped' | 'aborted',
  reason: string,
  isToCome: boolean,
  now: number,
): Rollout {
  isToDo(as === 'skipped' ? 'skip' : 'abort-location', rollout);
  if (rollout.aside.some((each) => each.id === id) || rollout.skip.includes(id)) return rollout;
  const location = rollout.open.find((each) => each.id === id);
  if (location !== undefined) return setAside(rollout, location, as, reason, now);
  if (!isToCome) throw new NotPossible(`location ${id} is through, or is none of its locations`);
  if (as === 'aborted') throw new NotPossible(`location ${id} is still to come: skip it`);
  return { ...rollout, skip: [...rollout.skip, id] };
}

export function revert(rollout: Rollout, reason: string, releaseHeld: boolean, now: number): Rollout {
  if (isToDo('revert', rollout)) return revertRollout(rollout, now, reason, releaseHeld);
  // It may be said later, too, that those who are held are to be let through.
  return releaseHeld && !rollout.plan.releaseHeld ? letHeldThrough(rollout) : rollout;
}

/** Takes one location back: one that is open, or was left out; the others go on. */
export function revertLocation(
  rollout: Rollout,
  id: string,
  reason: string,
  now: number,
  releaseHeld: boolean,
): Rollout {
  isToDo('revert-location', rollout);
  const aside = rollout.aside.find((each) => each.id === id);
  if (aside === undefined) return setAside(rollout, openOne(rollout, id), 'reverting', reason, now, releaseHeld);
  const gates = releaseHeld ? signalledStages(rollout) : aside.gates;
  const isTakenBack = aside.as === 'reverting' || aside.as === 'reverted';
  if (isTakenBack && gates.every((stage) => aside.gates.includes(stage))) return rollout;
  return {
    ...rollout,
    aside: rollout.aside.map((each) => (each === aside ? { ...each, as: 'reverting' as const, reason, gates } : each)),
    effects: [...rollout.effects, { kind: 'compensate', location: id }],
  };
}

export type Promotion = {
  location?: string | undefined;
  stage?: string | undefined;
  wave?: boolean | undefined;
  /** Ends the stage for those who wait in it, though its conditions don't hold. */
  now?: boolean | undefined;
};

/**
 * Approves what waits for approval (a stage, a wave, or with nothing named all that waits now); with `now` it ends a stage
 * whatever its conditions say.
 */
export function promote(rollout: Rollout, what: Promotion, snapshot: Pick<Snapshot, 'locations'>, at: number): Rollout {
  isToDo('promote', rollout);
  const named = what.stage === undefined ? null : rollout.stages.findIndex(({ name }) => name === what.stage);
  if (named !== null && !signalledStages(rollout).includes(named))
    throw new NotPossible(`"${what.stage}" is none of its WaitForSignal stages`);
  if (what.now === true && named === null) throw new NotPossible('a stage that is to end now must be named');
  const locations = what.location === undefined ? rollout.open : [openOne(rollout, what.location)];
  const { stages: wanted, waves } = rollout.plan.advance.approval;
  const isWanted = (stage: number): boolean => wanted === 'all' || wanted.includes(rollout.stages[stage]?.name ?? '');

  let next = rollout;
  if (what.wave === true || (named === null && what.location === undefined)) {
    if (what.wave === true && !waves) throw new NotPossible('its plan asks for no approval of waves');
    const isDue = waves && rollout.open.length === 0 && waveWaits({ ...rollout, waveEndedAt: null }, at) !== null;
    if (isDue || what.wave === true)
      next = { ...next, approvedWaves: Math.max(next.approvedWaves, next.started.waves) };
    if (what.wave === true) return next === rollout || next.approvedWaves === rollout.approvedWaves ? rollout : next;
  }
  if (named !== null && what.now !== true && !isWanted(named))
    throw new NotPossible(`stage "${what.stage}" needs no approval; with "now" it ends for those who wait in it`);
  for (const location of locations) {
    if (what.now === true && named !== null) {
      if (location.children === null) throw new NotPossible(`location ${location.id} is still being enrolled`);
      if (!location.gates.includes(named)) next = replaced(next, { ...location, gates: [...location.gates, named] });
      continue;
    }
    const stages =
      named === null ? signalledStages(rollout).filter((stage) => isWanted(stage) && waits(location, stage)) : [named];
    const approved = [...new Set([...(location.approved ?? []), ...stages])];
    if (approved.length > (location.approved?.length ?? 0)) next = replaced(next, { ...location, approved });
  }
  return next;

  /** Whether a stage waits for nothing but approval, and perhaps for time to pass. */
  function waits(location: OpenLocation, stage: number): boolean {
    const view = snapshot.locations.get(location.id);
    if (view === undefined || location.gates.includes(stage)) return false;
    const unmet = requirementsOf(rollout, location, view, stage, at).filter(({ holds }) => !holds);
    return (
      unmet.some(({ kind }) => kind === 'approval') && unmet.every(({ kind }) => kind === 'approval' || kind === 'soak')
    );
  }
}

function openOne(rollout: Rollout, id: string): OpenLocation {
  const location = rollout.open.find((each) => each.id === id);
  if (location === undefined) throw new NotPossible(`location ${id} isn't open now`);
  return location;
}

const replaced = (rollout: Rollout, location: OpenLocation): Rollout => ({
  ...rollout,
  open: rollout.open.map((each) => (each.id === location.id ? location : each)),
});
