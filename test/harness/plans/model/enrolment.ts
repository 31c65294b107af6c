/** Which child belongs where, whose turn is next, and who is enrolled. */
import type { NextLocation } from '#domain/scheduling/snapshot.ts';
import type { Child } from './child.ts';
import { type FleetState, homeName, isThere, membersOf, openAt, toCome, toComeAtAll } from './state.ts';

/** Where a child belongs, once locations are known. */
export function assign(state: FleetState, child: Child): void {
  const { by } = state.plan.locations;
  if (by === 'child') {
    state.order.push(child.id);
    if (state.byTurns) child.location = child.id;
    return;
  }
  child.location = by === 'all' ? 'all' : homeName(child.script.home);
  // One that has completed takes nobody more.
  if (state.gates.has(child.location)) child.isOut = openAt(state, child.location) === undefined;
}

/** Everybody who is there; and locations are put in order. */
export function assignAll(state: FleetState): void {
  if (state.isAssigned) return;
  state.isAssigned = true;
  const { by } = state.plan.locations;
  if (by === 'all') state.order = ['all'];
  else if (by !== 'child') state.order = Array.from({ length: state.homes }, (_, home) => homeName(home));
  for (const child of state.children) if (isThere(state, child)) assign(state, child);
}

export type Enrolling = {
  location: string;
  upTo: number | null;
  /** So many at a time, and another time the rest. */
  atMost: number;
};

export function enrol(state: FleetState, { location: id, upTo, atMost }: Enrolling): void {
  const location = openAt(state, id);
  if (location === undefined || state.isEnrolmentComplete) return;
  const waiting = state.isDirect ? toComeAtAll(state) : toCome(state, id);
  for (const child of waiting.slice(0, atMost)) {
    if (upTo !== null && membersOf(state, id).length >= upTo) return;
    child.location = id;
    child.enrolledAt = state.now;
    // Whoever belongs to it when it's known how many they are keeps its gates closed; the others come late.
    child.late = location.children !== null;
  }
  if (state.isDirect) state.isEnrolmentComplete = waiting.length <= atMost;
}

export function nextOnes(state: FleetState): NextLocation[] {
  const { rollout, order } = state;
  if (rollout === null) return [];
  // Nothing of it is true before the order is known.
  if (!state.isAssigned) return [{ id: 'nowhere', members: 1 }];
  const { started, open, withdrawn } = rollout;
  if (state.isDirect) return started.locations === 0 ? [{ id: 'all', members: null }] : [];
  if (state.plan.locations.by === 'child') {
    const had = new Set([...open, ...withdrawn].map(({ id }) => id));
    const waiting = new Set(toComeAtAll(state).map(({ id }) => id));
    const inTurn = order.filter((id) => waiting.has(id) && !had.has(id));
    return inTurn.map((id) => ({ id, members: null }));
  }
  return order.slice(started.locations).map((id) => ({ id, members: toCome(state, id).length }));
}
