/**
 * A plan tried on a model fleet: the loop of the scheduler (read, decide, write, do) under a clock that jumps from one
 * event to the next.
 */
import { decide, type Snapshot } from '#domain/decide.ts';
import { requirementsOf } from '#domain/gates.ts';
import { type Plan, rulesOf } from '#domain/plan.ts';
import {
  isFinished,
  publishedRollout,
  type Rollout,
  type RolloutStateName,
  signalledStages,
  startRollout,
} from '#domain/rollout.ts';
import { type Wait, waitsOf } from '#domain/waiting.ts';
import { type Entry, type Happening, happenings } from './course.ts';
import type { Behaviour } from './fates.ts';
import type { ModelStage } from './flow.ts';
import { type Children, createModel, type ModelLocation, type ModelOptions } from './model.ts';
import { nextTimer } from './timers.ts';

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

  let rollout = startRollout(publishedRollout('simulated', '1', stages, plan, bundleBytes), plan, 0, 0);
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
    const at = Math.max(isSettled ? next : now, now + Math.max(tickMs, 1));
    if (ticks >= maxTicks) cut = 'ticks';
    else if (at > untilMs) cut = 'time';
    else model.advanceTo(at);
  }
  if (cut === 'time') model.advanceTo(untilMs);
  const waits = waitsOf(rollout, { ...model.snapshot(), partitionsDone: 1, partitions: 1 }, model.now());
  const { state, reason } = rollout;
  return { course, end: { state, reason, atMs: model.now(), cut, waits }, children: model.children(), ticks };
}

/** An operator who approves whatever waits for approval alone, a while after it does. */
function createApprover(afterMs: number) {
  const since = new Map<string, number>();
  return {
    /** When the next approval is given. */
    next: (): number => Math.min(...since.values()) + afterMs,

    look(
      rollout: Rollout,
      { locations, next }: Snapshot,
      now: number,
    ): { rollout: Rollout; happenings: Happening[] } | null {
      const asked = new Set<string>();
      const isDue = (key: string): boolean => {
        asked.add(key);
        if (!since.has(key)) since.set(key, now);
        return now >= (since.get(key) ?? now) + afterMs;
      };
      const given: Happening[] = [];
      const { plan, started, approvedWaves } = rollout;
      let waves = approvedWaves;
      if (plan.advance.approval.waves && rollout.open.length === 0 && next.length > 0 && waves < started.waves)
        if (isDue(`wave ${started.waves}`)) {
          waves = started.waves;
          given.push({ kind: 'approved', stage: null, location: null });
        }
      const open = rollout.open.map((location) => {
        const view = locations.get(location.id);
        if (view === undefined || location.held !== undefined) return location;
        const stagesDue = signalledStages(rollout).filter((stage) => {
          if (location.gates.includes(stage)) return false;
          const unmet = requirementsOf(rollout, location, view, stage, now).filter(({ holds }) => !holds);
          return unmet.length === 1 && unmet[0]?.kind === 'approval' && isDue(`${location.id} ${stage}`);
        });
        for (const stage of stagesDue)
          given.push({ kind: 'approved', stage: rollout.stages[stage]?.name ?? '', location: location.id });
        return stagesDue.length === 0
          ? location
          : { ...location, approved: [...(location.approved ?? []), ...stagesDue] };
      });
      for (const key of since.keys()) if (!asked.has(key)) since.delete(key);
      if (given.length === 0) return null;
      return { rollout: { ...rollout, open, approvedWaves: waves }, happenings: given };
    },
  };
}
