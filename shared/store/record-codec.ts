/**
 * A child's record as the Lua files write it, in fields of the child's own hash. The head, under the release's tag, is text:
 * `status attempt epoch last-message statuses finals marks+8*hand membership`, statuses and finals a digit per stage; the
 * membership is the rest of it, as it may hold spaces (see `membershipToken`). Under `<tag>.<attempt>.<stage>` the kept
 * report of a stage is binary: status (1 byte), next stage + 1 (1), accepted-at in ms (6, big-endian), digest (6), and its
 * summary as eleven floats (44, little-endian).
 */
import type { ChildRecord } from '#domain/record.ts';
import { parseMembership } from '#domain/membership.ts';
import { type ReportedStatus, ReleaseStatus, StageStatus } from '#domain/status.ts';
import { packNumbers } from '#domain/summary.ts';

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
  /** The manager's own marks: a sum of `MARK`. */
  marks: number;
  /** The stages before this one were ended by an operator's hand; 0: none. */
  hand: number;
  /** Where it was enrolled, as it stands in the record. */
  membership: string;
  /** What the membership says: the location's id, its place in the order (0: the child is its own), a late joiner. */
  location: string;
  n: number;
  late: boolean;
};

type Place = Pick<RecordHead, 'membership' | 'location' | 'n' | 'late'>;

export type StoredRecord = ChildRecord & Place & Pick<RecordHead, 'status' | 'epoch' | 'lastMessage'>;

const HEAD = /^(\d) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+) (.*)$/s;
/** Marks take three bits. */
const HAND_UNIT = 8;

/** Null where there is no record. `id`: of the child, which may be its own location. */
export function parseHead(text: string | null | undefined, id: string): RecordHead | null {
  if (!text) return null;
  const parts = HEAD.exec(text);
  if (parts === null) throw new Error(`the record of child ${id} is none: "${text}"`);
  const [, status, attempt, epoch, lastMessage, statuses = '', finals = '', flags, membership = ''] = parts;
  return {
    status: Number(status) as ReleaseStatus,
    attempt: Number(attempt),
    epoch: Number(epoch),
    lastMessage: Number(lastMessage),
    statuses,
    finals,
    marks: Number(flags) % HAND_UNIT,
    hand: Math.floor(Number(flags) / HAND_UNIT),
    ...placeOf(membership, id),
  };
}

export function formatHead(head: Omit<RecordHead, 'location' | 'n' | 'late'>): string {
  const { status, attempt, epoch, lastMessage, statuses, finals, marks, hand, membership } = head;
  return [status, attempt, epoch, lastMessage, statuses, finals, marks + HAND_UNIT * hand, membership].join(' ');
}

function placeOf(membership: string, child: string): Place {
  const { id, n, late } = parseMembership(membership, child);
  return { membership, location: id, n, late };
}

/** The head of a record in which nothing has happened yet. */
export function freshHead(id: string, stages: number, epoch: number, membership: string): RecordHead {
  const zeros = '0'.repeat(stages);
  return {
    status: ReleaseStatus.Todo,
    attempt: 1,
    epoch,
    lastMessage: 0,
    statuses: zeros,
    finals: zeros,
    marks: 0,
    hand: 0,
    ...placeOf(membership, id),
  };
}

/** The fields of the kept reports of a record, stage by stage. */
export const keptFields = (tag: string, { attempt, statuses }: Pick<RecordHead, 'attempt' | 'statuses'>): string[] =>
  Array.from({ length: statuses.length }, (_, stage) => `${tag}.${attempt}.${stage}`);

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
  const next = packed.readUInt8(1) - 1;
  const numbers = Array.from({ length: (packed.length - DIGEST.end) / FLOAT_BYTES }, (_, i) =>
    packed.readFloatLE(DIGEST.end + i * FLOAT_BYTES),
  );
  return {
    status: packed.readUInt8(0) as ReportedStatus,
    next: next < 0 ? null : next,
    at: packed.readUIntBE(AT.offset, AT.bytes),
    digest: packed.toString('hex', DIGEST.start, DIGEST.end),
    summary: packNumbers(numbers),
  };
}
