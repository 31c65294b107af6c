/** The queue `walks` of schema 4 is two in schema 5: what waits in it moves to `enrolment`; `maintenance` is filled by workers. */
import { z } from 'zod';
import type { EnrolmentJob } from '#queue/catalogue.ts';
import { openQueue } from '#queue/open-queue.ts';
import { createEnrolmentProducer } from '#queue/producers.ts';
import type { Client } from '#store/connection/client.ts';
import type { Keys } from '#store/layout/keys.ts';

const OLD_QUEUE = 'walks';
/** What of a job may not have ended. */
const UNFINISHED = ['active', 'waiting', 'delayed', 'prioritized', 'waiting-children', 'failed'] as const;

const job = { release: z.string(), partition: z.number(), epoch: z.number() };
const oldJob = z.discriminatedUnion('kind', [
  z.object({ ...job, kind: z.literal('order') }),
  z.object({ ...job, kind: z.literal('late') }),
  z.object({ ...job, kind: z.literal('enrol'), wave: z.number() }),
  z.object({ ...job, kind: z.literal('fill'), n: z.number(), upTo: z.number() }),
  z.object({ ...job, kind: z.literal('retry'), location: z.string(), version: z.number() }),
]);

function newJob(old: z.infer<typeof oldJob>): EnrolmentJob {
  switch (old.kind) {
    case 'order':
      return { ...old, kind: 'assign' };
    case 'late':
      return { ...old, kind: 'assign-late' };
    case 'fill':
      return { ...old, kind: 'enrol-up-to' };
    case 'enrol':
    case 'retry':
      return old;
  }
}

/** Jobs that wait move, and so does one whose worker died. Adding a job again is nothing, so it may be done again. Returns how many. */
export async function moveJobs(client: Client, keys: Keys): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const old = await openQueue<unknown>({ name: OLD_QUEUE, prefix: keys.ticks }, client, stack);
  const enrolment = await createEnrolmentProducer(client, keys, stack);
  const found = await old.getJobs([...UNFINISHED]);
  // Chores on a timer are in it as well, without a kind: workers schedule their own.
  const jobs = found.flatMap(({ data }) => {
    const parsed = oldJob.safeParse(data);
    return parsed.success ? [newJob(parsed.data)] : [];
  });
  // Oldest first, as they came.
  for (const each of jobs.toReversed()) await enrolment.add(each);
  await old.obliterate({ force: true });
  return jobs.length;
}
