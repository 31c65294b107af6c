/**
 * BullMQ's defaults would drop what was acknowledged: a batch that stalled twice, or met one error while Redis was
 * loading, would have failed for good. Ours never fails for a reason outside its messages.
 */
import type { JobsOptions, WorkerOptions } from 'bullmq';

const MAX_BACKOFF_MS = 5_000;
const BACKOFF = 'choir';

/** As often as it takes. Done jobs leave nothing behind. */
export const tireless = {
  attempts: Number.MAX_SAFE_INTEGER,
  backoff: { type: BACKOFF },
  removeOnComplete: true,
  stackTraceLimit: 1,
} as const satisfies JobsOptions;

/** A dead worker's job is taken over within eight seconds (its lock runs out, then it's looked for), however often. */
export const patient = {
  lockDuration: 5_000,
  stalledInterval: 3_000,
  maxStalledCount: Number.MAX_SAFE_INTEGER,
  runRetryDelay: 1_000,
  settings: { backoffStrategy: (attempt: number) => Math.min(100 * 2 ** Math.min(attempt, 10), MAX_BACKOFF_MS) },
} as const satisfies Partial<WorkerOptions>;
