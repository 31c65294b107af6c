/** fast-check generators, all in one place. */
import fc from 'fast-check';
import { enrolledRecord } from '#domain/child/record.ts';
import { type AcceptedReport, NO_NEXT } from '#domain/child/report.ts';
import { REPORTED } from '#domain/child/status.ts';
import { packNumbers } from '#domain/child/summary.ts';

export const STAGES = 3;

const digest = fc.integer({ min: 0, max: 15 }).map((n) => n.toString(16).repeat(12));

/** A report that names its stage. Few distinct times and digests, so that ties happen. */
export const namedReport: fc.Arbitrary<AcceptedReport> = fc
  .record({
    stage: fc.integer({ min: 0, max: STAGES - 1 }),
    status: fc.constantFrom(...REPORTED),
    next: fc.option(fc.integer({ min: 0, max: STAGES - 1 }), { nil: NO_NEXT }),
    at: fc.integer({ min: 1, max: 5 }).map((n) => 1_700_000_000_000 + n),
    digest,
  })
  .map((report) => ({
    ...report,
    // The same digest means the same bytes, hence the same summary.
    summary: packNumbers([1, 2, 3, parseInt(report.digest[0] ?? '0', 16) - 1, 5, 6, 8.24175, 7, 9, 0, 0.001]),
    digest: `${report.digest.slice(1)}${report.next === NO_NEXT ? 'f' : report.next}`,
  }));

export const namedReports = fc.array(namedReport, { minLength: 1, maxLength: 8 });

/** The same reports in another order, some of them several times. */
export const shuffledWithRepeats = <T>(items: readonly T[]): fc.Arbitrary<T[]> =>
  fc.array(fc.nat(Math.max(items.length - 1, 0)), { maxLength: items.length }).chain((repeats) => {
    const all = [...items, ...repeats.flatMap((i) => items.slice(i, i + 1))];
    return fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length });
  });

export const fresh = () => enrolledRecord(STAGES);
