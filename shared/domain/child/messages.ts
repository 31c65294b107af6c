/**
 * What a child's requests come to: one message each. The queue carries them, workers apply them. Times are milliseconds of
 * Redis' clock, taken when the request was accepted.
 */
import type { StageReport } from './report.ts';

/** A release by its id, and by its short id in children's hashes. */
export type ReleaseRef = { release: string; shortId: string };

/** `area`: packed; `digest`: over the poll, so that the same poll again is known by it. */
export type JoinMessage = { kind: 'join'; id: string; at: number; area: string; digest: string; childCount: number };

/** `release` and `shortId` are '' where the heartbeat is about none. `by`: a poll, or a call of `/end_stage`. */
export type HeartbeatMessage = ReleaseRef & { kind: 'heartbeat'; id: string; at: number; by: 'poll' | 'end_stage' };

/** `at` and `attempt` null: those of the moment at which it is applied, for a message that no queue carries. */
export type ResultMessage = ReleaseRef & {
  kind: 'result';
  id: string;
  at: number | null;
  attempt: number | null;
  reports: readonly StageReport[];
};

export type IntakeMessage = JoinMessage | HeartbeatMessage | ResultMessage;
