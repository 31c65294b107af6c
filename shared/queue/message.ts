/**
 * What a child's requests come to, one message each, and how it stands in a batch: a line of fields between tabs. A batch is
 * one text, which JSON carries through BullMQ at the price of copying it; objects would be built, checked and escaped field
 * by field, on the one path that every result of the fleet takes. Nothing in a message may hold a tab or a line break.
 */
import { CHILD_ID, RELEASE_ID } from '#domain/ids.ts';
import type { Report } from '#domain/record.ts';
import { REPORTED, type ReportedStatus } from '#domain/status.ts';

/** Times are milliseconds of Redis' clock, taken when the message was accepted. */
export type JoinMessage = { k: 'join'; id: string; at: number; area: string; digest: string; childCount: number };
/** A sign of life; `release` and `tag` are '' where it's about none. `ask` is a call of `/end_stage`. */
export type SignMessage = {
  k: 'sign';
  id: string;
  at: number;
  release: string;
  tag: string;
  kind: 'poll' | 'ask';
};
/** A report that names its stage, and its next stage if there is one. */
export type NamedReport = Omit<Report, 'at' | 'stage' | 'next'> & { stage: number; next: number | null };
export type ResultMessage = {
  k: 'result';
  id: string;
  release: string;
  tag: string;
  at: number;
  attempt: number;
  reports: readonly NamedReport[];
};
export type IntakeMessage = JoinMessage | SignMessage | ResultMessage;

const TAB = '\t';
const FIELDS_PER_REPORT = 5;

export function encodeMessage(message: IntakeMessage): string {
  if (message.k === 'join') {
    const { id, at, area, digest, childCount } = message;
    return `j\t${id}\t${at}\t${area}\t${digest}\t${childCount}`;
  }
  if (message.k === 'sign') {
    const { id, at, release, tag, kind } = message;
    return `s\t${id}\t${at}\t${release}\t${tag}\t${kind}`;
  }
  let line = `r\t${message.id}\t${message.at}\t${message.release}\t${message.tag}\t${message.attempt}`;
  for (const { stage, status, next, digest, summary } of message.reports)
    line += `\t${stage}\t${status}\t${next ?? -1}\t${digest}\t${summary}`;
  return line;
}

const PACKED = /^[A-Za-z0-9_-]*$/;
const TAG = /^\d+$/;
const DIGEST = /^[0-9a-f]{12}$/;
const SUMMARY = /^[-+\d.e]+(?:,[-+\d.e]+){10}$/;
const isWhole = (text: string | undefined): boolean => text !== undefined && /^\d{1,16}$/.test(text);

/** Null for a line that is no message: it must not take its batch with it. */
export function decodeMessage(line: string): IntakeMessage | null {
  const fields = line.split(TAB);
  const [kind, id = '', at] = fields;
  if (!CHILD_ID.test(id) || !isWhole(at)) return null;
  if (kind === 'j') return decodeJoin(fields, id, Number(at));
  if (kind === 's') return decodeSign(fields, id, Number(at));
  return kind === 'r' ? decodeResult(fields, id, Number(at)) : null;
}

function decodeJoin(fields: readonly string[], id: string, at: number): JoinMessage | null {
  const [, , , area = '', digest = '', childCount] = fields;
  if (fields.length !== 6 || !PACKED.test(area) || !PACKED.test(digest) || !isWhole(childCount)) return null;
  return { k: 'join', id, at, area, digest, childCount: Number(childCount) };
}

function decodeSign(fields: readonly string[], id: string, at: number): SignMessage | null {
  const [, , , release = '', tag = '', kind] = fields;
  const isAbout = RELEASE_ID.test(release) ? TAG.test(tag) : release === '' && tag === '';
  if (fields.length !== 6 || !isAbout || (kind !== 'poll' && kind !== 'ask')) return null;
  return { k: 'sign', id, at, release, tag, kind };
}

function decodeResult(fields: readonly string[], id: string, at: number): ResultMessage | null {
  const [, , , release = '', tag = '', attempt] = fields;
  const reports: NamedReport[] = [];
  for (let i = 6; i < fields.length; i += FIELDS_PER_REPORT) {
    const [stage, status, next, digest = '', summary = ''] = fields.slice(i, i + FIELDS_PER_REPORT);
    const isReported = (REPORTED as readonly number[]).includes(Number(status));
    if (!isWhole(stage) || !isReported || !(next === '-1' || isWhole(next))) return null;
    if (!DIGEST.test(digest) || !SUMMARY.test(summary)) return null;
    reports.push({
      stage: Number(stage),
      status: Number(status) as ReportedStatus,
      next: next === '-1' ? null : Number(next),
      digest,
      summary,
    });
  }
  if (reports.length === 0 || !RELEASE_ID.test(release) || !TAG.test(tag) || !isWhole(attempt)) return null;
  return { k: 'result', id, release, tag, at, attempt: Number(attempt), reports };
}
