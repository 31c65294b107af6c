/**
 * A child's record as `lua/apply.lua` and `lua/enrol.lua` write it, in fields of the child's own hash. The head, under the
 * release's tag, is text: `status attempt epoch last-message statuses finals location`, statuses and finals a digit per
 * stage; location '' is the child itself. Under `<tag>.<attempt>.<stage>` the kept report of a stage is binary: status
 * (1 byte), next stage + 1 (1), accepted-at in ms (6, big-endian), digest (6), and its summary as eleven floats (44,
 * little-endian).
 */
import type { ChildRecord } from '#domain/record.ts';
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
  location: string;
};

export type StoredRecord = ChildRecord & Pick<RecordHead, 'status' | 'location' | 'epoch' | 'lastMessage'>;

/** Null where there is no record. `id`: of the child, which may be its own location. */
export function parseHead(text: string | null | undefined, id: string): RecordHead | null {
  if (!text) return null;
  const [status, attempt, epoch, lastMessage, statuses = '', finals = '', location = ''] = text.split(' ');
  return {
    status: Number(status) as ReleaseStatus,
    attempt: Number(attempt),
    epoch: Number(epoch),
    lastMessage: Number(lastMessage),
    statuses,
    finals,
    location: location === '' ? id : location,
  };
}

/** The fields of the kept reports of a record, stage by stage. */
export const keptFields = (tag: string, { attempt, statuses }: Pick<RecordHead, 'attempt' | 'statuses'>): string[] =>
  Array.from({ length: statuses.length }, (_, stage) => `${tag}.${attempt}.${stage}`);

export function toRecord(head: RecordHead, kept: readonly (Buffer | null)[]): StoredRecord {
  const { status, attempt, epoch, lastMessage, statuses, finals, location } = head;
  return {
    attempt,
    status,
    location,
    epoch,
    lastMessage,
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
