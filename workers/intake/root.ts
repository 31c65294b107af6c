/** The worker: applies what children sent, walks over partitions, sweeps. */
import type { IntakeBatch } from '#queue/catalogue.ts';
import { QUEUES } from '#queue/catalogue.ts';
import { consume } from '#queue/consumers.ts';
import { createIntakeProducer, createWalkProducer } from '#queue/producers.ts';
import type { Config } from '#runtime/config.ts';
import type { Logger } from '#runtime/log.ts';
import type { Metrics } from '#runtime/metrics.ts';
import { openBase } from '#store/open.ts';
import { createBatchApplier } from './apply-batch.ts';
import { createMarker } from './marks.ts';
import { createSweeper } from './sweep.ts';
import { createWalker } from './walk.ts';

/** Batches of a partition applied at a time: while one waits for Redis the next is parsed. */
const BATCHES_AT_ONCE = 2;

export async function startWorker(
  config: Config,
  address: string,
  log: Logger,
  metrics: Metrics,
  stack: AsyncDisposableStack,
): Promise<{ ready(): string | null }> {
  const base = await openBase(config, address, 'work', log, stack);
  const { client, keys, partitions, clock, children, releases, marks, served } = base;
  const queues = await base.connect();
  const intake = await createIntakeProducer(queues, keys, partitions, 0, stack);
  const apply = createBatchApplier({ client, keys, children, releases, metrics, log });
  const walk = createWalker({ ...base, intake });
  const { forgetAfterMs, keepReleasesMs } = config;
  const sweep = createSweeper({ children, releases, clock, forgetAfterMs, keepReleasesMs, log });
  const mark = createMarker({ children, marks, served, releases, intake, clock, config, log });
  const timed: Record<string, (() => Promise<unknown>) | undefined> = { sweep, marks: mark };

  for (let p = 0; p < partitions; p++)
    consume<IntakeBatch>(
      {
        name: QUEUES.intake,
        prefix: keys.partition(p),
        concurrency: BATCHES_AT_ONCE,
        process: (job) => apply(p, { id: job.id ?? '', stalled: job.stalledCounter, lines: job.data.lines }),
      },
      queues,
      log,
      stack,
    );
  consume<object>(
    {
      name: QUEUES.walks,
      prefix: keys.ticks,
      concurrency: partitions,
      process: (job) => timed[job.name]?.() ?? walk(job.data),
    },
    queues,
    log,
    stack,
  );
  const walks = await createWalkProducer(queues, keys, stack);
  await walks.scheduleSweeps();
  await walks.scheduleMarks();
  return { ready: () => (client.status === 'ready' ? null : 'Redis is away') };
}
