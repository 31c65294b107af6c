/**
 * A result as the reference agent spells it, one stage by its name, checked without a schema: what nearly every result is.
 * It takes a tenth of the time. Null for anything else, right or wrong: the schema in child.ts decides on that, and a
 * property test holds the two against each other.
 */
import { CHILD_ID, RELEASE_ID } from '#domain/ids.ts';
import { REPORTED, type ReportedStatus } from '#domain/child/status.ts';
import type { Times } from '#domain/child/summary.ts';
import type { ChildResult } from './requests.ts';
import { isObject, parseObject } from './plain.ts';

/** JSON's `1e999` is read as Infinity, which is no number that a child may send. */
const isNumber = (value: unknown): value is number => Number.isFinite(value);
const isRate = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value <= 1;

/** Where both spellings of a key are there, one of them perhaps behind escapes, the schema has to say which counts. */
const OTHER_SPELLING = /"(?:[A-Z][A-Za-z0-9]*|__proto__)"\s*:|\\u/;

export function plainResult(text: string): ChildResult | null {
  if (OTHER_SPELLING.test(text)) return null;
  const body = parseObject(text);
  if (body === null) return null;
  const { id, release_id: release, next_stage: next, stage_summaries: summaries } = body;
  if (typeof id !== 'string' || !CHILD_ID.test(id)) return null;
  if (typeof release !== 'string' || !RELEASE_ID.test(release)) return null;
  if (typeof next !== 'string' || !Array.isArray(summaries) || summaries.length !== 1) return null;
  const report = plainReport(summaries[0], next);
  return report === null ? null : { id, release, reports: [report] };
}

function plainReport(summary: unknown, next: string): ChildResult['reports'][number] | null {
  if (!isObject(summary) || summary['next_stage'] !== undefined) return null;
  const { stage_name: stage, status, f1_err_rate: f1ErrRate, f2_err_rate: f2ErrRate } = summary;
  if (typeof stage !== 'string' || stage === '') return null;
  if (typeof status !== 'number' || !(REPORTED as readonly number[]).includes(status)) return null;
  const proxy = plainTimes(summary['proxy_times']);
  const f1 = plainTimes(summary['f1_times_summary']);
  const f2 = plainTimes(summary['f2_times_summary']);
  if (proxy === null || f1 === null || f2 === null || !isRate(f1ErrRate) || !isRate(f2ErrRate)) return null;
  return {
    stage,
    status: status as ReportedStatus,
    next,
    nextField: 'next_stage',
    summary: { proxy, f1, f2, f1ErrRate, f2ErrRate },
  };
}

function plainTimes(times: unknown): Times | null {
  if (!isObject(times)) return null;
  const { median, minimum, maximum } = times;
  return isNumber(median) && isNumber(minimum) && isNumber(maximum) ? { median, minimum, maximum } : null;
}
