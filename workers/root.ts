/** The worker: applies what children sent, enrols children, and keeps house. */
import { MAINTENANCE, type Chore, type IntakeBatch, QUEUES } from '#queue/catalogue.ts';
import { consume } from '#queue/consumers.ts';
import { createIntakeProducer } from '#queue/intake-producer.ts';
import { createMaintenanceProducer } from '#queue/producers.ts';
import type { RoleOptions, Running } from '#runtime/role.ts';
import { openBase } from '#store/open.ts';
import { createBatchApplier } from './apply/apply-batch.ts';
import { createEnrolmentWorker } from './enrolment/enrolment-jobs.ts';
import { createChildFlagger } from './maintenance/flag-children.ts';
import { createSweeper } from './maintenance/sweep.ts';

/** Batches of a partition applied at a time: while one waits for Redis the next is parsed. */
const BATCHES_AT_ONCE = 2;

export async function startWorker(
  { config, address, log, metrics }: RoleOptions,
  stack: AsyncDisposableStack,
): Promise<Running> {
  const base = await openBase({ config, address, purpose: 'work', log }, stack);
  const { client, keys, partitions } = base;
  const connection = await base.connect();
  const intake = await createIntakeProducer({ connection, keys, partitions, replicas: 0 }, stack);
  const apply = createBatchApplier({ ...base, metrics, log });
  const enrol = createEnrolmentWorker({ ...base, intake });
  const { forgetAfterMs, keepReleasesMs } = config;
  const chores: Record<Chore, () => Promise<unknown>> = {
    sweep: createSweeper({ ...base, forgetAfterMs, keepReleasesMs, log }),
    'flag-children': createChildFlagger({ ...base, intake, config, log }),
  };

  const open = { connection, log };
  for (let p = 0; p < partitions; p++)
    consume<IntakeBatch>(
      {
        name: QUEUES.intake,
        prefix: keys.partition(p),
        concurrency: BATCHES_AT_ONCE,
        process: (job) => apply(p, { id: job.id ?? '', stalled: job.stalledCounter, lines: job.data.lines }),
      },
      open,
      stack,
    );
  consume<object>(
    { name: QUEUES.enrolment, prefix: keys.ticks, concurrency: partitions, process: (job) => enrol(job.data) },
    open,
    stack,
  );
  consume<object>(
    {
      name: QUEUES.maintenance,
      prefix: keys.ticks,
      concurrency: MAINTENANCE.length,
      process: async (job) => chores[job.name as Chore]?.(),
    },
    open,
    stack,
  );
  const maintenance = await createMaintenanceProducer(connection, keys, stack);
  for (const chore of MAINTENANCE) await maintenance.schedule(chore);
  return { ready: () => (client.status === 'ready' ? null : 'Redis is away') };
}
