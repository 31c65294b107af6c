/** A child of a fleet: what it's going to do, and how far it is. */
import { StageStatus } from '#domain/child/status.ts';

export type StageScript = {
  does: 'succeeds' | 'fails' | 'fails and goes on' | 'ends early' | 'falls silent';
  seconds: number;
  /** What it measures; a median of -1: no calls. */
  median: number;
  errors: number;
};

export type ChildScript = {
  home: number;
  stages: StageScript[];
  /** Seconds after the start; 0: it's there. */
  joinsAt: number;
  leavesAt: number | null;
  /** A child that fell silent is back after so many seconds, and has succeeded. */
  returnsAfter: number | null;
};

export type Child = {
  id: string;
  script: ChildScript;
  /** It joined when nobody more was to get the release. */
  isOut: boolean;
  /** The id of the location that it belongs to; null where that isn't known yet. */
  location: string | null;
  late: boolean;
  enrolledAt: number | null;
  downloaded: boolean;
  stage: number;
  statuses: StageStatus[];
  ended: 'Done' | 'Failed' | null;
  lost: boolean;
  overdue: boolean;
  ejected: boolean;
  seenAt: number;
  stageSince: number;
};

export const newChild = (id: string, script: ChildScript, stages: number, now: number): Child => ({
  id,
  script,
  isOut: false,
  location: null,
  late: false,
  enrolledAt: null,
  downloaded: false,
  stage: -1,
  statuses: Array.from({ length: stages }, () => StageStatus.Pending),
  ended: null,
  lost: false,
  overdue: false,
  ejected: false,
  seenAt: now,
  stageSince: 0,
});

export const isUnderway = ({ enrolledAt, ended, ejected }: Child): boolean =>
  enrolledAt !== null && ended === null && !ejected;
