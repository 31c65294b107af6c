/**
 * How a message stands in a batch: a line of fields between tabs. A batch is one text, which JSON carries through BullMQ at the
 * price of copying it; objects would be built, checked and escaped field by field, on the one path that every result of the
 * fleet takes. Nothing in a message may hold a tab or a line break. The letters are those of all versions so far: a batch may
 * have been written by an older one.
 */
import type { HeartbeatMessage, IntakeMessage, JoinMessage, ResultMessage } from '#domain/child/messages.ts';
import { NO_NEXT, type StageReport } from '#domain/child/report.ts';
import { REPORTED, type ReportedStatus } from '#domain/child/status.ts';
import { CHILD_ID, RELEASE_ID } from '#domain/ids.ts';

const TAB = '\t';
const LETTERS = { join: 'j', heartbeat: 's', result: 'r' } as const;
/** As calls of `/end_stage` stand in a line. */
const ASK = 'ask';
const FIELDS_PER_REPORT = 5;

/** A message that waits in a queue knows when it was accepted, and in which attempt. */
export type QueuedMessage = JoinMessage | HeartbeatMessage | (ResultMessage & { at: number; attempt: number });

export function encodeMessage(message: QueuedMessage): string {
  const { id, at } = message;
  if (message.kind === 'join') {
    const { area, digest, childCount } = message;
    return `${LETTERS.join}\t${id}\t${at}\t${area}\t${digest}\t${childCount}`;
  }
  const { release, shortId } = message;
  if (message.kind === 'heartbeat')
    return `${LETTERS.heartbeat}\t${id}\t${at}\t${release}\t${shortId}\t${message.by === 'poll' ? 'poll' : ASK}`;
  let line = `${LETTERS.result}\t${id}\t${at}\t${release}\t${shortId}\t${message.attempt}`;
  for (const { stage, status, next, digest, summary } of message.reports)
    line += `\t${stage}\t${status}\t${next}\t${digest}\t${summary}`;
  return line;
}

const PACKED = /^[A-Za-z0-9_-]*$/;
const SHORT_ID = /^\d+$/;
const DIGEST = /^[0-9a-f]{12}$/;
const SUMMARY = /^[-+\d.e]+(?:,[-+\d.e]+){10}$/;
const isWhole = (text: string | undefined): boolean => text !== undefined && /^\d{1,16}$/.test(text);

/** Null for a line that is no message: it must not take its batch with it. */
export function decodeMessage(line: string): IntakeMessage | null {
  const fields = line.split(TAB);
  const [letter, id = '', at] = fields;
  if (!CHILD_ID.test(id) || !isWhole(at)) return null;
  if (letter === LETTERS.join) return decodeJoin(fields, id, Number(at));
  if (letter === LETTERS.heartbeat) return decodeHeartbeat(fields, id, Number(at));
  return letter === LETTERS.result ? decodeResult(fields, id, Number(at)) : null;
}

function decodeJoin(fields: readonly string[], id: string, at: number): JoinMessage | null {
  const [, , , area = '', digest = '', childCount] = fields;
  if (fields.length !== 6 || !PACKED.test(area) || !PACKED.test(digest) || !isWhole(childCount)) return null;
  return { kind: 'join', id, at, area, digest, childCount: Number(childCount) };
}

function decodeHeartbeat(fields: readonly string[], id: string, at: number): HeartbeatMessage | null {
  const [, , , release = '', shortId = '', by] = fields;
  const isAbout = RELEASE_ID.test(release) ? SHORT_ID.test(shortId) : release === '' && shortId === '';
  if (fields.length !== 6 || !isAbout || (by !== 'poll' && by !== ASK)) return null;
  return { kind: 'heartbeat', id, at, release, shortId, by: by === 'poll' ? 'poll' : 'end_stage' };
}

function decodeResult(fields: readonly string[], id: string, at: number): ResultMessage | null {
  const [, , , release = '', shortId = '', attempt] = fields;
  const reports: StageReport[] = [];
  for (let i = 6; i < fields.length; i += FIELDS_PER_REPORT) {
    const report = decodeReport(fields.slice(i, i + FIELDS_PER_REPORT));
    if (report === null) return null;
    reports.push(report);
  }
  if (reports.length === 0 || !RELEASE_ID.test(release) || !SHORT_ID.test(shortId) || !isWhole(attempt)) return null;
  return { kind: 'result', id, release, shortId, at, attempt: Number(attempt), reports };
}

/** Only reports that name their stage, and their next one if there is one, wait in a queue. */
function decodeReport([stage, status, next, digest = '', summary = '']: readonly string[]): StageReport | null {
  const isReported = (REPORTED as readonly number[]).includes(Number(status));
  if (!isWhole(stage) || !isReported || !(next === String(NO_NEXT) || isWhole(next))) return null;
  if (!DIGEST.test(digest) || !SUMMARY.test(summary)) return null;
  return { stage: Number(stage), status: Number(status) as ReportedStatus, next: Number(next), digest, summary };
}
