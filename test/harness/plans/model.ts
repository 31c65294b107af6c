/**
 * A fleet child by child, as plain as can be: what each does second by second, and every count by counting. It shares
 * nothing with shared/simulation, so that each checks the other, and recounts what `decide` is held against.
 */
import type { OpenLocation, Rollout } from '#domain/rollout/rollout.ts';
import type { Snapshot } from '#domain/scheduling/snapshot.ts';
import { type Child, isUnderway } from './model/child.ts';
import { act, flag, isGateOpen } from './model/course.ts';
import { assign, assignAll, enrol } from './model/enrolment.ts';
import { snapshotOf } from './model/snapshot.ts';
import { addChild, type FleetOptions, type FleetState, gatesIn, membersOf, newState, toCome } from './model/state.ts';

export type Fleet = ReturnType<typeof createFleet>;

export function createFleet(options: FleetOptions) {
  const state = newState(options);
  const { children, isDirect, isPaced, byTurns, byCohorts } = state;
  return {
    children,
    isDirect,
    isPaced,
    byTurns,
    byCohorts,
    isUnderway,
    isGateOpen: (child: Child, stage: number): boolean => isGateOpen(state, child, stage),
    toCome: (location: string): Child[] => toCome(state, location),
    membersOf: (location: string): Child[] => membersOf(state, location),
    /** In their order. */
    order: (): readonly string[] => state.order,
    isAssigned: (): boolean => state.isAssigned,
    gatesIn: (after: Rollout, location: OpenLocation): readonly number[] => gatesIn(state, after, location),
    snapshot: (): Snapshot => snapshotOf(state),

    /** One second of the fleet's life, up to `time`. True: something happened. */
    live(time: number): boolean {
      const before = traces(children);
      state.now = time;
      state.scripts.forEach(({ joinsAt }, i) => {
        if (joinsAt > 0 && joinsAt * 1000 === time) join(state, i);
      });
      for (const child of children) act(state, child);
      for (const child of children) flag(state, child);
      return before !== traces(children);
    },

    /** Children see gates and offers as they are in it. */
    see(after: Rollout): void {
      const before = state.rollout?.open ?? [];
      const seen = before.map((location) => ({ id: location.id, gates: gatesIn(state, after, location) }));
      state.rollout = after;
      for (const { id, gates } of [...seen, ...after.open, ...after.withdrawn])
        state.gates.set(id, new Set([...(state.gates.get(id) ?? []), ...gates]));
    },

    perform({ effects }: Rollout, atMost: number): void {
      for (const effect of effects) {
        if (effect.kind === 'assign') assignAll(state);
        else if (effect.kind === 'enrol') enrol(state, { ...effect, atMost });
        else {
          const location = effect.location ?? '';
          if (!state.compensated.has(location)) state.compensated.set(location, state.now);
        }
      }
    },
  };
}

function join(state: FleetState, i: number): void {
  const { isDirect, isEnrolmentComplete, isAssigned, plan } = state;
  const child = addChild(state, i);
  // Whoever is there before that is found with the others.
  if (isDirect ? !isEnrolmentComplete : !isAssigned) return;
  if (!isDirect && plan.lateJoiners === 'join') assign(state, child);
  else child.isOut = true;
}

/** How far everyone is. */
const traces = (children: readonly Child[]): string =>
  children
    .map(({ stage, statuses, ended, lost, overdue }) => `${stage}${statuses.join('')}${ended}${lost}${overdue}`)
    .join();
