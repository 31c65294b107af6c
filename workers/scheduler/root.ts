/** The scheduler: ticks every unfinished rollout. */
import { QUEUES, type TickJob, tickJob } from '#queue/catalogue.ts';
import { consume } from '#queue/consumers.ts';
import { createEnrolmentProducer, createTickProducer } from '#queue/producers.ts';
import type { RoleOptions, Running } from '#runtime/role.ts';
import { openBase } from '#store/open.ts';
import { createCompensator } from './compensate.ts';
import { createEarlyTicks } from './early-ticks.ts';
import { createTicker } from './tick.ts';

const ROLLOUTS_AT_ONCE = 8;
const RECONCILE_MS = 5_000;

export async function startScheduler(
  { config, address, log, metrics }: RoleOptions,
  stack: AsyncDisposableStack,
): Promise<Running> {
  const base = await openBase({ config, address, purpose: 'work', log }, stack);
  const { client, keys, releases } = base;
  const connection = await base.connect();
  const ticks = await createTickProducer(connection, keys, stack);
  const enrolmentJobs = await createEnrolmentProducer(connection, keys, stack);
  const compensate = createCompensator({ ...base, ticks });
  const tick = createTicker({ ...base, enrolmentJobs, ticks, compensate, metrics, log });

  consume<TickJob>(
    {
      name: QUEUES.ticks,
      prefix: keys.ticks,
      concurrency: ROLLOUTS_AT_ONCE,
      process: (job) => tick(tickJob.parse(job.data).release),
    },
    { connection, log },
    stack,
  );

  const early = createEarlyTicks(tick, log, stack);
  const subscriber = await base.connect('listen');
  subscriber.on('message', (_channel: string, release: string) => early.request(release));
  await subscriber.subscribe(keys.tickRequests);

  /** Whatever became of the jobs: every unfinished rollout has a job scheduler. */
  async function reconcile(): Promise<void> {
    const scheduled = new Set(await ticks.scheduled());
    for (const release of await releases.unfinished())
      if (!scheduled.has(release)) {
        await ticks.schedule(release);
        early.request(release);
      }
  }
  await reconcile();
  const timer = setInterval(
    () => void reconcile().catch((error: Error) => log.warn({ error: error.message }, 'reconciling failed')),
    RECONCILE_MS,
  );
  stack.defer(() => clearInterval(timer));
  return { ready: () => (client.status === 'ready' ? null : 'Redis is away') };
}
