/**
 * What an operator may do to a release, in which state. One table for all: each control is done, has been done already
 * (which is no error), or is refused with the reason.
 */
import type { OpenLocation, Rollout, RolloutStateName } from '#domain/rollout/rollout.ts';

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

type Answer = 'do' | 'same' | { no: string };

const no = (why: string): Answer => ({ no: why });
const NOT_STARTED = no('it was never started');
const IS_PAUSED = no('it is paused: resume it first');
const IS_HALTED = no('it is halted: resume or abort it');
const IS_OVER = no('it is completed');
const IS_ABORTED = no('it was aborted: nobody more gets it');
const IS_REVERTING = no('it is being taken back');
const WAS_REVERTED = no('it was taken back');
const ENDED = { aborted: IS_ABORTED, reverting: IS_REVERTING, reverted: WAS_REVERTED, completed: IS_OVER } as const;
const WHILE_UNDERWAY = { published: NOT_STARTED, running: 'do', paused: 'do', halted: 'do', ...ENDED } as const;

export const CONTROL_TABLE: Record<Control, Record<RolloutStateName, Answer>> = {
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
  const answer = CONTROL_TABLE[control][rollout.state];
  if (typeof answer === 'object') throw new NotPossible(answer.no);
  return answer === 'do';
}

/** The open location of that id. Throws NotPossible. */
export function openLocation(rollout: Rollout, id: string): OpenLocation {
  const location = rollout.open.find((each) => each.id === id);
  if (location === undefined) throw new NotPossible(`location ${id} is not open now`);
  return location;
}

export const withLocation = (rollout: Rollout, location: OpenLocation): Rollout => ({
  ...rollout,
  open: rollout.open.map((each) => (each.id === location.id ? location : each)),
});
