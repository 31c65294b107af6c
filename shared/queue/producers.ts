/** How enrolment jobs, chores and ticks get into their queues. */
import { createHash } from 'node:crypto';
import type { Client } from '#store/connection/client.ts';
import type { Keys } from '#store/layout/keys.ts';
import { type Chore, type EnrolmentJob, QUEUES, type TickJob } from './catalogue.ts';
import { openQueue } from './open-queue.ts';
import { tireless } from './options.ts';

const TICK_EVERY_MS = 2_000;
const CHORE_EVERY_MS = { sweep: 60_000, 'flag-children': 2_000 } as const satisfies Record<Chore, number>;

export type EnrolmentProducer = Awaited<ReturnType<typeof createEnrolmentProducer>>;

export async function createEnrolmentProducer(connection: Client, keys: Keys, stack: AsyncDisposableStack) {
  const queue = await openQueue<EnrolmentJob>({ name: QUEUES.enrolment, prefix: keys.ticks }, connection, stack);
  return {
    /** Adding a job again while it's underway is nothing. */
    async add(job: EnrolmentJob): Promise<void> {
      await queue.add(job.kind, job, { ...tireless, jobId: jobId(job) });
    },
  };
}

/** The same for the same work. Nothing in it may be a colon, so a location is in it by its number, or by a digest of its id. */
function jobId(job: EnrolmentJob): string {
  const { release, kind, partition, epoch } = job;
  return [release, kind, ...detailsOf(job), partition, epoch].join('_');
}

function detailsOf(job: EnrolmentJob): (string | number)[] {
  switch (job.kind) {
    case 'assign':
    case 'assign-late':
      return [];
    case 'enrol':
      return [job.wave];
    case 'enrol-up-to':
      return [job.n, job.upTo];
    case 'retry':
      return [createHash('sha1').update(job.location).digest('hex'), job.version];
  }
}

export async function createMaintenanceProducer(connection: Client, keys: Keys, stack: AsyncDisposableStack) {
  const queue = await openQueue<object>({ name: QUEUES.maintenance, prefix: keys.ticks }, connection, stack);
  return {
    /** Has a chore done every so often, by one of the workers. */
    async schedule(chore: Chore): Promise<void> {
      await queue.upsertJobScheduler(chore, { every: CHORE_EVERY_MS[chore] }, { name: chore, opts: tireless });
    },
  };
}

export type TickProducer = Awaited<ReturnType<typeof createTickProducer>>;

export async function createTickProducer(connection: Client, keys: Keys, stack: AsyncDisposableStack) {
  const queue = await openQueue<TickJob>({ name: QUEUES.ticks, prefix: keys.ticks }, connection, stack);
  const opts = { removeOnComplete: true, removeOnFail: true } as const;
  return {
    async schedule(release: string): Promise<void> {
      await queue.upsertJobScheduler(release, { every: TICK_EVERY_MS }, { name: 'tick', data: { release }, opts });
    },
    async unschedule(release: string): Promise<void> {
      await queue.removeJobScheduler(release);
    },
    async scheduled(): Promise<string[]> {
      const schedulers = await queue.getJobSchedulers();
      return schedulers.flatMap(({ key }) => (typeof key === 'string' ? [key] : []));
    },
  };
}
