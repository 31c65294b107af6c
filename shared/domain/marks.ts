/** The manager's own marks on a child in a release. Statuses are what children report; these are what we make of it. */
export const MARK = {
  /** Silent for longer than the plan allows, or polling although it has the release. */
  lost: 1,
  /** InProgress in a stage for longer than the plan allows. */
  overdue: 2,
  /** Taken out of the release by an operator. */
  ejected: 4,
} as const;
