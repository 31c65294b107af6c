/**
 * What the manager itself makes of a child in a release. Statuses are what children report; flags are never reported and
 * never joined. Several may hold at once: a record keeps their sum.
 */
export const FLAG = {
  /** Silent for longer than the plan allows, or polling although it has the release. */
  lost: 1,
  /** InProgress in a stage for longer than the plan allows. */
  overdue: 2,
  /** Ejected from the release by an operator. */
  ejected: 4,
} as const;

/** Sums of flags run from 0 to one below this. */
export const FLAG_SUMS = 8;

export const hasFlag = (flags: number, flag: number): boolean => (flags & flag) > 0;
