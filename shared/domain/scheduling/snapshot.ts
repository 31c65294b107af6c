/** What a tick reads, and what a step of it is. */
import type { StageStatus } from '#domain/child/status.ts';
import type { Counts } from '#domain/counts/counts.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';

/** What is known of a location's children. Late joiners are counted apart: they neither keep a gate closed nor replace another. */
export type LocationCounts = { counts: Counts; late: Counts };

/** One of the children that Failed. */
export type FailedChild = { child: string; stage: number; status: StageStatus };

export type LocationView = LocationCounts & {
  /** Children that belong to it and are still to be enrolled; null where nobody was assigned beforehand. */
  left: number | null;
  /** Where nobody was: the children enrolled, once enrolment is complete in every partition. */
  enrolled: number | null;
  failed: FailedChild | null;
};

/** A location without children. */
export const emptyView = (counts: Counts): LocationView => ({
  counts,
  late: counts,
  left: null,
  enrolled: null,
  failed: null,
});

/** How far a compensating release is, as the release that it takes back sees it. */
export type CompensationView = { completed: boolean; unreached: number; aborted: boolean };

/**
 * Of the release that a compensating one takes back: children that are Done there, children that may yet be, and children
 * that wait at a closed gate.
 */
export type TakenBack = { done: number; coming: number; gated: number };

/** Locations whose turn comes next, first ones first, with their members. */
export type NextLocation = { id: string; members: number | null };

export type Snapshot = {
  /** Over all locations, completed ones too. */
  totals: Counts;
  /** Of the locations that are open or withdrawn. */
  locations: ReadonlyMap<string, LocationView>;
  /** As many as a wave may take. */
  next: readonly NextLocation[];
  /** The order of locations is known and `next` tells the truth. */
  ordered: boolean;
  /** What the order holds; null where there is none. `left`: locations (or children) whose turn is still to come. */
  order: { locations: number; children: number; outside: number; left: number } | null;
  /** One of the children that Failed, for the reason. */
  failed: FailedChild | null;
  /** By the location that is taken back, '' = the whole release. One that isn't started yet is absent. */
  compensations: ReadonlyMap<string, CompensationView>;
  /** Only for a compensating release. */
  takenBack: TakenBack | null;
  /** Why the plan can't be carried out, where that turned out only when its locations were known. */
  fault?: string;
};

/** The same object when there is nothing to change, so that an idle tick writes nothing. */
export type Step = (rollout: Rollout, snapshot: Snapshot, now: number) => Rollout;
