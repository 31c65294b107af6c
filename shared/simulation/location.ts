/** A location whose turn has come in a simulation: its children by status, as `decide` counts them. */
import { type MutableCounts, newCounts } from '#domain/counts/counts.ts';
import type { LocationRef } from '#domain/rollout/rollout.ts';
import type { FailedChild, LocationView } from '#domain/scheduling/snapshot.ts';
import { addMix, type Mix } from './fates.ts';
import type { Pool } from './pool.ts';

/** Children of a location: members, and late joiners. */
type Both = { own: Mix; late: Mix };

/** `n` as in a membership: 0 where the location is the child itself. */
export type SimulatedLocation = LocationRef & {
  counts: MutableCounts;
  late: MutableCounts;
  /** Children that are still to be enrolled. */
  pool: Pool;
  /** Children that are SuccessWaiting, by stage. */
  waiting: Map<number, Both>;
  /** Children that have polled, and weren't offered the release. */
  refused: Both | null;
  /** Open ones, as it was told last. */
  gates: readonly number[];
  failed: FailedChild | null;
  view: LocationView;
};

/** How its view says that its children are enrolled: by those still to be, or once its enrolment is complete. */
type Enrolment = 'left' | 'complete';

export function createSimulatedLocation({ id, n }: LocationRef, pool: Pool, enrolment: Enrolment): SimulatedLocation {
  const counts = newCounts();
  const late = newCounts();
  const isDirect = enrolment === 'complete';
  const location: SimulatedLocation = {
    id,
    n,
    counts,
    late,
    pool,
    waiting: new Map(),
    refused: null,
    gates: [],
    failed: null,
    view: {
      counts,
      late,
      get left() {
        return isDirect ? null : pool.left();
      },
      get enrolled() {
        return isDirect && pool.left() === 0 ? counts.enrolled : null;
      },
      get failed() {
        return location.failed;
      },
    },
  };
  return location;
}

/** Children with the same fate in the same location: they do everything together. */
export type Group = { location: SimulatedLocation; late: boolean; mix: Mix };

const noneLike = (mix: Mix): Both => ({ own: mix.map(() => 0), late: mix.map(() => 0) });

/** Puts children that wait at a closed gate into the list of their location. */
export function addWaiting({ location, late, mix }: Group, stage: number): void {
  let here = location.waiting.get(stage);
  if (here === undefined) {
    here = noneLike(mix);
    location.waiting.set(stage, here);
  }
  addMix(late ? here.late : here.own, mix);
}

export function addRefused({ location, late, mix }: Group): void {
  location.refused ??= noneLike(mix);
  addMix(late ? location.refused.late : location.refused.own, mix);
}
