/**
 * One child's course through one release: a join (least upper bound) of all that it ever reported in its attempt.
 * Applying reports in any order, any number of times, gives the same record. `shared/store/lua/apply.lua` does the
 * same to the hash in Redis; a property test holds the two against each other.
 */
import { MARK } from './marks.ts';
import { sketchCounters } from './sketch.ts';
import { hasEnded, ReleaseStatus, type ReportedStatus, StageStatus } from './status.ts';
import { unpackSummary } from './summary.ts';

/** What a child said about one stage, ready to be joined. */
export type Report = {
  /** Index of the stage in file order, or null for a report that names none. */
  stage: number | null;
  status: ReportedStatus;
  /**
   * Index of the stage that it runs next, or null where none follows (`rollout`, `rollback`, nothing). 'following': the
   * one after it in file order, for a report without names that has another one behind it in its request.
   */
  next: number | null | 'following';
  /** When the manager accepted it: milliseconds of Redis' clock. */
  at: number;
  /** Twelve lower-case hex digits over the summary and its next stage: breaks ties, so that the kept summary is the same in any order. */
  digest: string;
  /** The summary, packed (see summary.ts). */
  summary: string;
};

type Kept = Pick<Report, 'at' | 'digest' | 'summary'> & { status: ReportedStatus; next: number | null };

type StageRecord = {
  /** The greatest of all marks: Pending, InProgress (reached), or a reported status. */
  status: StageStatus;
  /** The greatest status reported for it together with "no next stage"; 0 = none: the release didn't end here. */
  final: StageStatus;
  kept: Kept | null;
};

export type ChildRecord = {
  attempt: number;
  downloaded: boolean;
  stages: readonly StageRecord[];
  /** The manager's own marks (a sum of `MARK`); they are never joined. */
  marks: number;
  /** The stages before this one were ended by an operator's hand for this child; 0: none. */
  hand: number;
};

export function enrolledRecord(stageCount: number, attempt = 1): ChildRecord {
  const stage: StageRecord = { status: StageStatus.Pending, final: 0, kept: null };
  return { attempt, downloaded: false, stages: Array.from({ length: stageCount }, () => stage), marks: 0, hand: 0 };
}

/** Index of the stage with which the release ended for the child, or -1 while it is underway. */
export function endedAt(record: ChildRecord): number {
  // The earliest in file order, so that what an agent reports about later stages afterwards changes nothing.
  return record.stages.findIndex((stage) => stage.final > 0);
}

export function releaseStatusOf(record: ChildRecord): ReleaseStatus {
  const end = record.stages[endedAt(record)];
  if (end !== undefined) return end.final === StageStatus.Completed ? ReleaseStatus.Done : ReleaseStatus.Failed;
  return record.downloaded ? ReleaseStatus.Doing : ReleaseStatus.Todo;
}

/** The stage that the child is in (agents run in file order, so the last one reached), or -1. */
export function currentStage(record: ChildRecord): number {
  if (endedAt(record) >= 0) return -1;
  return record.stages.findLastIndex(
    (stage) => stage.status > StageStatus.Pending && stage.status < StageStatus.Completed,
  );
}

/** A download, or anything that proves one: at least Doing, the first stage at least InProgress. */
export const applyDownload = (record: ChildRecord): ChildRecord => withoutMarks(record, downloaded(record));

const downloaded = (record: ChildRecord): ChildRecord => ({
  ...record,
  downloaded: true,
  stages: raise(record.stages, 0, StageStatus.InProgress),
});

/** The reports of one request, in their order. */
export function applyReports(before: ChildRecord, reports: readonly Report[]): ChildRecord {
  const request = { before, bound: new Set<number>() };
  return withoutMarks(
    before,
    reports.reduce((record, report) => applyOne(record, report, request), before),
  );
}

/** Whoever says something isn't lost, and whoever gets on is no longer overdue. Out of the release it stays. */
export function withoutMarks(before: ChildRecord, after: ChildRecord): ChildRecord {
  const gotOn = progressRank(after) > progressRank(before);
  const marks = after.marks & ~(gotOn ? MARK.lost | MARK.overdue : MARK.lost);
  return marks === after.marks ? after : { ...after, marks };
}

export const applyReport = (before: ChildRecord, report: Report): ChildRecord => applyReports(before, [report]);

/** The record as it was before a request, and the stages that its reports so far were about. */
type Request = { before: ChildRecord; bound: Set<number> };

function applyOne(before: ChildRecord, report: Report, request: Request): ChildRecord {
  const record = downloaded(before);
  const index = report.stage ?? bindUnnamed(record, report, request);
  const old = record.stages[index];
  const next = report.next === 'following' ? followingStage(record, index) : report.next;
  // Stages that the release doesn't have: only the download is proved.
  if (old === undefined || (next !== null && record.stages[next] === undefined)) return record;
  request.bound.add(index);
  const ended = hasEnded(report.status);
  const joined: StageRecord = {
    status: max(old.status, report.status),
    final: ended && next === null ? max(old.final, report.status) : old.final,
    kept: old.kept === null || outranks(report, old.kept) ? keep(report, next) : old.kept,
  };
  const stages = record.stages.with(index, joined);
  return {
    ...record,
    stages: ended && next !== null ? raise(stages, next, StageStatus.InProgress) : stages,
  };
}

/**
 * The stage that a report without a name is about: the child's current one. A report whose next stage is already the
 * current one repeats the stage before; one that comes after the end repeats the last.
 */
function bindUnnamed(record: ChildRecord, report: Report, request: Request): number {
  // A request that is tried again after its answer was lost says the same words: they are about the same stages.
  const repeated = request.before.stages.findLastIndex(
    ({ kept }, i) => kept !== null && !request.bound.has(i) && sameWords(kept, report),
  );
  if (repeated >= 0) return repeated;
  const current = currentStage(record);
  if (current < 0) return Math.max(endedAt(record), 0);
  if (report.next !== current) return current;
  const before = record.stages.findLastIndex(
    (stage, i) => i !== current && stage.kept?.next === current && hasEnded(stage.status),
  );
  return before >= 0 ? before : Math.max(current - 1, 0);
}

/**
 * What a child adds to the aggregate of its location, field by field. Counts ignore the stages behind the one with
 * which its release ended. Fields: `n`; `r<release status>`; `s<stage>.<status>`; `d<stage>` (Done with that stage);
 * `<stage>.<counter>` of the kept summaries.
 */
export function contributionOf(record: ChildRecord): Map<string, number> {
  const fields = new Map<string, number>([['n', 1]]);
  const add = (field: string): unknown => fields.set(field, (fields.get(field) ?? 0) + 1);
  if ((record.marks & MARK.ejected) > 0) {
    add(`m${record.marks}`);
    return fields;
  }
  const status = releaseStatusOf(record);
  const end = endedAt(record);
  if (record.marks > 0 && end < 0) add(`m${record.marks}`);
  add(`r${status}`);
  if (status === ReleaseStatus.Done) add(`d${end}`);
  record.stages.slice(0, end < 0 ? undefined : end + 1).forEach((stage, i) => {
    if (stage.status > StageStatus.Pending) add(`s${i}.${stage.status}`);
    if (stage.kept !== null)
      for (const counter of sketchCounters(unpackSummary(stage.kept.summary))) add(`${i}.${counter}`);
  });
  return fields;
}

/** What changing one record into another adds to the aggregate. Fields that stay as they are don't appear. */
export function contributionChange(before: ChildRecord, after: ChildRecord): Map<string, number> {
  const change = contributionOf(after);
  for (const [field, n] of contributionOf(before)) {
    const left = (change.get(field) ?? 0) - n;
    if (left === 0) change.delete(field);
    else change.set(field, left);
  }
  return change;
}

/** Law 3: aggregates equal the fold over all children. */
export function foldContributions(records: Iterable<ChildRecord>): Map<string, number> {
  const total = new Map<string, number>();
  for (const record of records)
    for (const [field, count] of contributionOf(record)) total.set(field, (total.get(field) ?? 0) + count);
  return total;
}

const sameWords = (kept: Kept, report: Report): boolean =>
  kept.status === report.status && kept.digest === report.digest;

const max = (a: StageStatus, b: StageStatus): StageStatus => (a > b ? a : b);

function outranks(report: Report, kept: Kept): boolean {
  if (report.status !== kept.status) return report.status > kept.status;
  if (report.at !== kept.at) return report.at > kept.at;
  return report.digest > kept.digest;
}

const followingStage = (record: ChildRecord, index: number): number | null =>
  index + 1 < record.stages.length ? index + 1 : null;

function keep({ status, at, digest, summary }: Report, next: number | null): Kept {
  return { status, next, at, digest, summary };
}

function raise(stages: readonly StageRecord[], index: number, to: StageStatus): readonly StageRecord[] {
  const stage = stages[index];
  return stage === undefined || stage.status >= to ? stages : stages.with(index, { ...stage, status: to });
}

const DONE_RANK = 1_000_000;

/**
 * How far a child has come, as one number that only grows: the index of a release is sorted by it, so that the
 * children who hold a stage, or have failed, are found without a scan. Todo 0; in stage i with status s
 * `(i + 1) * 8 + s`; Done 1,000,000; Failed 1,000,001.
 */
export function progressRank(record: ChildRecord): number {
  const status = releaseStatusOf(record);
  if (status === ReleaseStatus.Todo) return 0;
  if (status === ReleaseStatus.Doing) {
    // Between two stages (its next one had ended before) it's as far as the last that it reached.
    const current = currentStage(record);
    const last = current >= 0 ? current : record.stages.findLastIndex((stage) => stage.status > StageStatus.Pending);
    return stageRank(last, record.stages[last]?.status ?? 0);
  }
  return DONE_RANK + (status - ReleaseStatus.Done);
}

export const stageRank = (stage: number, status: StageStatus): number => (stage + 1) * 8 + status;

/** The ranks, both ends included, that children of a release status have. */
export function rankRange(status: ReleaseStatus): readonly [number, number] {
  if (status === ReleaseStatus.Todo) return [0, 0];
  if (status === ReleaseStatus.Doing) return [1, DONE_RANK - 1];
  return [DONE_RANK + (status - ReleaseStatus.Done), DONE_RANK + (status - ReleaseStatus.Done)];
}
