/**
 * How groups of children go through a release: polled, in a stage, waiting for its end, Done, Failed. Each step is one
 * event for a whole group, and changes the counts of its location and of all.
 */
import { FLAG } from '#domain/child/flags.ts';
import { ReleaseStatus, StageStatus } from '#domain/child/status.ts';
import type { MutableCounts } from '#domain/counts/counts.ts';
import type { Rules } from '#domain/plan/plan.ts';
import type { FailedChild } from '#domain/scheduling/snapshot.ts';
import type { StageType } from '#domain/strategy/strategy.ts';
import type { Calendar } from './calendar.ts';
import { type Behaviour, inStageBy, type Mix, mixOf, sizeOf, sliced, withoutFailing } from './fates.ts';
import { addRefused, addWaiting, type Group, type SimulatedLocation } from './location.ts';
import { countDone, countEnrolled, countFlags, moveRelease, moveStage } from './tally.ts';

export type SimulatedStage = { name: string; type: StageType; minDurationMs: number };

/** Children that are in a stage and will leave it together. */
type Cohort = Group & { stage: number; flags: number; isLive: boolean };

export type FlowEvent =
  | { kind: 'polls'; group: Group }
  | { kind: 'ends'; cohort: Cohort }
  | { kind: 'flagged'; cohort: Cohort; flag: number }
  | { kind: 'asks'; group: Group; stage: number };

export type FlowOptions = {
  plan: Rules;
  stages: readonly SimulatedStage[];
  behaviour: Behaviour;
  /** A group is cut into slices of at least so many children. */
  grain: number;
  calendar: Pick<Calendar<FlowEvent>, 'add'>;
  totals: MutableCounts;
  random: () => number;
  isOffered(location: SimulatedLocation): boolean;
  isGateOpen(location: SimulatedLocation, stage: number): boolean;
  onFailure(child: FailedChild): void;
};

/** With the locations of children that weren't offered the release when they polled. */
type Flow = FlowOptions & { refused: Set<SimulatedLocation> };

const MOST_SLICES = 20;

export function createFlow(options: FlowOptions) {
  const flow: Flow = { ...options, refused: new Set() };
  const { behaviour, stages, random } = options;
  return {
    /** `name`: of the location that the children stand in, whose fates they have. */
    enrol(location: SimulatedLocation, late: boolean, { name, n }: { name: string; n: number }, now: number): void {
      const group = { location, late, mix: mixOf(n, name, behaviour, { stages: stages.length, random }) };
      countEnrolled(group, flow.totals);
      schedulePolls(flow, group, now);
    },

    /** Those that wait for a gate that is open now go on. */
    lookAtGates(location: SimulatedLocation, now: number): void {
      for (const [stage, waiting] of location.waiting) {
        if (!flow.isGateOpen(location, stage)) continue;
        location.waiting.delete(stage);
        for (const late of [false, true])
          spread(flow, late ? waiting.late : waiting.own, { now, period: behaviour.askMs }, (mix, at) =>
            flow.calendar.add(at, { kind: 'asks', group: { location, late, mix }, stage }),
          );
      }
    },

    /** Those that weren't offered the release poll again, where the offer stands now. */
    lookAtOffers(now: number): void {
      for (const location of flow.refused) {
        const again = location.refused;
        if (again === null || !flow.isOffered(location)) continue;
        flow.refused.delete(location);
        location.refused = null;
        for (const late of [false, true])
          schedulePolls(flow, { location, late, mix: late ? again.late : again.own }, now);
      }
    },

    happen(event: FlowEvent, now: number): void {
      if (event.kind === 'polls') poll(flow, event.group, now);
      else if (event.kind === 'asks') ask(flow, event.group, event.stage, now);
      else if (event.kind === 'flagged') setFlags(flow, event.cohort, event.cohort.flags | event.flag);
      else end(flow, event.cohort, now);
    },
  };
}

type Period = { now: number; period: number };

/** At times spread evenly over a period, in slices. */
function spread({ grain, random }: Flow, mix: Mix, when: Period, add: (slice: Mix, at: number) => void): void {
  const size = sizeOf(mix);
  if (size === 0) return;
  const { now, period } = when;
  const most = period === 0 ? 1 : Math.min(MOST_SLICES, size, Math.ceil(size / grain));
  const slices = sliced(mix, most, random);
  const phase = random();
  slices.forEach((slice, i) => add(slice, now + Math.round((period * (i + phase)) / slices.length)));
}

function schedulePolls(flow: Flow, { location, late, mix }: Group, now: number): void {
  spread(flow, mix, { now, period: flow.behaviour.pollMs }, (slice, at) =>
    flow.calendar.add(at, { kind: 'polls', group: { location, late, mix: slice } }),
  );
}

function poll(flow: Flow, group: Group, now: number): void {
  if (!flow.isOffered(group.location)) {
    flow.refused.add(group.location);
    return addRefused(group);
  }
  moveRelease(group, flow.totals, ReleaseStatus.Todo, ReleaseStatus.Doing);
  enter(flow, group, 0, now);
}

function enter(flow: Flow, group: Group, stage: number, now: number): void {
  const definition = flow.stages[stage];
  if (definition === undefined) return;
  const { behaviour, plan, calendar, random, totals } = flow;
  moveStage(group, totals, { stage, to: StageStatus.InProgress });
  const { steady, slow, silent } = inStageBy(group.mix, stage);
  const takes = definition.minDurationMs * (behaviour.jitter === 0 ? 1 : 1 + behaviour.jitter * random());
  stay(flow, { ...group, mix: steady }, stage, { now, forMs: takes });
  stay(flow, { ...group, mix: slow }, stage, { now, forMs: takes * behaviour.slowFactor });
  const cohort = stay(flow, { ...group, mix: silent }, stage, { now, forMs: behaviour.returnsAfterMs });
  // In an A/B stage a child makes no request before its result: it's never taken for lost there.
  if (cohort !== null && plan.lostAfterMs !== null && definition.type === 'WaitForSignal')
    calendar.add(now + plan.lostAfterMs, { kind: 'flagged', cohort, flag: FLAG.lost });
}

/** `forMs` null: for ever. */
type Stay = { now: number; forMs: number | null };

function stay({ calendar, plan }: Flow, group: Group, stage: number, { now, forMs }: Stay): Cohort | null {
  if (sizeOf(group.mix) === 0) return null;
  const cohort: Cohort = { ...group, stage, flags: 0, isLive: true };
  const ms = forMs === null ? Infinity : Math.round(forMs);
  if (ms < Infinity) calendar.add(now + ms, { kind: 'ends', cohort });
  if (plan.deadline !== null && ms > plan.deadline.afterMs)
    calendar.add(now + plan.deadline.afterMs, { kind: 'flagged', cohort, flag: FLAG.overdue });
  return cohort;
}

function setFlags({ totals }: Flow, cohort: Cohort, flags: number): void {
  if (!cohort.isLive) return;
  countFlags(cohort, totals, cohort.flags, flags);
  cohort.flags = flags;
}

/** The stage is over for them: they have failed in it, wait for its end, or go on. */
function end(flow: Flow, cohort: Cohort, now: number): void {
  const { location, late, stage } = cohort;
  setFlags(flow, cohort, 0);
  cohort.isLive = false;
  const { failing, rest } = withoutFailing(cohort.mix, stage);
  fail(flow, { location, late, mix: failing }, stage);
  const group = { location, late, mix: rest };
  const from = StageStatus.InProgress;
  if (flow.stages[stage]?.type === 'WaitForSignal') {
    moveStage(group, flow.totals, { stage, from, to: StageStatus.SuccessWaiting });
    wait(flow, group, stage, now);
  } else {
    moveStage(group, flow.totals, { stage, from, to: StageStatus.Completed });
    goOn(flow, group, stage, now);
  }
}

function fail({ totals, random, onFailure }: Flow, group: Group, stage: number): void {
  if (sizeOf(group.mix) === 0) return;
  const { location } = group;
  moveStage(group, totals, { stage, from: StageStatus.InProgress, to: StageStatus.Failure });
  moveRelease(group, totals, ReleaseStatus.Doing, ReleaseStatus.Failed);
  if (location.failed !== null) return;
  location.failed = { child: nameIn(location, random), stage, status: StageStatus.Failure };
  onFailure(location.failed);
}

const nameIn = ({ id, n, counts }: SimulatedLocation, random: () => number): string =>
  n === 0 ? id : `${id}-${1 + Math.floor(random() * Math.max(counts.enrolled, 1))}`;

function wait(flow: Flow, group: Group, stage: number, now: number): void {
  if (sizeOf(group.mix) === 0) return;
  if (!flow.isGateOpen(group.location, stage)) return addWaiting(group, stage);
  const at = now + Math.round(flow.behaviour.askMs * flow.random());
  flow.calendar.add(at, { kind: 'asks', group, stage });
}

function ask(flow: Flow, group: Group, stage: number, now: number): void {
  if (!flow.isGateOpen(group.location, stage)) return addWaiting(group, stage);
  moveStage(group, flow.totals, { stage, from: StageStatus.SuccessWaiting, to: StageStatus.Completed });
  goOn(flow, group, stage, now);
}

function goOn(flow: Flow, group: Group, stage: number, now: number): void {
  if (sizeOf(group.mix) === 0) return;
  if (stage + 1 < flow.stages.length) return enter(flow, group, stage + 1, now);
  countDone(group, flow.totals, stage);
}
