/** A location whose turn has come: its children by status, as `decide` counts them. */
import type { FailedChild, LocationView } from '#domain/decide.ts';
import { enrolled } from '#domain/counts.ts';
import { addMix, type Mix } from './fates.ts';
import type { Pool } from './pool.ts';

type Tally = Map<string, number>;

export type Place = {
  id: string;
  /** Of its membership: 0 where the location is the child itself. */
  n: number;
  counts: Tally;
  late: Tally;
  /** Children who are still to be enrolled. */
  pool: Pool;
  /** Children who are SuccessWaiting, by stage: members and late joiners. */
  waiting: Map<number, { own: Mix; late: Mix }>;
  /** Children who have polled, and weren't offered the release. */
  refused: { own: Mix; late: Mix } | null;
  /** Open ones, as it was told last. */
  gates: readonly number[];
  failed: FailedChild | null;
  view: LocationView;
};

/** How its view says that its children are enrolled: by those still to be, or once it is marked as enrolled. */
type Enrolment = 'left' | 'marked';

export function createPlace({ id, n }: Pick<Place, 'id' | 'n'>, pool: Pool, enrolment: Enrolment): Place {
  const counts: Tally = new Map();
  const late: Tally = new Map();
  const byMark = enrolment === 'marked';
  const place: Place = {
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
        return byMark ? null : pool.left();
      },
      get enrolled() {
        return byMark && pool.left() === 0 ? enrolled(counts) : null;
      },
      get failed() {
        return place.failed;
      },
    },
  };
  return place;
}

export function addTo(tally: Tally, field: string, n: number): void {
  tally.set(field, (tally.get(field) ?? 0) + n);
}

/** Puts children who wait into a place's list; gives all of them that wait there. */
export function addWaiting(place: Place, stage: number, late: boolean, mix: Mix): void {
  const none = (): Mix => mix.map(() => 0);
  let here = place.waiting.get(stage);
  if (here === undefined) {
    here = { own: none(), late: none() };
    place.waiting.set(stage, here);
  }
  addMix(late ? here.late : here.own, mix);
}

export function addRefused(place: Place, late: boolean, mix: Mix): void {
  place.refused ??= { own: mix.map(() => 0), late: mix.map(() => 0) };
  addMix(late ? place.refused.late : place.refused.own, mix);
}
