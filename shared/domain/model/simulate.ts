/**
 * A plan tried on a model fleet: the loop of the scheduler (read, decide, write, do) under a clock that jumps from one
 * event to the next.
 */
import { decide } from '#domain/decide.ts';
import { type Plan, rulesOf } from '#domain/plan.ts';
import { isFinished, publishedRollout, type Rollout, type RolloutStateName, startRollout } from '#domain/rollout.ts';
import { type Wait, waitsOf } from '#domain/waiting.ts';
import { createApprover } from './approver.ts';
import { type Entry, type Happening, happenings } from './course.ts';
import type { Behaviour } from './fates.ts';
import type { ModelStage } from './flow.ts';
import { type Children, createModel, type ModelOptions } from './model.ts';
import { nextTimer } from './timers.ts';
import type { ModelLocation } from './turns.ts';

export type SimulateOptions = {
  plan: Plan;
  stages: readonly ModelStage[];
  /** In the order of the plan. Where each child is a location, or all are one: the groups that they come in. */
  locations: readonly ModelLocation[];
  behaviour: Behaviour;
  lateJoiners?: NonNullable<ModelOptions['lateJoiners']>;
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
  const model = createModel({ ...options, plan: rulesOf(plan) });
  const course: Entry[] = [];
  const note = (what: Happening): void =>
    void course.push({ atMs: model.now(), wave: rollout.started.waves, what, children: model.children() });
  let ticks = 0;

  // What the children of a model measure isn't modelled: those who succeed meet the conditions.
  const plain = stages.map(({ name, type }) => ({ name, type }));
  let rollout = startRollout(publishedRollout('simulated', '1', plain, plan, bundleBytes), plan, 0, 0);
  model.perform(rollout);

  function write(after: Rollout): void {
    const before = rollout;
    rollout = { ...after, version: before.version + 1 };
    model.perform(rollout);
    for (const happening of happenings(before, after)) note(happening);
  }

  /** Ticks until nothing is left to decide; false: something is. */
  function tick(): boolean {
    for (let step = 0; step < MAX_STEPS; step++) {
      ticks += 1;
      const decided = decide(rollout, model.snapshot(), model.now());
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
    const now = model.now();
    const snapshot = model.snapshot();
    const approved = approver?.look(rollout, snapshot, now) ?? null;
    if (approved !== null) {
      write(approved.rollout);
      for (const happening of approved.happenings) note(happening);
      continue;
    }
    const next = Math.min(model.nextEvent(), nextTimer(rollout, snapshot, now), approver?.next() ?? Infinity);
    if (isSettled && next === Infinity) break;
    const at = isSettled ? Math.max(next, now + tickMs) : now + Math.max(tickMs, 1);
    if (ticks >= maxTicks) cut = 'ticks';
    else if (at > untilMs) cut = 'time';
    else model.advanceTo(at);
  }
  if (cut === 'time') model.advanceTo(untilMs);
  const waits = waitsOf(rollout, { ...model.snapshot(), partitionsDone: 1, partitions: 1 }, model.now());
  const { state, reason } = rollout;
  return { course, end: { state, reason, atMs: model.now(), cut, waits }, children: model.children(), ticks };
}
