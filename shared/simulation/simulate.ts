/**
 * A plan tried on a simulated fleet: the loop of the scheduler (read, decide, write, do) under a clock that jumps from one
 * event to the next.
 */
import { decide } from '#domain/scheduling/decide.ts';
import { type Plan, rulesOf } from '#domain/plan/plan.ts';
import {
  isFinished,
  publishedRollout,
  type Rollout,
  type RolloutStateName,
  startRollout,
} from '#domain/rollout/rollout.ts';
import { waitsOf } from '#domain/explain/release-waits.ts';
import type { Wait } from '#domain/explain/wait.ts';
import { createApprover } from './approver.ts';
import { type Entry, type Happening, happenings } from './course.ts';
import type { Behaviour } from './fates.ts';
import type { SimulatedStage } from './flow.ts';
import { type Children, createFleet, type FleetOptions } from './fleet.ts';
import { nextTimer } from './timers.ts';
import type { LocationSize } from './turns.ts';

export type SimulateOptions = {
  plan: Plan;
  stages: readonly SimulatedStage[];
  /** In the order of the plan. Where each child is a location, or all are one: the groups that they come in. */
  locations: readonly LocationSize[];
  behaviour: Behaviour;
  lateJoiners?: NonNullable<FleetOptions['lateJoiners']>;
  random: () => number;
  bundleBytes?: number;
  /** An operator approves what waits for approval, so long after it does; null: never. */
  approveAfterMs?: number | null;
  /** Time between two ticks, at least. */
  tickMs?: number;
  /** It ends then, wherever it is. */
  untilMs?: number;
  maxTicks?: number;
};

export type Simulation = {
  course: Entry[];
  /** `cut`: by which bound it ended; `waits`: why it had come no further. */
  end: {
    state: RolloutStateName;
    reason: string | null;
    atMs: number;
    cut: 'time' | 'ticks' | null;
    waits: Wait[];
  };
  children: Children;
  ticks: number;
};

const DAY_MS = 24 * 3_600_000;
const TICK_MS = 1_000;
const UNTIL_MS = 30 * DAY_MS;
const MAX_TICKS = 5_000_000;
/** One decision often makes the next possible; after so many the others have their turn. */
const MAX_STEPS = 20;

export function simulatePlan(options: SimulateOptions): Simulation {
  const { plan, stages, bundleBytes = 0, approveAfterMs = null } = options;
  const { tickMs = TICK_MS, untilMs = UNTIL_MS, maxTicks = MAX_TICKS } = options;
  const fleet = createFleet({ ...options, plan: rulesOf(plan) });
  const course: Entry[] = [];
  const note = (what: Happening): void =>
    void course.push({ atMs: fleet.now(), wave: rollout.started.waves, what, children: fleet.children() });
  let ticks = 0;

  // What simulated children measure isn't simulated: those that succeed meet the conditions.
  const plain = stages.map(({ name, type }) => ({ name, type }));
  const published = publishedRollout({ release: 'simulated', shortId: '1', stages: plain, plan, bundleBytes });
  let rollout = startRollout(published, plan, 0, 0);
  fleet.perform(rollout);

  function write(after: Rollout): void {
    const before = rollout;
    rollout = { ...after, version: before.version + 1 };
    fleet.perform(rollout);
    for (const happening of happenings(before, after)) note(happening);
  }

  /** Ticks until nothing is left to decide; false: something is. */
  function tick(): boolean {
    for (let step = 0; step < MAX_STEPS; step++) {
      ticks += 1;
      const decided = decide(rollout, fleet.snapshot(), fleet.now());
      if (decided === rollout) return true;
      write(decided);
    }
    return false;
  }

  const approver = approveAfterMs === null ? null : createApprover(approveAfterMs);
  let cut: Simulation['end']['cut'] = null;
  let isSettled = false;
  while (cut === null) {
    isSettled = tick();
    if (isFinished(rollout.state) || rollout.state === 'halted') break;
    const now = fleet.now();
    const snapshot = fleet.snapshot();
    const approved = approver?.approve(rollout, snapshot, now) ?? null;
    if (approved !== null) {
      write(approved.rollout);
      for (const happening of approved.happenings) note(happening);
      continue;
    }
    const next = Math.min(fleet.nextEvent(), nextTimer(rollout, snapshot, now), approver?.next() ?? Infinity);
    if (isSettled && next === Infinity) break;
    const at = isSettled ? Math.max(next, now + tickMs) : now + Math.max(tickMs, 1);
    if (ticks >= maxTicks) cut = 'ticks';
    else if (at > untilMs) cut = 'time';
    else fleet.advanceTo(at);
  }
  if (cut === 'time') fleet.advanceTo(untilMs);
  const waits = waitsOf(rollout, { ...fleet.snapshot(), partitionsDone: 1, partitions: 1 }, fleet.now());
  const { state, reason } = rollout;
  return { course, end: { state, reason, atMs: fleet.now(), cut, waits }, children: fleet.children(), ticks };
}
