/** Every queue and every job, with the shape of what it carries. */
import { z } from 'zod';

const id = z.string().min(1);

/** Messages, a line each (see message.ts). They are checked one by one: one that is wrong must not take the rest with it. */
export const intakeBatch = z.object({ lines: z.string() });
export type IntakeBatch = z.infer<typeof intakeBatch>;

const walk = { release: id, partition: z.number(), epoch: z.number() };
export const walkJob = z.discriminatedUnion('kind', [
  /** Puts a partition's children in order. */
  z.object({ ...walk, kind: z.literal('order') }),
  /** The same for those who have come since; or, where a release is taken back, for those who are Done with it since. */
  z.object({ ...walk, kind: z.literal('late') }),
  /** Enrols a partition's children in the locations that are open for it; `wave`: how many waves have started. */
  z.object({ ...walk, kind: z.literal('enrol'), wave: z.number() }),
  /** Enrols so many children of a location, by its number, over all partitions. */
  z.object({ ...walk, kind: z.literal('fill'), n: z.number(), upTo: z.number() }),
  /** Tries children again who failed or are lost, in a location (by its id) or ('') everywhere. */
  z.object({ ...walk, kind: z.literal('retry'), location: z.string(), version: z.number() }),
]);
export type WalkJob = z.infer<typeof walkJob>;

export const tickJob = z.object({ release: id });
export type TickJob = z.infer<typeof tickJob>;

export const QUEUES = {
  /** One per partition: batches of what children sent. */
  intake: 'intake',
  /** Walks over a partition or a location: putting in order, enrolling, trying again; and sweeping, on a timer. */
  walks: 'walks',
  /** One job scheduler per unfinished rollout, and early ticks. */
  ticks: 'ticks',
} as const;
