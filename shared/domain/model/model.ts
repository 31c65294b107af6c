/**
 * A fleet that a rollout is tried on, over virtual time: what `decide` asks for is done, and what children would report
 * becomes its next snapshot. It counts children and knows none of them, so that a million cost no more than a thousand.
 */
import { inRelease, marked } from '#domain/counts.ts';
import type { CompensationView, FailedChild, LocationView, Snapshot } from '#domain/decide.ts';
import { MARK } from '#domain/marks.ts';
import { ALL, type Rules, waveSize } from '#domain/plan.ts';
import { type Effect, gatePassed, isByCohorts, isByTurns, offers, type Rollout } from '#domain/rollout.ts';
import { ReleaseStatus } from '#domain/status.ts';
import { createCalendar } from './calendar.ts';
import type { Behaviour } from './fates.ts';
import { createFlow, type FlowEvent, type ModelStage } from './flow.ts';
import { createPlace, type Place } from './place.ts';
import { createPool, type Pool } from './pool.ts';

export type ModelLocation = { id: string; children: number };

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

export type Model = ReturnType<typeof createModel>;

/** So many cohorts at most for a fleet, besides one for each location. */
const COHORTS = 2_000;
/** Late joiners come in so many groups at most. */
const JOINS = 500;

export function createModel({ plan, stages, locations, behaviour, lateJoiners, random }: ModelOptions) {
  const byTurns = isByTurns(plan);
  const byCohorts = isByCohorts(plan);
  const isByLocation = plan.by === 'regions' || plan.by === 'grid';
  const calendar = createCalendar<ModelEvent>();
  const totals = new Map<string, number>();
  const places = new Map<string, Place>();
  const views = new Map<string, LocationView>();
  const compensations = new Map<string, CompensationView>();
  const everyone = createPool(locations);
  const pools = new Map<string, Pool>(
    isByLocation ? locations.map((location) => [location.id, createPool([location])]) : [],
  );
  let children = everyone.left();
  let now = 0;
  let ordered = plan.direct;
  let rollout: Rollout | null = null;
  let next: { of: number; size: number; items: { id: string; members: number | null }[] } | null = null;

  let failed: FailedChild | null = null;

  const flow = createFlow({
    plan,
    stages,
    behaviour,
    grain: Math.max(1, Math.ceil(children / COHORTS)),
    calendar,
    totals,
    random,
    isOffered: ({ n }) => rollout !== null && offers(rollout, rollout.epoch, n),
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
    const pool = byTurns
      ? createPool(everyone.take(1).map((part) => ({ id: part.location, children: 1 })))
      : poolOf(id);
    const place = createPlace(
      { id, n: byTurns ? 0 : n },
      { pool, latePool: createPool([]) },
      plan.direct || byTurns ? 'marked' : 'left',
    );
    places.set(id, place);
    views.set(id, place.view);
    return place;
  }
  const poolOf = (id: string): Pool => pools.get(id) ?? everyone;

  function enrol(place: Place, upTo: number | null): void {
    const has = (place.counts.get('n') ?? 0) + (place.late.get('n') ?? 0);
    let wanted = upTo === null ? Infinity : Math.max(upTo - has, 0);
    for (const late of [false, true])
      for (const part of (late ? place.latePool : place.pool).take(wanted)) {
        wanted -= part.left;
        flow.enrol(place, late, part.location, part.left, now);
      }
  }

  function act(effect: Effect): void {
    if (effect.kind === 'order') ordered = true;
    else if (effect.kind === 'enrol') {
      const place = places.get(effect.location);
      if (place !== undefined) enrol(place, effect.upTo);
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
    const index = Math.floor(random() * locations.length);
    const location = locations[index];
    if (location === undefined) return;
    children += n;
    next = null;
    if (plan.by === 'child') return everyone.add(location.id, n);
    const place = places.get(plan.by === 'all' ? ALL : location.id);
    const isOpen = rollout?.open.some(({ id }) => id === place?.id) ?? false;
    // Its turn is still to come, and it's a member like the others; or it's through, or left out, and takes nobody.
    if (place === undefined) poolOf(location.id).add(location.id, n);
    else if (isOpen) place.latePool.add(location.id, n);
  }

  function nameOf(turn: number): string {
    let before = 0;
    for (const { id, children: size } of locations) {
      if (turn < before + size) return `${id}-${turn - before + 1}`;
      before += size;
    }
    return `late-${turn - before + 1}`;
  }

  function nextOnes(): { id: string; members: number | null }[] {
    if (rollout === null) return [];
    const { started, open } = rollout;
    if (plan.direct) return open.length === 0 && started.locations === 0 ? [{ id: ALL, members: null }] : [];
    if (plan.by === 'all') return started.locations === 0 ? [{ id: ALL, members: everyone.left() }] : [];
    if (byCohorts) return everyone.left() > 0 ? [{ id: 'the next wave', members: everyone.left() }] : [];
    if (byTurns) return everyone.left() > 0 ? [{ id: nameOf(started.locations), members: 1 }] : [];
    const size = Math.max(1, waveSize(plan.waves, started, locations.length));
    if (next?.of !== started.locations || next.size !== size)
      next = {
        of: started.locations,
        size,
        items: locations
          .slice(started.locations, started.locations + size)
          .map(({ id }) => ({ id, members: poolOf(id).left() })),
      };
    return next.items;
  }

  function orderOf(): Snapshot['order'] {
    if (plan.direct) return null;
    const count = plan.by === 'child' ? children : plan.by === 'all' ? 1 : locations.length;
    const left = plan.by === 'child' ? everyone.left() : count - (rollout?.started.locations ?? 0);
    return { locations: count, children, outside: 0, left };
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
      next: nextOnes(),
      ordered,
      order: orderOf(),
      failed,
      compensations,
      source: null,
    }),

    children: (): Children => ({
      all: children,
      todo: inRelease(totals, ReleaseStatus.Todo),
      doing: inRelease(totals, ReleaseStatus.Doing),
      done: inRelease(totals, ReleaseStatus.Done),
      failed: inRelease(totals, ReleaseStatus.Failed),
      lost: marked(totals, MARK.lost),
    }),
  };
}
