/** What a child reported about one stage, in the one form that the queue, the record and Lua share. */
import type { ReportedStatus } from './status.ts';

/** The stage of a report that names none: it is about the child's current one. */
export const CURRENT_STAGE = -1;
/** The next stage of a report after which none follows (`rollout`, `rollback`, nothing). */
export const NO_NEXT = -1;
/** The next stage of a report that names none, but has another report behind it in its request: the one in file order. */
export const FOLLOWING = -2;

export type StageReport = {
  /** Index of the stage in file order, or CURRENT_STAGE. */
  stage: number;
  status: ReportedStatus;
  /** Index of the stage that the child runs next, NO_NEXT, or FOLLOWING. */
  next: number;
  /** Twelve lower-case hex digits over the summary and its next stage. They break ties, so that any order keeps the same summary. */
  digest: string;
  /** The summary, packed (see summary.ts). */
  summary: string;
};

/** With the time at which the manager accepted it: milliseconds of Redis' clock. */
export type AcceptedReport = StageReport & { at: number };
