/**
 * A fleet that a rollout is tried on, over virtual time: what `decide` asks for is done, and what children would report
 * becomes its next snapshot. It counts children and knows none of them, so that a million cost no more than a thousand.
 */
import { FLAG } from '#domain/child/flags.ts';
import { ReleaseStatus } from '#domain/child/status.ts';
import { flagged, inRelease, type MutableCounts, newCounts } from '#domain/counts/counts.ts';
import { ALL, type Rules } from '#domain/plan/plan.ts';
import { isByTurns, isGateOpen, offers } from '#domain/rollout/membership.ts';
import type { Effect, LocationRef, OpenLocation, Rollout } from '#domain/rollout/rollout.ts';
import type { CompensationView, FailedChild, LocationView, Snapshot } from '#domain/scheduling/snapshot.ts';
import { type Calendar, createCalendar } from './calendar.ts';
import type { Behaviour } from './fates.ts';
import { createFlow, type FlowEvent, type SimulatedStage } from './flow.ts';
import { createSimulatedLocation, type SimulatedLocation } from './location.ts';
import { createTurns, type LocationSize } from './turns.ts';

export type FleetOptions = {
  plan: Rules;
  stages: readonly SimulatedStage[];
  /** In their order. Where each child is a location, or all are one: the groups that they come in. */
  locations: readonly LocationSize[];
  behaviour: Behaviour;
  /** Children that join after the start, one after another within this time, each in any of the locations. */
  lateJoiners?: { children: number; withinMs: number };
  random: () => number;
};

type FleetEvent = FlowEvent | { kind: 'joins'; children: number } | { kind: 'back'; location: string };

/** Children of the fleet by status; `lost` are among those underway. */
export type Children = Record<'all' | 'todo' | 'doing' | 'done' | 'failed' | 'lost', number>;

/** So many groups at most for a fleet, besides one for each location. */
const GROUPS = 2_000;
/** Late joiners come in so many groups at most. */
const JOINS = 500;

type Fleet = FleetOptions & {
  turns: ReturnType<typeof createTurns>;
  flow: ReturnType<typeof createFlow>;
  calendar: Calendar<FleetEvent>;
  totals: MutableCounts;
  locationsById: Map<string, SimulatedLocation>;
  views: Map<string, LocationView>;
  compensations: Map<string, CompensationView>;
  now: number;
  ordered: boolean;
  rollout: Rollout | null;
  failed: FailedChild | null;
};

export function createFleet(options: FleetOptions) {
  const fleet = emptyFleet(options);
  scheduleLateJoiners(fleet);
  return {
    now: (): number => fleet.now,
    nextEvent: (): number => fleet.calendar.next(),

    /** All that happens until then. */
    advanceTo(time: number): void {
      while (fleet.calendar.next() <= time) {
        fleet.now = Math.max(fleet.now, fleet.calendar.next());
        const event = fleet.calendar.take();
        if (event !== undefined) happen(fleet, event);
      }
      fleet.now = Math.max(fleet.now, time);
    },

    /** Does what the rollout asks for, and lets children see how it stands. Doing it again changes nothing. */
    perform(after: Rollout): void {
      const before = fleet.rollout;
      fleet.rollout = after;
      follow(fleet, before, after);
      for (const effect of after.effects) act(fleet, effect);
    },

    /** What a tick reads now. Its counts are those of the fleet: they go on with it. */
    snapshot: (): Snapshot => snapshotOf(fleet),
    children: (): Children => childrenOf(fleet),
  };
}

function emptyFleet(options: FleetOptions): Fleet {
  const { plan, locations } = options;
  const turns = createTurns(plan, locations);
  const calendar = createCalendar<FleetEvent>();
  const totals = newCounts();
  const fleet: Omit<Fleet, 'flow'> = {
    ...options,
    turns,
    calendar,
    totals,
    locationsById: new Map(),
    views: new Map(),
    compensations: new Map(),
    now: 0,
    ordered: plan.direct,
    rollout: null,
    failed: null,
  };
  const flow = createFlow({
    ...options,
    grain: Math.max(1, Math.ceil(turns.children() / GROUPS)),
    calendar,
    totals,
    isOffered: (location) => fleet.rollout !== null && offers(fleet.rollout, fleet.rollout.epoch, location),
    isGateOpen: (location, stage) => fleet.rollout !== null && isGateOpen(fleet.rollout, location, stage, -1),
    onFailure(child) {
      fleet.failed ??= child;
    },
  });
  return Object.assign(fleet, { flow });
}

function scheduleLateJoiners({ lateJoiners, plan, calendar }: Fleet): void {
  if (lateJoiners === undefined || plan.lateJoiners !== 'join') return;
  const { children, withinMs } = lateJoiners;
  const groups = Math.min(children, JOINS);
  const joinedBy = (i: number): number => Math.floor((i * children) / groups);
  for (let i = 0; i < groups; i++)
    calendar.add(Math.round((withinMs * (i + 1)) / groups), {
      kind: 'joins',
      children: joinedBy(i + 1) - joinedBy(i),
    });
}

function locationOf({ locationsById, views, turns, plan }: Fleet, { id, n }: LocationRef): SimulatedLocation {
  const known = locationsById.get(id);
  if (known !== undefined) return known;
  const byTurns = isByTurns(plan);
  const enrolment = plan.direct || byTurns ? 'complete' : 'left';
  const location = createSimulatedLocation({ id, n: byTurns ? 0 : n }, turns.open(id), enrolment);
  locationsById.set(id, location);
  views.set(id, location.view);
  return location;
}

function enrol({ flow, locationsById, now }: Fleet, { id }: OpenLocation, upTo: number | null, late: boolean): void {
  const location = locationsById.get(id);
  if (location === undefined) return;
  const has = location.counts.enrolled + location.late.enrolled;
  for (const part of location.pool.take(upTo === null ? Infinity : Math.max(upTo - has, 0)))
    flow.enrol(location, late, { name: part.location, n: part.left }, now);
}

function act(fleet: Fleet, effect: Effect): void {
  if (effect.kind === 'assign') fleet.ordered = true;
  else if (effect.kind === 'enrol') {
    const location = fleet.rollout?.open.find(({ id }) => id === effect.location);
    // A child that belongs to it when it's known how many they are keeps its gates closed; the others come late.
    if (location !== undefined) enrol(fleet, location, effect.upTo, location.children !== null);
  } else takeBack(fleet, effect.location ?? '');
}

/** The compensating release: completed when its children have polled and gone through as many stages. */
function takeBack({ compensations, stages, behaviour, calendar, now }: Fleet, location: string): void {
  if (compensations.has(location)) return;
  compensations.set(location, { completed: false, unreached: 0, aborted: false });
  const takes = stages.reduce((sum, { minDurationMs }) => sum + minDurationMs, behaviour.pollMs);
  calendar.add(now + takes, { kind: 'back', location });
}

function isBack({ views, totals, compensations }: Fleet, location: string): void {
  const counts = location === '' ? totals : views.get(location)?.counts;
  const unreached = counts === undefined ? 0 : flagged(counts, FLAG.lost);
  compensations.set(location, { completed: true, unreached, aborted: false });
}

function join({ locations, locationsById, plan, rollout, turns, random }: Fleet, n: number): void {
  const location = locations[Math.floor(random() * locations.length)];
  if (location === undefined) return;
  const id = plan.by === 'all' ? ALL : location.id;
  const isOpen = rollout?.open.some((each) => each.id === id) ?? false;
  // A location that has completed, or was withdrawn, takes nobody more.
  if (plan.by === 'child' || isOpen || !locationsById.has(id)) turns.join(location.id, n);
}

/** Gates and offers as the rollout has them now: children that wait for one of them go on. */
function follow(fleet: Fleet, before: Rollout | null, after: Rollout): void {
  const { flow, locationsById, now } = fleet;
  const isOther = before?.state !== after.state || before.epoch !== after.epoch || before.withdrawn !== after.withdrawn;
  for (const each of after.open) {
    const location = locationOf(fleet, each);
    if (isOther || location.gates !== each.gates) flow.lookAtGates(location, now);
    location.gates = each.gates;
  }
  if (before !== null && before.open !== after.open) closeThose(fleet, before, after);
  if (isOther)
    for (const { id } of after.withdrawn) {
      const location = locationsById.get(id);
      if (location !== undefined) flow.lookAtGates(location, now);
    }
  flow.lookAtOffers(now);
}

/** Locations that have completed. Late joiners may be underway there. */
function closeThose({ flow, locationsById, views, plan, now }: Fleet, before: Rollout, after: Rollout): void {
  const stays = new Set([...after.open, ...after.withdrawn].map(({ id }) => id));
  for (const { id } of before.open) {
    const location = locationsById.get(id);
    if (location === undefined || stays.has(id)) continue;
    views.delete(id);
    flow.lookAtGates(location, now);
    if (plan.by === 'child') locationsById.delete(id);
  }
}

function happen(fleet: Fleet, event: FleetEvent): void {
  if (event.kind === 'joins') join(fleet, event.children);
  else if (event.kind === 'back') isBack(fleet, event.location);
  else fleet.flow.happen(event, fleet.now);
}

const snapshotOf = ({ totals, views, turns, rollout, ordered, failed, compensations }: Fleet): Snapshot => ({
  totals,
  locations: views,
  next: rollout === null ? [] : turns.next(rollout),
  ordered,
  order: rollout === null ? null : turns.order(rollout),
  failed,
  compensations,
  takenBack: null,
});

const childrenOf = ({ turns, totals }: Fleet): Children => ({
  all: turns.children(),
  todo: inRelease(totals, ReleaseStatus.Todo),
  doing: inRelease(totals, ReleaseStatus.Doing),
  done: inRelease(totals, ReleaseStatus.Done),
  failed: inRelease(totals, ReleaseStatus.Failed),
  lost: flagged(totals, FLAG.lost),
});
