/** Opening queues, so that they can be used whatever Redis does meanwhile. */
import { untilReady, type Client } from '#store/connection/client.ts';
import { isTransient } from '#store/connection/errors.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { Queue } from 'bullmq';

const RETRY_MS = 100;

function createQueue<Data>(
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

/** `prefix`: BullMQ's. */
export type QueueName = { name: string; prefix: string };

/**
 * Opens queues so that they can be used. BullMQ asks Redis once when a queue is made; were the connection lost right
 * then, that queue would fail for ever, so it's made again.
 */
export async function openQueue<Data>(
  { name, prefix }: QueueName,
  connection: Client,
  stack: AsyncDisposableStack,
): Promise<Queue<Data, unknown>> {
  for (;;) {
    await untilReady(connection);
    const own = new AsyncDisposableStack();
    const queue = createQueue<Data>(name, prefix, connection, own);
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
