/** How batches of what children sent get into their queues. */
import { type Job, Queue } from 'bullmq';
import type { Client } from '#store/connection/client.ts';
import { createReplicated } from '#store/connection/replicated.ts';
import type { Keys } from '#store/layout/keys.ts';
import { type IntakeBatch, QUEUES } from './catalogue.ts';
import { openQueue } from './open-queue.ts';
import { tireless } from './options.ts';

const PENDING_LOOKED_AT = 100;
const UNAPPLIED = ['waiting', 'active', 'delayed', 'prioritized', 'waiting-children', 'failed'] as const;

export type IntakeProducer = Awaited<ReturnType<typeof createIntakeProducer>>;

/** `replicas`: how many must have a batch before it counts as written. */
export type IntakeOptions = { connection: Client; keys: Keys; partitions: number; replicas: number };

export async function createIntakeProducer(
  { connection, keys, partitions, replicas }: IntakeOptions,
  stack: AsyncDisposableStack,
) {
  const queues = await Promise.all(
    Array.from({ length: partitions }, (_, p) =>
      openQueue<IntakeBatch>({ name: QUEUES.intake, prefix: keys.partition(p) }, connection, stack),
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
      const reads = [
        oldest,
        () => queue.getActive(0, PENDING_LOOKED_AT),
        () => queue.getDelayed(0, PENDING_LOOKED_AT),
        oldest,
      ];
      const isEarlier = (job: Job<IntakeBatch> | undefined): boolean => job !== undefined && job.timestamp <= at;
      for (const read of reads) if ((await read()).some(isEarlier)) return true;
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
