/**
 * One child's course through one release: a join (least upper bound) of all that it ever reported in its attempt.
 * Applying reports in any order, any number of times, gives the same record. `lua/children/apply-results.lua` does the same
 * to the hash in Redis; a property test holds the two against each other.
 */
import { FLAG } from './flags.ts';
import { progressRank } from './progress.ts';
import { type AcceptedReport, CURRENT_STAGE, FOLLOWING, NO_NEXT } from './report.ts';
import { hasEnded, ReleaseStatus, type ReportedStatus, StageStatus } from './status.ts';

type KeptReport = Pick<AcceptedReport, 'at' | 'digest' | 'summary' | 'next'> & { status: ReportedStatus };

export type StageRecord = {
  /** The greatest status of all: Pending, InProgress (reached), or a reported one. */
  status: StageStatus;
  /** The greatest status reported for it together with "no next stage"; 0 = none: the release didn't end here. */
  final: StageStatus;
  kept: KeptReport | null;
};

export type ChildRecord = {
  attempt: number;
  downloaded: boolean;
  stages: readonly StageRecord[];
  /** The manager's own flags: a sum of `FLAG`. They are never joined. */
  flags: number;
  /** An operator has let the child through the gates of the stages before this one; 0: of none. */
  promotedUpTo: number;
};

export function enrolledRecord(stageCount: number, attempt = 1): ChildRecord {
  const stage: StageRecord = { status: StageStatus.Pending, final: 0, kept: null };
  const stages = Array.from({ length: stageCount }, () => stage);
  return { attempt, downloaded: false, stages, flags: 0, promotedUpTo: 0 };
}

/** Index of the stage with which the release ended for the child, or -1 while it is underway. */
export function endedAt(record: Pick<ChildRecord, 'stages'>): number {
  // The earliest in file order, so that what an agent reports about later stages afterwards changes nothing.
  return record.stages.findIndex((stage) => stage.final > 0);
}

export function releaseStatusOf(record: Pick<ChildRecord, 'stages' | 'downloaded'>): ReleaseStatus {
  const end = record.stages[endedAt(record)];
  if (end !== undefined) return end.final === StageStatus.Completed ? ReleaseStatus.Done : ReleaseStatus.Failed;
  return record.downloaded ? ReleaseStatus.Doing : ReleaseStatus.Todo;
}

/** The stage that the child is in (agents run in file order, so the last one reached), or -1. */
export function currentStage(record: Pick<ChildRecord, 'stages'>): number {
  if (endedAt(record) >= 0) return -1;
  return record.stages.findLastIndex(
    (stage) => stage.status > StageStatus.Pending && stage.status < StageStatus.Completed,
  );
}

/** A download, or anything that proves one: at least Doing, the first stage at least InProgress. */
export const applyDownload = (record: ChildRecord): ChildRecord => clearFlags(record, downloaded(record));

const downloaded = (record: ChildRecord): ChildRecord => ({
  ...record,
  downloaded: true,
  stages: raise(record.stages, 0, StageStatus.InProgress),
});

/** The reports of one request, in their order. */
export function applyReports(before: ChildRecord, reports: readonly AcceptedReport[]): ChildRecord {
  const request = { before, bound: new Set<number>() };
  return clearFlags(
    before,
    reports.reduce((record, report) => applyOne(record, report, request), before),
  );
}

/** A child that says something is not lost. A child that makes progress is no longer overdue. An ejected child stays ejected. */
export function clearFlags(before: ChildRecord, after: ChildRecord): ChildRecord {
  const gotOn = progressRank(after) > progressRank(before);
  const flags = after.flags & ~(gotOn ? FLAG.lost | FLAG.overdue : FLAG.lost);
  return flags === after.flags ? after : { ...after, flags };
}

export const applyReport = (before: ChildRecord, report: AcceptedReport): ChildRecord => applyReports(before, [report]);

/** The record as it was before a request, and the stages that its reports so far were about. */
type Request = { before: ChildRecord; bound: Set<number> };

function applyOne(before: ChildRecord, report: AcceptedReport, request: Request): ChildRecord {
  const record = downloaded(before);
  const index = report.stage === CURRENT_STAGE ? bindUnnamed(record, report, request) : report.stage;
  const old = record.stages[index];
  const next = report.next === FOLLOWING ? followingStage(record, index) : report.next;
  // Stages that the release doesn't have: only the download is proved.
  if (old === undefined || (next !== NO_NEXT && record.stages[next] === undefined)) return record;
  request.bound.add(index);
  const ended = hasEnded(report.status);
  const joined: StageRecord = {
    status: max(old.status, report.status),
    final: ended && next === NO_NEXT ? max(old.final, report.status) : old.final,
    kept: old.kept === null || outranks(report, old.kept) ? keep(report, next) : old.kept,
  };
  const stages = record.stages.with(index, joined);
  return {
    ...record,
    stages: ended && next !== NO_NEXT ? raise(stages, next, StageStatus.InProgress) : stages,
  };
}

/**
 * The stage that a report without a name is about: the child's current one. A report whose next stage is already the
 * current one repeats the stage before; one that comes after the end repeats the last.
 */
function bindUnnamed(record: ChildRecord, report: AcceptedReport, request: Request): number {
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

const sameWords = (kept: KeptReport, report: AcceptedReport): boolean =>
  kept.status === report.status && kept.digest === report.digest;

const max = (a: StageStatus, b: StageStatus): StageStatus => (a > b ? a : b);

function outranks(report: AcceptedReport, kept: KeptReport): boolean {
  if (report.status !== kept.status) return report.status > kept.status;
  if (report.at !== kept.at) return report.at > kept.at;
  return report.digest > kept.digest;
}

const followingStage = (record: ChildRecord, index: number): number =>
  index + 1 < record.stages.length ? index + 1 : NO_NEXT;

const keep = ({ status, at, digest, summary }: AcceptedReport, next: number): KeptReport => ({
  status,
  next,
  at,
  digest,
  summary,
});

function raise(stages: readonly StageRecord[], index: number, to: StageStatus): readonly StageRecord[] {
  const stage = stages[index];
  return stage === undefined || stage.status >= to ? stages : stages.with(index, { ...stage, status: to });
}
