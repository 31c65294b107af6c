/** Counts as a table of decisions names them: what isn't named is zero. */
import { FLAG } from '#domain/child/flags.ts';
import { ReleaseStatus, StageStatus } from '#domain/child/status.ts';
import { type Counts, newCounts, sketchIn, stageIn } from '#domain/counts/counts.ts';
import type { Metric } from '#domain/counts/sketch.ts';

/** Children by the name of a stage. */
type ByStage = Partial<Record<'Canary' | 'Test' | 'Gradual', number>>;

export type CountsTable = {
  enrolled?: number;
  todo?: number;
  doing?: number;
  done?: number;
  failed?: number;
  inProgress?: ByStage;
  waiting?: ByStage;
  completed?: ByStage;
  failure?: ByStage;
  error?: ByStage;
  /** Children that are Done with a stage. */
  doneWith?: ByStage;
  lost?: number;
  overdue?: number;
  lostAndOverdue?: number;
  ejected?: number;
  ejectedAndLost?: number;
  ejectedAndOverdue?: number;
  /** Children by what they measured (its bucket), by stage and metric. */
  measured?: Partial<Record<keyof ByStage, Partial<Record<Metric, Record<string, number>>>>>;
};

/** Where the stages of a table stand in the strategy: as in STAGES of tables.ts. */
const NAMES = ['Canary', 'Test', 'Gradual'] as const;

const RELEASE = {
  todo: ReleaseStatus.Todo,
  doing: ReleaseStatus.Doing,
  done: ReleaseStatus.Done,
  failed: ReleaseStatus.Failed,
};
const STAGE = {
  inProgress: StageStatus.InProgress,
  waiting: StageStatus.SuccessWaiting,
  completed: StageStatus.Completed,
  failure: StageStatus.Failure,
  error: StageStatus.Error,
};
const FLAGS = {
  lost: FLAG.lost,
  overdue: FLAG.overdue,
  lostAndOverdue: FLAG.lost + FLAG.overdue,
  ejected: FLAG.ejected,
  ejectedAndLost: FLAG.ejected + FLAG.lost,
  ejectedAndOverdue: FLAG.ejected + FLAG.overdue,
};
const keysOf = <T extends object>(of: T) => Object.keys(of) as (keyof T)[];

export function counts(table: CountsTable): Counts {
  const made = newCounts();
  made.enrolled = table.enrolled ?? 0;
  for (const name of keysOf(RELEASE)) made.byStatus[RELEASE[name]] = table[name] ?? 0;
  for (const name of keysOf(FLAGS)) made.byFlags[FLAGS[name]] = table[name] ?? 0;
  NAMES.forEach((stage, i) => {
    for (const name of keysOf(STAGE)) {
      const n = table[name]?.[stage];
      if (n !== undefined) stageIn(made, i).byStatus[STAGE[name]] = n;
    }
    const doneWith = table.doneWith?.[stage];
    if (doneWith !== undefined) stageIn(made, i).doneWith = doneWith;
    const measured = table.measured?.[stage] ?? {};
    for (const metric of keysOf(measured))
      for (const [bucket, n] of Object.entries(measured[metric] ?? {}))
        sketchIn(stageIn(made, i), metric).set(bucket, n);
  });
  return made;
}
