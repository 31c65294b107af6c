/** Fields of a release's hash of counts in a partition that are no counts: what jobs note there. */
export const AGG = {
  /** How far a job has come over the fleet: a last-seen time (ms). */
  cursor: '@cursor',
  /** Children enrolled here, once the enrolment of the partition is complete (plans that enrol straight from the fleet). */
  enrolled: '@enrolled',
  /** 1 once the partition's children are assigned to locations. */
  assigned: '@assigned',
  /** Children that were silent at the start, and are not enrolled. */
  silent: '@silent',
  /** 1 where lost children are counted: messages note what that takes. */
  watchLost: '@watch_lost',
  /** 1 where children have a deadline in a stage: messages note since when they are in it. */
  watchOverdue: '@watch_overdue',
} as const;

export const isCount = (field: string): boolean => !field.startsWith('@');
