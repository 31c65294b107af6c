/** Every queue and every job, with the shape of what it carries. */
import { z } from 'zod';

const id = z.string().min(1);

/** Messages, a line each (see message.ts). They are checked one by one: one that is wrong must not take the rest with it. */
export const intakeBatch = z.object({ lines: z.string() });
export type IntakeBatch = z.infer<typeof intakeBatch>;

export const walkJob = z.object({
  release: id,
  partition: z.number(),
  /**
   * `order` puts a partition's children in order; `late` those who have come since, or those who are to be taken back. `enrol`
   * enrols a partition's children, of a location or (plans that need no order) of the fleet; `fill` those of a location over all
   * partitions, `upTo` so many.
   */
  kind: z.enum(['order', 'late', 'enrol', 'fill']),
  epoch: z.number(),
  /** The number of the location. */
  n: z.number().default(0),
  upTo: z.number().default(0),
});
export type WalkJob = z.infer<typeof walkJob>;

export const tickJob = z.object({ release: id });
export type TickJob = z.infer<typeof tickJob>;

export const QUEUES = {
  /** One per partition: batches of what children sent. */
  intake: 'intake',
  /** Walks over a partition or a location: putting in order, enrolling; and sweeping, on a timer. */
  walks: 'walks',
  /** One job scheduler per unfinished rollout, and early ticks. */
  ticks: 'ticks',
} as const;
