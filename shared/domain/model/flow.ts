/**
 * How cohorts of children go through a release: polled, in a stage, waiting for its end, through, out. Each step is one
 * event for a whole cohort, and changes the counts of its location and of all.
 */
import type { FailedChild } from '#domain/decide.ts';
import { MARK } from '#domain/marks.ts';
import type { Rules } from '#domain/plan.ts';
import { ReleaseStatus, StageStatus } from '#domain/status.ts';
import type { StageType } from '#domain/strategy.ts';
import type { Calendar } from './calendar.ts';
import { type Behaviour, inStageBy, type Mix, mixOf, sizeOf, sliced, withoutFailing } from './fates.ts';
import { addRefused, addTo, addWaiting, type Place } from './place.ts';

export type ModelStage = { name: string; type: StageType; minDurationMs: number };

/** Children who are in a stage and will leave it together. */
type Cohort = { place: Place; late: boolean; stage: number; mix: Mix; marks: number; isLive: boolean };

export type FlowEvent =
  | { kind: 'polls'; place: Place; late: boolean; mix: Mix }
  | { kind: 'ends'; cohort: Cohort }
  | { kind: 'mark'; cohort: Cohort; mark: number }
  | { kind: 'asks'; place: Place; late: boolean; stage: number; mix: Mix };

type FlowOptions = {
  plan: Rules;
  stages: readonly ModelStage[];
  behaviour: Behaviour;
  /** A cohort is cut into slices of at least so many children. */
  grain: number;
  calendar: Pick<Calendar<FlowEvent>, 'add'>;
  totals: Map<string, number>;
  random: () => number;
  isOffered(place: Place): boolean;
  isGateOpen(place: Place, stage: number): boolean;
  onFailure(child: FailedChild): void;
};

const MOST_SLICES = 20;

export function createFlow(options: FlowOptions) {
  const { plan, stages, behaviour, grain, calendar, totals, random, isOffered, isGateOpen, onFailure } = options;
  const { pollMs, askMs, jitter, slowFactor, returnsAfterMs } = behaviour;
  /** Places with children who weren't offered the release when they polled. */
  const refused = new Set<Place>();

  function count(place: Place, late: boolean, field: string, n: number): void {
    if (n === 0) return;
    addTo(late ? place.late : place.counts, field, n);
    addTo(totals, field, n);
  }
  const move = (place: Place, late: boolean, from: string, to: string, n: number): void => {
    count(place, late, from, -n);
    count(place, late, to, n);
  };

  /** At times spread evenly over a period, in slices. */
  function spread(mix: Mix, now: number, period: number, add: (slice: Mix, at: number) => void): void {
    const size = sizeOf(mix);
    if (size === 0) return;
    const most = period === 0 ? 1 : Math.min(MOST_SLICES, size, Math.ceil(size / grain));
    const slices = sliced(mix, most, random);
    const phase = random();
    slices.forEach((slice, i) => add(slice, now + Math.round((period * (i + phase)) / slices.length)));
  }

  function enrol(place: Place, late: boolean, location: string, n: number, now: number): void {
    count(place, late, 'n', n);
    count(place, late, `r${ReleaseStatus.Todo}`, n);
    const mix = mixOf(n, location, behaviour, stages.length, random);
    spread(mix, now, pollMs, (slice, at) => calendar.add(at, { kind: 'polls', place, late, mix: slice }));
  }

  function poll(place: Place, late: boolean, mix: Mix, now: number): void {
    if (!isOffered(place)) {
      refused.add(place);
      return addRefused(place, late, mix);
    }
    move(place, late, `r${ReleaseStatus.Todo}`, `r${ReleaseStatus.Doing}`, sizeOf(mix));
    enter(place, late, 0, mix, now);
  }

  function enter(place: Place, late: boolean, stage: number, mix: Mix, now: number): void {
    const definition = stages[stage];
    if (definition === undefined) return;
    count(place, late, `s${stage}.${StageStatus.InProgress}`, sizeOf(mix));
    const { steady, slow, silent } = inStageBy(mix, stage);
    const takes = definition.minDurationMs * (jitter === 0 ? 1 : 1 + jitter * random());
    stay(place, late, stage, steady, now, takes);
    stay(place, late, stage, slow, now, takes * slowFactor);
    const cohort = stay(place, late, stage, silent, now, returnsAfterMs);
    // In an A/B stage a child makes no request before its result: it's never taken for lost there.
    if (cohort !== null && plan.lostAfterMs !== null && definition.type === 'WaitForSignal')
      calendar.add(now + plan.lostAfterMs, { kind: 'mark', cohort, mark: MARK.lost });
  }

  function stay(
    place: Place,
    late: boolean,
    stage: number,
    mix: Mix,
    now: number,
    forMs: number | null,
  ): Cohort | null {
    if (sizeOf(mix) === 0) return null;
    const cohort: Cohort = { place, late, stage, mix, marks: 0, isLive: true };
    const ms = forMs === null ? Infinity : Math.round(forMs);
    if (ms < Infinity) calendar.add(now + ms, { kind: 'ends', cohort });
    if (plan.deadline !== null && ms > plan.deadline.afterMs)
      calendar.add(now + plan.deadline.afterMs, { kind: 'mark', cohort, mark: MARK.overdue });
    return cohort;
  }

  function mark(cohort: Cohort, marks: number): void {
    if (!cohort.isLive) return;
    const { place, late, mix } = cohort;
    if (cohort.marks > 0) count(place, late, `m${cohort.marks}`, -sizeOf(mix));
    if (marks > 0) count(place, late, `m${marks}`, sizeOf(mix));
    cohort.marks = marks;
  }

  /** The stage is over for them: they have failed in it, wait for its end, or go on. */
  function end(cohort: Cohort, now: number): void {
    const { place, late, stage } = cohort;
    mark(cohort, 0);
    cohort.isLive = false;
    const { failing, rest } = withoutFailing(cohort.mix, stage);
    const inProgress = `s${stage}.${StageStatus.InProgress}`;
    move(place, late, inProgress, `s${stage}.${StageStatus.Failure}`, failing);
    move(place, late, `r${ReleaseStatus.Doing}`, `r${ReleaseStatus.Failed}`, failing);
    if (failing > 0 && place.failed === null) {
      place.failed = { child: nameIn(place), stage, status: StageStatus.Failure };
      onFailure(place.failed);
    }
    if (stages[stage]?.type === 'WaitForSignal') {
      move(place, late, inProgress, `s${stage}.${StageStatus.SuccessWaiting}`, sizeOf(rest));
      wait(place, late, stage, rest, now);
    } else {
      move(place, late, inProgress, `s${stage}.${StageStatus.Completed}`, sizeOf(rest));
      goOn(place, late, stage, rest, now);
    }
  }

  const nameIn = ({ id, n, counts }: Place): string =>
    n === 0 ? id : `${id}-${1 + Math.floor(random() * (counts.get('n') ?? 1))}`;

  function wait(place: Place, late: boolean, stage: number, mix: Mix, now: number): void {
    if (sizeOf(mix) === 0) return;
    if (!isGateOpen(place, stage)) return addWaiting(place, stage, late, mix);
    calendar.add(now + Math.round(askMs * random()), { kind: 'asks', place, late, stage, mix });
  }

  function ask(place: Place, late: boolean, stage: number, mix: Mix, now: number): void {
    if (!isGateOpen(place, stage)) return addWaiting(place, stage, late, mix);
    const waiting = `s${stage}.${StageStatus.SuccessWaiting}`;
    move(place, late, waiting, `s${stage}.${StageStatus.Completed}`, sizeOf(mix));
    goOn(place, late, stage, mix, now);
  }

  function goOn(place: Place, late: boolean, stage: number, mix: Mix, now: number): void {
    if (sizeOf(mix) === 0) return;
    if (stage + 1 < stages.length) return enter(place, late, stage + 1, mix, now);
    move(place, late, `r${ReleaseStatus.Doing}`, `r${ReleaseStatus.Done}`, sizeOf(mix));
    count(place, late, `d${stage}`, sizeOf(mix));
  }

  /** Both mixes go on, each slice at its own time within the period. */
  function goOnIn(
    mixes: { own: Mix; late: Mix },
    period: number,
    now: number,
    event: (mix: Mix, late: boolean) => FlowEvent,
  ): void {
    for (const late of [false, true])
      spread(late ? mixes.late : mixes.own, now, period, (slice, at) => calendar.add(at, event(slice, late)));
  }

  return {
    enrol,

    /** Those who wait for a gate that is open now go on. */
    lookAtGates(place: Place, now: number): void {
      for (const [stage, waiting] of place.waiting) {
        if (!isGateOpen(place, stage)) continue;
        place.waiting.delete(stage);
        goOnIn(waiting, askMs, now, (mix, late) => ({ kind: 'asks', place, late, stage, mix }));
      }
    },

    /** Those who weren't offered the release poll again, where the offer stands now. */
    lookAtOffers(now: number): void {
      for (const place of refused) {
        const again = place.refused;
        if (again === null || !isOffered(place)) continue;
        refused.delete(place);
        place.refused = null;
        goOnIn(again, pollMs, now, (mix, late) => ({ kind: 'polls', place, late, mix }));
      }
    },

    happen(event: FlowEvent, now: number): void {
      if (event.kind === 'polls') poll(event.place, event.late, event.mix, now);
      else if (event.kind === 'asks') ask(event.place, event.late, event.stage, event.mix, now);
      else if (event.kind === 'mark') mark(event.cohort, event.cohort.marks | event.mark);
      else end(event.cohort, now);
    },
  };
}
