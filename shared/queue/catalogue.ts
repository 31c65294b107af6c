/** Every queue and every job, with the shape of what it carries. */
import { z } from 'zod';

const id = z.string().min(1);

/** Messages, a line each (see message.ts). They are checked one by one: one that is wrong must not take the rest with it. */
export const intakeBatch = z.object({ lines: z.string() });
export type IntakeBatch = z.infer<typeof intakeBatch>;

export const walkJob = z.object({
  release: id,
  partition: z.number(),
  kind: z.enum(['enrol', 'order']),
  epoch: z.number(),
});
export type WalkJob = z.infer<typeof walkJob>;

export const tickJob = z.object({ release: id });
export type TickJob = z.infer<typeof tickJob>;

export const QUEUES = {
  /** One per partition: batches of what children sent. */
  intake: 'intake',
  /** Walks over a partition: enrolling, putting in order; and sweeping, on a timer. */
  walks: 'walks',
  /** One job scheduler per unfinished rollout, and early ticks. */
  ticks: 'ticks',
} as const;
