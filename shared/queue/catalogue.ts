/** Every queue and every job, with the shape of what it carries. */
import { z } from 'zod';

const id = z.string().min(1);

/** Messages, a line each (see message.ts). They are checked one by one: one that is wrong must not take the rest with it. */
export const intakeBatch = z.object({ lines: z.string() });
export type IntakeBatch = z.infer<typeof intakeBatch>;

const job = { release: id, partition: z.number(), epoch: z.number() };
export const enrolmentJob = z.discriminatedUnion('kind', [
  /** Assigns a partition's children to locations. */
  z.object({ ...job, kind: z.literal('assign') }),
  /** The same for late joiners; or, where a release is taken back, for children that are Done with it since. */
  z.object({ ...job, kind: z.literal('assign-late') }),
  /** Enrols a partition's children in the locations that are open for it; `wave`: how many waves have started. */
  z.object({ ...job, kind: z.literal('enrol'), wave: z.number() }),
  /** Enrols so many children of a location, by its number, over all partitions. */
  z.object({ ...job, kind: z.literal('enrol-up-to'), n: z.number(), upTo: z.number() }),
  /** Tries children again that failed or are lost, in a location (by its id) or ('') everywhere. */
  z.object({ ...job, kind: z.literal('retry'), location: z.string(), version: z.number() }),
]);
export type EnrolmentJob = z.infer<typeof enrolmentJob>;

export const tickJob = z.object({ release: id });
export type TickJob = z.infer<typeof tickJob>;

/** Chores on a timer. */
export const MAINTENANCE = ['sweep', 'flag-children'] as const;
export type Chore = (typeof MAINTENANCE)[number];

export const QUEUES = {
  /** One per partition: batches of what children sent. */
  intake: 'intake',
  /** Assigning, enrolling and trying again: a partition or a location at a time. */
  enrolment: 'enrolment',
  maintenance: 'maintenance',
  /** One job scheduler per unfinished rollout. */
  ticks: 'ticks',
} as const;
