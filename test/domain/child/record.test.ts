import { progressRank, rankRange } from '#domain/child/progress.ts';
import { contributionOf, foldContributions } from '#domain/counts/contribution.ts';
import { inRelease } from '#domain/counts/counts.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  applyDownload,
  applyReport,
  type ChildRecord,
  currentStage,
  enrolledRecord,
  releaseStatusOf,
} from '#domain/child/record.ts';
import { type AcceptedReport, CURRENT_STAGE, FOLLOWING, NO_NEXT } from '#domain/child/report.ts';
import { ReleaseStatus, type ReportedStatus, STAGE_STATUSES, StageStatus } from '#domain/child/status.ts';
import { packNumbers } from '#domain/child/summary.ts';
import { fresh, namedReports, shuffledWithRepeats } from '#test/harness/plans/arbitraries.ts';

const { SuccessWaiting, Completed, Failure, Error: Err } = StageStatus;

const NO_CALLS = packNumbers([...Array.from({ length: 9 }, () => -1), 0, 0]);

function report(stage: number, status: ReportedStatus, next: number, at = 1): AcceptedReport {
  const digest = [stage, status, next, at].map((n) => (n & 0xfff).toString(16).padStart(3, '0')).join('');
  return { stage, status, next, at, digest, summary: NO_CALLS };
}
const applyAll = (reports: readonly AcceptedReport[], from = fresh()): ChildRecord => reports.reduce(applyReport, from);
const statuses = (record: ChildRecord): string => record.stages.map((s) => STAGE_STATUSES[s.status]).join(' ');

describe('a child in a release', () => {
  it.each<[string, AcceptedReport[], string, keyof typeof ReleaseStatus]>([
    ['Completed naming a next stage starts it', [report(0, Completed, 1)], 'Completed InProgress Pending', 'Doing'],
    ['SuccessWaiting starts nothing', [report(0, SuccessWaiting, 1)], 'SuccessWaiting Pending Pending', 'Doing'],
    ['Failure naming a stage goes on', [report(0, Failure, 2)], 'Failure Pending InProgress', 'Doing'],
    ['Failure without a next stage fails', [report(0, Failure, NO_NEXT)], 'Failure Pending Pending', 'Failed'],
    ['Error without a next stage fails', [report(0, Err, NO_NEXT)], 'Error Pending Pending', 'Failed'],
    ['Completed without a next stage is Done', [report(0, Completed, NO_NEXT)], 'Completed Pending Pending', 'Done'],
    ['a stage still Pending takes its result', [report(2, Completed, NO_NEXT)], 'InProgress Pending Completed', 'Done'],
    [
      'SuccessWaiting after Completed changes nothing',
      [report(0, Completed, 1), report(0, SuccessWaiting, 1, 2)],
      'Completed InProgress Pending',
      'Doing',
    ],
    [
      'later stages after the end change no status of the release',
      [report(0, Failure, NO_NEXT), report(1, Completed, NO_NEXT)],
      'Failure Completed Pending',
      'Failed',
    ],
  ])('%s', (_, reports, stages, status) => {
    const record = applyAll(reports);
    expect(statuses(record)).toBe(stages);
    expect(releaseStatusOf(record)).toBe(ReleaseStatus[status]);
  });

  it('is Doing with its first stage InProgress after the download, however often it downloads', () => {
    const once = applyDownload(fresh());
    expect(statuses(once)).toBe('InProgress Pending Pending');
    expect(releaseStatusOf(once)).toBe(ReleaseStatus.Doing);
    expect(applyDownload(once)).toEqual(once);
    const later = applyAll([report(0, Completed, 1)]);
    expect(applyDownload(later)).toEqual(later);
  });

  it('counts nothing for what an agent reports behind its end', () => {
    const ended = applyAll([report(0, Failure, NO_NEXT)]);
    expect(contributionOf(applyAll([report(1, SuccessWaiting, 2), report(1, Completed, NO_NEXT)], ended))).toEqual(
      contributionOf(ended),
    );
  });
});

describe('a result that names no stage', () => {
  it('binds two in a row to consecutive stages', () => {
    const record = applyAll([report(CURRENT_STAGE, Completed, 1), report(CURRENT_STAGE, Completed, 2)]);
    expect(statuses(record)).toBe('Completed Completed InProgress');
  });

  it('repeats the stage before when its next stage is the current one', () => {
    const record = applyAll([report(CURRENT_STAGE, Completed, 1), report(CURRENT_STAGE, Completed, 1, 2)]);
    expect(statuses(record)).toBe('Completed InProgress Pending');
  });

  it('binds a preliminary and a final result to the same stage', () => {
    const record = applyAll([report(CURRENT_STAGE, SuccessWaiting, 1), report(CURRENT_STAGE, Completed, 1)]);
    expect(statuses(record)).toBe('Completed InProgress Pending');
  });

  it('is about the same stages when the whole request is applied again', () => {
    const request = [report(CURRENT_STAGE, Completed, 1), report(CURRENT_STAGE, Completed, 2)];
    const once = applyAll(request);
    expect(statuses(applyAll(request, once))).toBe(statuses(once));
  });

  it('leads to the following stage in file order where it says so', () => {
    expect(
      statuses(applyAll([report(CURRENT_STAGE, Completed, FOLLOWING), report(CURRENT_STAGE, Completed, 2, 2)])),
    ).toBe('Completed Completed InProgress');
  });

  it('repeats the last stage after the end', () => {
    const ended = applyAll([report(CURRENT_STAGE, Completed, 1), report(CURRENT_STAGE, Completed, NO_NEXT)]);
    expect(releaseStatusOf(ended)).toBe(ReleaseStatus.Done);
    const again = applyReport(ended, report(CURRENT_STAGE, Completed, NO_NEXT, 2));
    expect(statuses(again)).toBe(statuses(ended));
    expect(releaseStatusOf(again)).toBe(ReleaseStatus.Done);
  });
});

describe('law 2: results commute', () => {
  it('gives one record for every order and number of the same reports', () => {
    fc.assert(
      fc.property(
        namedReports.chain((reports) => fc.tuple(fc.constant(reports), shuffledWithRepeats(reports))),
        ([reports, shuffled]) => {
          expect(applyAll(shuffled)).toEqual(applyAll(reports));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('never takes a status back', () => {
    fc.assert(
      fc.property(namedReports, (reports) => {
        let record = fresh();
        for (const each of reports) {
          const next = applyReport(record, each);
          next.stages.forEach((stage, i) => expect(stage.status).toBeGreaterThanOrEqual(record.stages[i]?.status ?? 0));
          record = next;
        }
      }),
    );
  });
});

describe('law 3: counts equal the fold', () => {
  it('keeps the count of children through any course', () => {
    fc.assert(
      fc.property(fc.array(namedReports, { maxLength: 6 }), (fleet) => {
        const records = fleet.map((reports) => applyAll(reports));
        const counts = foldContributions(records);
        const { Todo, Doing, Done, Failed } = ReleaseStatus;
        const byStatus = [Todo, Doing, Done, Failed].reduce((sum, status) => sum + inRelease(counts, status), 0);
        expect(byStatus).toBe(records.length);
        expect(counts.enrolled).toBe(records.length);
      }),
    );
  });
});

describe('how far a child is', () => {
  it('ranks by stage and status, and ends above every stage', () => {
    const course = [
      enrolledRecord(3),
      applyDownload(fresh()),
      applyAll([report(0, SuccessWaiting, 1)]),
      applyAll([report(0, Completed, 1)]),
      applyAll([report(0, Completed, 1), report(1, Completed, 2)]),
      applyAll([report(0, Completed, NO_NEXT)]),
      applyAll([report(0, Failure, NO_NEXT)]),
    ];
    const ranks = course.map(progressRank);
    expect(ranks).toEqual([...ranks].sort((a, b) => a - b));
    expect(new Set(ranks).size).toBe(ranks.length);
    for (const record of course) {
      const [from, to] = rankRange(releaseStatusOf(record));
      expect(progressRank(record)).toBeGreaterThanOrEqual(from);
      expect(progressRank(record)).toBeLessThanOrEqual(to);
    }
  });

  it('has no current stage after the end', () => {
    expect(currentStage(applyAll([report(0, Completed, NO_NEXT)]))).toBe(-1);
  });
});
