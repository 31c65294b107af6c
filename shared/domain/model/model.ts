/**
 * A fleet that a rollout is tried on, over virtual time: what `decide` asks for is done, and what children would report
 * becomes its next snapshot. It counts children and knows none of them, so that a million cost no more than a thousand.
 */
import { inRelease, marked } from '#domain/counts.ts';
import type { CompensationView, FailedChild, LocationView, Snapshot } from '#domain/decide.ts';
import { MARK } from '#domain/marks.ts';
import { ALL, type Rules } from '#domain/plan.ts';
import { gatePassed, isByTurns, offers } from '#domain/membership.ts';
import { type Effect, type OpenLocation, type Rollout } from '#domain/rollout.ts';
import { ReleaseStatus } from '#domain/status.ts';
import { createCalendar } from './calendar.ts';
import type { Behaviour } from './fates.ts';
import { createFlow, type FlowEvent, type ModelStage } from './flow.ts';
import { createPlace, type Place } from './place.ts';
import { createTurns, type ModelLocation } from './turns.ts';

export type ModelOptions = {
  plan: Rules;
  stages: readonly ModelStage[];
  /** In their order. Where each child is a location, or all are one: the groups that they come in. */
  locations: readonly ModelLocation[];
  behaviour: Behaviour;
  /** Children that join after the start, one after another within this time, each in any of the locations. */
  lateJoiners?: { children: number; withinMs: number };
  random: () => number;
};

type ModelEvent = FlowEvent | { kind: 'joins'; children: number } | { kind: 'back'; location: string };

/** Children of the fleet by status; `lost` are among those underway. */
export type Children = Record<'all' | 'todo' | 'doing' | 'done' | 'failed' | 'lost', number>;

/** So many cohorts at most for a fleet, besides one for each location. */
const COHORTS = 2_000;
/** Late joiners come in so many groups at most. */
const JOINS = 500;

export function createModel({ plan, stages, locations, behaviour, lateJoiners, random }: ModelOptions) {
  const byTurns = isByTurns(plan);
  const turns = createTurns(plan, locations);
  const calendar = createCalendar<ModelEvent>();
  const totals = new Map<string, number>();
  const places = new Map<string, Place>();
  const views = new Map<string, LocationView>();
  const compensations = new Map<string, CompensationView>();
  let now = 0;
  let ordered = plan.direct;
  let rollout: Rollout | null = null;
  let failed: FailedChild | null = null;

  const flow = createFlow({
    plan,
    stages,
    behaviour,
    grain: Math.max(1, Math.ceil(turns.children() / COHORTS)),
    calendar,
    totals,
    random,
    isOffered: (place) => rollout !== null && offers(rollout, rollout.epoch, place),
    isGateOpen: (place, stage) => rollout !== null && gatePassed(rollout, place, stage, -1),
    onFailure(child) {
      failed ??= child;
    },
  });

  if (lateJoiners !== undefined && plan.lateJoiners === 'join') {
    const groups = Math.min(lateJoiners.children, JOINS);
    for (let i = 0; i < groups; i++)
      calendar.add(Math.round((lateJoiners.withinMs * (i + 1)) / groups), {
        kind: 'joins',
        children:
          Math.floor(((i + 1) * lateJoiners.children) / groups) - Math.floor((i * lateJoiners.children) / groups),
      });
  }

  function placeOf({ id, n }: { id: string; n: number }): Place {
    const known = places.get(id);
    if (known !== undefined) return known;
    const place = createPlace({ id, n: byTurns ? 0 : n }, turns.open(id), plan.direct || byTurns ? 'marked' : 'left');
    places.set(id, place);
    views.set(id, place.view);
    return place;
  }

  function enrol({ id }: OpenLocation, upTo: number | null, late: boolean): void {
    const place = places.get(id);
    if (place === undefined) return;
    const has = (place.counts.get('n') ?? 0) + (place.late.get('n') ?? 0);
    for (const part of place.pool.take(upTo === null ? Infinity : Math.max(upTo - has, 0)))
      flow.enrol(place, late, part.location, part.left, now);
  }

  function act(effect: Effect): void {
    if (effect.kind === 'order') ordered = true;
    else if (effect.kind === 'enrol') {
      const location = rollout?.open.find(({ id }) => id === effect.location);
      // Whoever belongs to it when it's known how many they are holds its gates; the others come late.
      if (location !== undefined) enrol(location, effect.upTo, location.children !== null);
    } else takeBack(effect.location ?? '');
  }

  /** The compensating release: through when its children have polled and gone through as many stages. */
  function takeBack(location: string): void {
    if (compensations.has(location)) return;
    compensations.set(location, { through: false, unreached: 0, aborted: false });
    const takes = stages.reduce((sum, { minDurationMs }) => sum + minDurationMs, behaviour.pollMs);
    calendar.add(now + takes, { kind: 'back', location });
  }

  function isBack(location: string): void {
    const counts = location === '' ? totals : views.get(location)?.counts;
    const unreached = counts === undefined ? 0 : marked(counts, MARK.lost);
    compensations.set(location, { through: true, unreached, aborted: false });
  }

  function join(n: number): void {
    const location = locations[Math.floor(random() * locations.length)];
    if (location === undefined) return;
    const id = plan.by === 'all' ? ALL : location.id;
    const isOpen = rollout?.open.some((each) => each.id === id) ?? false;
    // A location that is through, or was left out, takes nobody more.
    if (plan.by === 'child' || isOpen || !places.has(id)) turns.join(location.id, n);
  }

  /** Gates and offers as the rollout has them now: children who wait for one of them go on. */
  function follow(before: Rollout | null, after: Rollout): void {
    const isOther = before?.state !== after.state || before.epoch !== after.epoch || before.aside !== after.aside;
    for (const location of after.open) {
      const place = placeOf(location);
      if (isOther || place.gates !== location.gates) flow.lookAtGates(place, now);
      place.gates = location.gates;
    }
    if (before !== null && before.open !== after.open) closeThose(before, after);
    if (isOther)
      for (const { id } of after.aside) {
        const place = places.get(id);
        if (place !== undefined) flow.lookAtGates(place, now);
      }
    flow.lookAtOffers(now);
  }

  /** Places that are through. Late joiners may be underway there. */
  function closeThose(before: Rollout, after: Rollout): void {
    const stays = new Set([...after.open, ...after.aside].map(({ id }) => id));
    for (const { id } of before.open) {
      const place = places.get(id);
      if (place === undefined || stays.has(id)) continue;
      views.delete(id);
      flow.lookAtGates(place, now);
      if (plan.by === 'child') places.delete(id);
    }
  }

  function happen(event: ModelEvent): void {
    if (event.kind === 'joins') join(event.children);
    else if (event.kind === 'back') isBack(event.location);
    else flow.happen(event, now);
  }

  return {
    now: (): number => now,
    nextEvent: (): number => calendar.next(),

    /** All that happens until then. */
    advanceTo(time: number): void {
      while (calendar.next() <= time) {
        now = Math.max(now, calendar.next());
        const event = calendar.take();
        if (event !== undefined) happen(event);
      }
      now = Math.max(now, time);
    },

    /** Does what the rollout asks for, and lets children see how it stands. Doing it again changes nothing. */
    perform(after: Rollout): void {
      const before = rollout;
      rollout = after;
      follow(before, after);
      for (const effect of after.effects) act(effect);
    },

    /** What a tick reads now. Its counts are those of the model: they go on with it. */
    snapshot: (): Snapshot => ({
      totals,
      locations: views,
      next: rollout === null ? [] : turns.next(rollout),
      ordered,
      order: rollout === null ? null : turns.order(rollout),
      failed,
      compensations,
      source: null,
    }),

    children: (): Children => ({
      all: turns.children(),
      todo: inRelease(totals, ReleaseStatus.Todo),
      doing: inRelease(totals, ReleaseStatus.Doing),
      done: inRelease(totals, ReleaseStatus.Done),
      failed: inRelease(totals, ReleaseStatus.Failed),
      lost: marked(totals, MARK.lost),
    }),
  };
}
