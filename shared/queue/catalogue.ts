/** Every queue and every job, with the shape of what it carries. */
import { z } from 'zod';
import { REPORTED } from '#domain/status.ts';

const id = z.string().min(1);

/** What a child's requests come to, one message each. Times are milliseconds of Redis' clock, taken when accepted. */
export const intakeMessage = z.discriminatedUnion('k', [
  z.object({
    k: z.literal('join'),
    id,
    at: z.number(),
    area: z.string(),
    areaDigest: z.string(),
    childCount: z.number(),
  }),
  /** A sign of life; `release` is '' where it's about none. `ask` is a call of `/end_stage`. */
  z.object({ k: z.literal('sign'), id, at: z.number(), release: z.string(), kind: z.enum(['poll', 'ask']) }),
  z.object({
    k: z.literal('result'),
    id,
    release: id,
    at: z.number(),
    attempt: z.number(),
    reports: z
      .array(
        z.object({
          stage: z.number(),
          status: z.literal(REPORTED),
          next: z.number().nullable(),
          digest: z.string(),
          counters: z.array(z.string()),
          summary: z.string(),
        }),
      )
      .min(1),
  }),
]);
export type IntakeMessage = z.infer<typeof intakeMessage>;

/** Messages are checked one by one: one that is wrong must not take its batch with it. */
export type IntakeBatch = { messages: unknown[] };

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
