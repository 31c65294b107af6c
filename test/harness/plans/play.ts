/** Plays a plan on a fleet, second by second: children, operators, and a scheduler that may die at any point of a tick. */
import { abort, leaveOut, pause, resume, resumeLocation, revert, revertLocation } from '#domain/controls/controls.ts';
import { promote } from '#domain/controls/promote.ts';
import { waitsOf } from '#domain/explain/release-waits.ts';
import type { Wait } from '#domain/explain/wait.ts';
import { canBecome, isFinished, publishedRollout, type Rollout, startRollout } from '#domain/rollout/rollout.ts';
import { decide } from '#domain/scheduling/decide.ts';
import type { Snapshot } from '#domain/scheduling/snapshot.ts';
import { createFleet, type Fleet } from './model.ts';
import { type FleetOptions, homeName } from './model/state.ts';

export type OperatorAct = {
  at: number;
  does: 'pause' | 'resume' | 'abort' | 'revert' | 'take back one' | 'leave out' | 'eject' | 'approve';
};

/** What becomes of one second's tick: its write is lost, its effects are done twice, in part, or not at all, or it never comes. */
export type Fault = 'none' | 'write lost' | 'effects twice' | 'effects half' | 'effects late' | 'no tick';

/** Those after which a tick still does all that it has to. */
export const DEATHS = ['none', 'write lost', 'effects twice'] as const;
export const DELAYS = ['effects half', 'effects late', 'no tick'] as const;

export type Scenario = FleetOptions & {
  bundleBytes: number;
  /** Locations that are to be passed over. */
  skip: readonly number[];
  operator: readonly OperatorAct[];
  /** An operator approves whatever waits for it, each second. */
  approves: boolean;
  /** By second; the last one for ever. */
  faults: readonly Fault[];
};

/** One decision, between what it was made on and what it made. */
export type Decision = { before: Rollout; after: Rollout; snapshot: Snapshot; now: number; fleet: Fleet };

export type Watcher = {
  /** Children have acted, and nothing has been decided yet. */
  second?(state: { rollout: Rollout; fleet: Fleet; now: number }): void;
  decided?(decision: Decision): void;
  /** A tick is over, with its effects done: nothing is left to decide at this second. */
  settled?(state: { rollout: Rollout; fleet: Fleet; now: number }): void;
};

export type Played = {
  rollout: Rollout;
  fleet: Fleet;
  now: number;
  waits: Wait[];
  /** Nothing would ever happen again; false: the time was up. */
  isStill: boolean;
};

/** Longer than every soak, deadline, silence and pause between two enrolments in a scenario, all added up. */
const QUIET_SECONDS = 45;
const MOST_SECONDS = 3_000;
const MAX_STEPS = 30;

/** A release in the middle of its way. */
type Course = { scenario: Scenario; watcher: Watcher; fleet: Fleet; rollout: Rollout };

export function play(scenario: Scenario, watcher: Watcher = {}): Played {
  const course: Course = { scenario, watcher, fleet: createFleet(scenario), rollout: startOf(scenario) };
  const { fleet } = course;
  fleet.see(course.rollout);

  const lastJoin = Math.max(0, ...scenario.children.map(({ joinsAt }) => joinsAt));
  let quiet = 0;
  let second = 0;
  for (; second < MOST_SECONDS && quiet < QUIET_SECONDS; second++) {
    const isQuiet = !live(course, second);
    quiet = isQuiet && second > lastJoin ? quiet + 1 : 0;
    if (isFinished(course.rollout.state) && quiet > 5) break;
  }
  const { rollout } = course;
  const now = second * 1000;
  const waits = waitsOf(rollout, { ...fleet.snapshot(), partitionsDone: 0, partitions: 1 }, now);
  return { rollout, fleet, now, waits, isStill: second < MOST_SECONDS };
}

function startOf({ plan, stages, bundleBytes, skip }: Scenario): Rollout {
  const published = publishedRollout({ release: 'r', shortId: '1', stages, plan, bundleBytes });
  return {
    ...startRollout(published, plan, 0, 0),
    skip: skip.map((home) => (plan.locations.by === 'child' ? `c${home}` : homeName(home))),
  };
}

/** One second: children first, then operators, then a tick. True: something happened. */
function live(course: Course, second: number): boolean {
  const { scenario, watcher, fleet } = course;
  const { plan, operator, approves, faults } = scenario;
  const { approval } = plan.advance;
  const now = second * 1000;
  const hasActed = fleet.live(now);
  const before = course.rollout;
  for (const { at, does } of operator) if (at === second) write(course, operate(course.rollout, does, fleet, now));
  if (approves && (approval.waves || approval.stages.length > 0))
    write(course, operate(course.rollout, 'approve', fleet, now));
  const fault = faults[Math.min(second, faults.length - 1)] ?? 'none';
  watcher.second?.({ rollout: course.rollout, fleet, now });
  if (fault !== 'no tick') tick(course, fault, now);
  return hasActed || course.rollout !== before;
}

function write(course: Course, after: Rollout): void {
  if (after === course.rollout) return;
  course.rollout = { ...after, version: course.rollout.version + 1 };
  course.fleet.see(course.rollout);
}

function tick(course: Course, fault: Fault, now: number): void {
  const { watcher, fleet } = course;
  let done: Rollout | null = null;
  for (let step = 0; ; step++) {
    if (step === MAX_STEPS) throw new Error('a tick never comes to its end');
    const snapshot = fleet.snapshot();
    const before = course.rollout;
    let after = decide(before, snapshot, now);
    // The process has died between decision and write; another one decides the same again.
    if (fault === 'write lost') after = decide(before, fleet.snapshot(), now);
    const isIdle = after === before;
    if (isIdle && (done === before || before.effects.length === 0 || fault === 'effects late')) {
      watcher.settled?.({ rollout: before, fleet, now });
      return;
    }
    if (before.state !== after.state && !canBecome(before.state, after.state))
      throw new Error(`${before.state} may not become ${after.state}`);
    write(course, after);
    if (!isIdle) watcher.decided?.({ before, after: course.rollout, snapshot, now, fleet });
    if (fault === 'effects late') return;
    perform(course, fault);
    done = course.rollout;
  }
}

/** Nobody is enrolled but while it runs. */
function perform({ rollout, fleet }: Course, fault: Fault): void {
  if (rollout.state !== 'running' && rollout.state !== 'reverting') return;
  fleet.perform(rollout, fault === 'effects half' ? 1 : Infinity);
  if (fault === 'effects twice') fleet.perform(rollout, Infinity);
}

/** What the operators' calls do to a rollout, where they are possible. */
function operate(rollout: Rollout, does: OperatorAct['does'], fleet: Fleet, now: number): Rollout {
  const { state, plan } = rollout;
  const held = rollout.open.find((location) => location.held !== undefined);
  const snapshot = fleet.snapshot();
  if (does === 'eject') {
    const child = fleet.children.find(fleet.isUnderway);
    if (child !== undefined) child.ejected = true;
    return rollout;
  }
  if (does === 'leave out') {
    const id = rollout.open[0]?.id ?? snapshot.next[0]?.id;
    if (id === undefined || !isUnderway(rollout) || plan.by === 'child') return rollout;
    return leaveOut(rollout, id, { as: 'skipped', reason: 'left out', isToCome: true }, now);
  }
  if (does === 'take back one') {
    const id = (rollout.open[0] ?? rollout.withdrawn[0])?.id;
    if (id === undefined || !isUnderway(rollout) || plan.by === 'child') return rollout;
    return revertLocation(rollout, id, { reason: 'taken back', openGates: plan.openGatesOnRevert }, now);
  }
  if (does === 'pause') return state === 'running' ? pause(rollout, null) : rollout;
  if (does === 'abort') return isUnderway(rollout) ? abort(rollout, 'aborted', now) : rollout;
  if (does === 'revert')
    return canBecome(state, 'reverting')
      ? revert(rollout, { reason: 'reverted', openGates: plan.openGatesOnRevert }, now)
      : rollout;
  if (does === 'approve') return state === 'running' ? promote(rollout, {}, snapshot, now) : rollout;
  if (!isUnderway(rollout)) return rollout;
  return held === undefined ? resume(rollout, snapshot, now) : resumeLocation(rollout, held.id, snapshot, now);
}

const isUnderway = ({ state }: Rollout): boolean => state === 'running' || state === 'paused' || state === 'halted';
