/**
 * Submits results from the parsed message, without HTTP: as jobs of their own (naive), or as the API does it. Prints
 * 'done' when all are accepted. argv[2]: naive | ours, argv[3]: the task as JSON. Environment: REDIS_URL.
 */
import { createIntakeProducer } from '#queue/intake-producer.ts';
import { Queue } from 'bullmq';
import { packNumbers } from '#domain/child/summary.ts';
import { createMetrics } from '#runtime/metrics.ts';
import { createIntake } from '#services/api/ingest/intake.ts';
import { followRedisClock } from '#store/connection/redis-clock.ts';
import { sharedConnection } from '../baselines/naive.ts';
import { keys, openRedis, PARTITIONS } from '../lib/populate.ts';
import { longId, resultBody } from './bodies.ts';

type Task = { prefix: string; from: number; count: number; release: string; shortId: string; inFlight: number };
const [, , kind = 'ours', json = '{}'] = process.argv;
const task = JSON.parse(json) as Task;
const SUMMARY = packNumbers([41.5, 20.25, 97.125, 41.5, 20.25, 97.125, 41.5, 20.25, 97.125, 0.001, 0.002]);

await using stack = new AsyncDisposableStack();
const client = await sharedConnection();
stack.defer(() => client.disconnect());

async function naive(): Promise<(id: string) => Promise<unknown>> {
  const queue = new Queue('naive', { connection: client, prefix: 'naive' });
  await queue.waitUntilReady();
  stack.defer(() => queue.close());
  return (id) =>
    queue.add('result', JSON.parse(resultBody(id, task.release, { stage: 'Canary', status: 2, next: 'Test' })), {
      removeOnComplete: true,
    });
}

async function ours(): Promise<(id: string) => Promise<unknown>> {
  const { children } = await openRedis(stack, process.env['REDIS_URL'] ?? '');
  const producer = await createIntakeProducer({ connection: client, keys, partitions: PARTITIONS, replicas: 0 }, stack);
  const clock = await followRedisClock(client, keys.meta, stack);
  const intake = createIntake({ producer, children, clock, retryMs: 30_000, metrics: createMetrics('bench') }, stack);
  const reports = [{ stage: 0, status: 2 as const, next: 1, digest: '0123456789ab', summary: SUMMARY }];
  const { release, shortId } = task;
  return (id) =>
    intake.submit({ kind: 'result', id, release, shortId, at: clock.now(), attempt: 1, reports }, { retry: true });
}

const submit = await (kind === 'naive' ? naive() : ours());
process.stdout.write('ready\n');
await new Promise((resolve) => process.stdin.once('data', resolve));
let next = task.from;
await Promise.all(
  Array.from({ length: task.inFlight }, async () => {
    while (next < task.from + task.count) await submit(longId(task.prefix, next++));
  }),
);
process.stdout.write('done\n');
process.stdin.destroy();
