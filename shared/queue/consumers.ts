/** How jobs get out of queues. */
import { type Job, Worker } from 'bullmq';
import type { Logger } from '#runtime/log.ts';
import type { Client } from '#store/connection/client.ts';
import { patient } from './options.ts';

export type Consumer<Data> = {
  name: string;
  prefix: string;
  concurrency: number;
  process(job: Job<Data, unknown>): Promise<unknown>;
};

/** Starts to work on a queue; on release the job in hand is finished first. */
export function consume<Data>(
  { name, prefix, concurrency, process }: Consumer<Data>,
  { connection, log }: { connection: Client; log: Logger },
  stack: AsyncDisposableStack,
): void {
  const worker = new Worker<Data, unknown>(name, process, { connection, prefix, concurrency, ...patient });
  worker.on('error', (error) => log.debug({ queue: `${prefix}:${name}`, error: error.message }, 'queue error'));
  worker.on('failed', (job, error) =>
    log.warn({ queue: `${prefix}:${name}`, job: job?.id, error: error.message }, 'a job failed and is tried again'),
  );
  worker.on('stalled', (job) => log.warn({ queue: `${prefix}:${name}`, job }, 'a job stalled: its worker died'));
  stack.defer(() => worker.close());
}
