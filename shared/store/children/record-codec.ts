/**
 * A child's record as the Lua files write it, in fields of the child's own hash. The head, under the release's short id, is
 * text: `status attempt epoch last-message statuses finals flags+8*promoted-up-to membership`, statuses and finals a digit per
 * stage; the membership is the rest of it, as it may hold spaces (see `membershipToken`). Under `<short id>.<attempt>.<stage>`
 * the kept report of a stage is binary: status (1 byte), next stage + 1 (1), accepted-at in ms (6, big-endian), digest (6), and
 * its summary as eleven floats (44, little-endian).
 */
import { FLAG_SUMS } from '#domain/child/flags.ts';
import type { ChildRecord } from '#domain/child/record.ts';
import { ReleaseStatus, type ReportedStatus, type StageStatus } from '#domain/child/status.ts';
import { packNumbers } from '#domain/child/summary.ts';
import { type Membership, parseMembership } from '#domain/rollout/membership.ts';

/** What the head alone says. */
export type RecordHead = {
  status: ReleaseStatus;
  attempt: number;
  epoch: number;
  /** Milliseconds of its last message while it runs the release, else 0. */
  lastMessage: number;
  /** A digit per stage. */
  statuses: string;
  /** A digit per stage: the status with which it ended the release there, or 0. */
  finals: string;
  flags: number;
  promotedUpTo: number;
  /** Where it was enrolled, as it stands in the record, and what that says. */
  token: string;
  membership: Membership;
};

export type StoredRecord = ChildRecord & Pick<RecordHead, 'status' | 'epoch' | 'lastMessage' | 'token' | 'membership'>;

const HEAD = /^(\d) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+) (.*)$/s;

/** Null where there is no record. `id`: of the child, which may be its own location. */
export function parseHead(text: string | null | undefined, id: string): RecordHead | null {
  if (!text) return null;
  const parts = HEAD.exec(text);
  if (parts === null) throw new Error(`the record of child ${id} is none: "${text}"`);
  const [, status, attempt, epoch, lastMessage, statuses = '', finals = '', packed, token = ''] = parts;
  return {
    status: Number(status) as ReleaseStatus,
    attempt: Number(attempt),
    epoch: Number(epoch),
    lastMessage: Number(lastMessage),
    statuses,
    finals,
    flags: Number(packed) % FLAG_SUMS,
    promotedUpTo: Math.floor(Number(packed) / FLAG_SUMS),
    token,
    membership: parseMembership(token, id),
  };
}

export function formatHead(head: Omit<RecordHead, 'membership'>): string {
  const { status, attempt, epoch, lastMessage, statuses, finals, flags, promotedUpTo, token } = head;
  return [status, attempt, epoch, lastMessage, statuses, finals, flags + FLAG_SUMS * promotedUpTo, token].join(' ');
}

/** The head of a record in which nothing has happened yet. */
export function freshHead(id: string, stages: number, epoch: number, token: string): RecordHead {
  const zeros = '0'.repeat(stages);
  return {
    status: ReleaseStatus.Todo,
    attempt: 1,
    epoch,
    lastMessage: 0,
    statuses: zeros,
    finals: zeros,
    flags: 0,
    promotedUpTo: 0,
    token,
    membership: parseMembership(token, id),
  };
}

/** The fields of the kept reports of a record, stage by stage. */
export const keptFields = (
  shortId: string,
  { attempt, statuses }: Pick<RecordHead, 'attempt' | 'statuses'>,
): string[] => Array.from({ length: statuses.length }, (_, stage) => `${shortId}.${attempt}.${stage}`);

export function toRecord(head: RecordHead, kept: readonly (Buffer | null)[]): StoredRecord {
  const { status, statuses, finals, ...rest } = head;
  return {
    ...rest,
    status,
    downloaded: status >= ReleaseStatus.Doing,
    stages: [...statuses].map((digit, i) => ({
      status: Number(digit) as StageStatus,
      final: Number(finals[i]) as StageStatus,
      kept: parseKept(kept[i]),
    })),
  };
}

const AT = { offset: 2, bytes: 6 } as const;
const DIGEST = { start: 8, end: 14 } as const;
const FLOAT_BYTES = 4;

function parseKept(packed: Buffer | null | undefined): ChildRecord['stages'][number]['kept'] {
  if (packed == null) return null;
  const numbers = Array.from({ length: (packed.length - DIGEST.end) / FLOAT_BYTES }, (_, i) =>
    packed.readFloatLE(DIGEST.end + i * FLOAT_BYTES),
  );
  return {
    status: packed.readUInt8(0) as ReportedStatus,
    // A byte holds no -1.
    next: packed.readUInt8(1) - 1,
    at: packed.readUIntBE(AT.offset, AT.bytes),
    digest: packed.toString('hex', DIGEST.start, DIGEST.end),
    summary: packNumbers(numbers),
  };
}
