/** A child's record as `lua/apply.lua` and `lua/enrol.lua` write it. */
import type { ChildRecord } from '#domain/record.ts';
import { type ReportedStatus, ReleaseStatus, StageStatus } from '#domain/status.ts';

export type StoredRecord = ChildRecord & {
  status: ReleaseStatus;
  location: string;
  epoch: number;
  /** Milliseconds of its last message, 0 = none. */
  lastMessage: number;
};

/** The fields of the hash as `HGETALL` gives them; null where there is no record. */
export function parseRecord(hash: Record<string, string>): StoredRecord | null {
  const { r, l, t, e, s, f, x } = hash;
  if (r === undefined || s === undefined || f === undefined) return null;
  const attempt = Number(t);
  return {
    attempt,
    status: Number(r) as ReleaseStatus,
    location: l ?? '',
    epoch: Number(e),
    lastMessage: Number(x ?? 0),
    downloaded: Number(r) >= ReleaseStatus.Doing,
    stages: [...s].map((digit, i) => ({
      status: Number(digit) as StageStatus,
      final: Number(f[i]) as StageStatus,
      kept: parseKept(hash[`${attempt}:${i}`]),
    })),
  };
}

function parseKept(packed: string | undefined): ChildRecord['stages'][number]['kept'] {
  const match = /^(\d+) (\d+) (\S+) (-?\d+) (\S*) (.*)$/.exec(packed ?? '');
  if (match === null) return null;
  const [, status, at, digest = '', next, counters = '', summary = ''] = match;
  return {
    status: Number(status) as ReportedStatus,
    at: Number(at),
    digest,
    next: Number(next) < 0 ? null : Number(next),
    counters: counters === '' ? [] : counters.split(','),
    summary,
  };
}
