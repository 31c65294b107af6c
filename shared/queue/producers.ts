/** How jobs get into queues. */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Job, Queue } from 'bullmq';
import type { Keys } from '#store/keys.ts';
import { type Client, isTransient, untilReady } from '#store/redis.ts';
import { createReplicated } from '#store/replicated.ts';
import { type IntakeBatch, QUEUES, type TickJob, type WalkJob } from './catalogue.ts';
import { tireless } from './options.ts';

const TICK_EVERY_MS = 2_000;
const SWEEP_EVERY_MS = 60_000;
const MARKS_EVERY_MS = 2_000;
const PENDING_LOOKED_AT = 100;
const UNAPPLIED = ['waiting', 'active', 'delayed', 'prioritized', 'waiting-children', 'failed'] as const;
const RETRY_MS = 100;

function openQueue<Data>(
  name: string,
  prefix: string,
  connection: Client,
  stack: AsyncDisposableStack,
): Queue<Data, unknown> {
  const queue = new Queue<Data, unknown>(name, { connection, prefix, skipWaitingForReady: true });
  // Errors of the connection are logged where it was opened.
  queue.on('error', () => {});
  stack.defer(() => queue.close());
  return queue;
}

/**
 * Opens queues so that they can be used. BullMQ asks Redis once when a queue is made; were the connection lost right
 * then, that queue would fail for ever, so it's made again.
 */
async function opened<Data>(
  name: string,
  prefix: string,
  connection: Client,
  stack: AsyncDisposableStack,
): Promise<Queue<Data, unknown>> {
  for (;;) {
    await untilReady(connection);
    const own = new AsyncDisposableStack();
    const queue = openQueue<Data>(name, prefix, connection, own);
    try {
      await queue.waitUntilReady();
      stack.use(own);
      return queue;
    } catch (error) {
      await own.disposeAsync().catch(() => {});
      if (!isTransient(error)) throw error;
      await sleep(RETRY_MS);
    }
  }
}

export type IntakeProducer = Awaited<ReturnType<typeof createIntakeProducer>>;

/** `replicas`: how many must have a batch before it counts as written. */
export async function createIntakeProducer(
  connection: Client,
  keys: Keys,
  partitions: number,
  replicas: number,
  stack: AsyncDisposableStack,
) {
  const queues = await Promise.all(
    Array.from({ length: partitions }, (_, p) =>
      opened<IntakeBatch>(QUEUES.intake, keys.partition(p), connection, stack),
    ),
  );
  const queueOf = (p: number): Queue<IntakeBatch, unknown> => {
    const queue = queues[p];
    if (queue === undefined) throw new RangeError(`there is no partition ${p}`);
    return queue;
  };
  const replicated = createReplicated(connection, replicas);
  const queueOn = queuesByConnection<IntakeBatch>(QUEUES.intake, keys.partition);
  return {
    /** Encoded messages (see message.ts), as one batch. */
    async add(p: number, lines: readonly string[], at: number): Promise<void> {
      await replicated(keys.seen(p), async (on) => {
        const queue = on === connection ? queueOf(p) : queueOn(on, p);
        await queue.add('batch', { lines: lines.join('\n') }, { ...tireless, timestamp: at });
      });
    },

    /** Batches waiting in the fullest partition. */
    async backlog(): Promise<number> {
      return Math.max(...(await Promise.all(queues.map((queue) => queue.getWaitingCount()))));
    },

    /** Batches that were acknowledged and are still to be applied, whatever became of them. */
    async unapplied(): Promise<number> {
      const counts = await Promise.all(queues.map((queue) => queue.getJobCountByTypes(...UNAPPLIED)));
      return counts.reduce((sum, count) => sum + count, 0);
    },

    /** Whether a batch that was written at or before `at` (ms) is still to be applied. */
    async pendingSince(p: number, at: number): Promise<boolean> {
      const queue = queueOf(p);
      // In the direction in which batches move (wait, active, delayed, and wait again), so that none slips past.
      const oldest = (): Promise<Job<IntakeBatch>[]> => queue.getJobs(['wait'], 0, 0, true);
      const looks = [
        oldest,
        () => queue.getActive(0, PENDING_LOOKED_AT),
        () => queue.getDelayed(0, PENDING_LOOKED_AT),
        oldest,
      ];
      const isEarlier = (job: Job<IntakeBatch> | undefined): boolean => job !== undefined && job.timestamp <= at;
      for (const look of looks) if ((await look()).some(isEarlier)) return true;
      return false;
    },
  };
}

/**
 * The same queues once more on each connection that batches are written over: BullMQ writes by the connection that its
 * queue was made with. They go with their connection.
 */
function queuesByConnection<Data>(name: string, prefixOf: (p: number) => string) {
  const all = new WeakMap<Client, Map<number, Queue<Data, unknown>>>();
  return (connection: Client, p: number): Queue<Data, unknown> => {
    const own = all.get(connection) ?? new Map<number, Queue<Data, unknown>>();
    all.set(connection, own);
    const known = own.get(p);
    if (known !== undefined) return known;
    const options = { prefix: prefixOf(p), skipWaitingForReady: true, skipVersionCheck: true, skipMetasUpdate: true };
    const queue = new Queue<Data, unknown>(name, { connection, ...options });
    queue.on('error', () => {});
    own.set(p, queue);
    return queue;
  };
}

export type WalkProducer = Awaited<ReturnType<typeof createWalkProducer>>;

export async function createWalkProducer(connection: Client, keys: Keys, stack: AsyncDisposableStack) {
  const queue = await opened<WalkJob | object>(QUEUES.walks, keys.ticks, connection, stack);
  return {
    /** Adding a walk again while it's underway is nothing. */
    async add(job: WalkJob): Promise<void> {
      await queue.add('walk', job, { ...tireless, jobId: walkId(job) });
    },
    async scheduleSweeps(): Promise<void> {
      await queue.upsertJobScheduler('sweep', { every: SWEEP_EVERY_MS }, { name: 'sweep', opts: tireless });
    },
    async scheduleMarks(): Promise<void> {
      await queue.upsertJobScheduler('marks', { every: MARKS_EVERY_MS }, { name: 'marks', opts: tireless });
    },
  };
}

/** The same for the same work. Nothing in it may be a colon, so a location is in it by its number, or by a digest of its id. */
function walkId(job: WalkJob): string {
  const { release, kind, partition, epoch } = job;
  const more = {
    order: () => [],
    late: () => [],
    enrol: ({ wave }: WalkJob & { kind: 'enrol' }) => [wave],
    fill: ({ n, upTo }: WalkJob & { kind: 'fill' }) => [n, upTo],
    retry: ({ location, version }: WalkJob & { kind: 'retry' }) => [
      createHash('sha1').update(location).digest('hex'),
      version,
    ],
  }[kind] as (job: WalkJob) => (string | number)[];
  return [release, kind, ...more(job), partition, epoch].join('_');
}

export type TickProducer = Awaited<ReturnType<typeof createTickProducer>>;

export async function createTickProducer(connection: Client, keys: Keys, stack: AsyncDisposableStack) {
  const queue = await opened<TickJob>(QUEUES.ticks, keys.ticks, connection, stack);
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
