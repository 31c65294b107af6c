/** A group commit per partition in front of the intake queues. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createGroupCommit } from '#queue/group-commit.ts';
import type { IntakeProducer } from '#queue/intake-producer.ts';
import { encodeMessage, type QueuedMessage } from '#queue/message.ts';
import type { Metrics } from '#runtime/metrics.ts';
import type { ChildStore } from '#store/children/child-store.ts';
import type { Clock } from '#store/connection/redis-clock.ts';

const MAX_MESSAGES = 500;
const MAX_BYTES = 512 * 1024;
/** In all partitions; what is beyond is refused, so that memory doesn't grow with an outage. */
const MAX_WAITING = 50_000;
const RETRY_MS = 100;

/** `retry`: while Redis is away it's tried again for a while; otherwise it's refused at once. */
type Options = { retry: boolean };

/** Puts a message into the queue of its child's partition; resolved once it's there (law 1). */
export type Intake = { submit(message: QueuedMessage, options: Options): Promise<void> };

type Deps = {
  producer: Pick<IntakeProducer, 'add'>;
  children: Pick<ChildStore, 'partition' | 'partitions'>;
  clock: Clock;
  retryMs: number;
  metrics: Pick<Metrics, 'batchSize'>;
};

export function createIntake(
  { producer, children, clock, retryMs, metrics }: Deps,
  stack: AsyncDisposableStack,
): Intake {
  const lanes = Array.from({ length: children.partitions }, (_, p) =>
    createGroupCommit({
      write: async (messages) => {
        await producer.add(p, messages, clock.now());
        metrics.batchSize.observe(messages.length);
      },
      untilRetry: () => sleep(RETRY_MS),
      retryMs,
      maxMessages: MAX_MESSAGES,
      maxBytes: MAX_BYTES,
      maxWaiting: Math.ceil(MAX_WAITING / children.partitions),
    }),
  );
  stack.defer(async () => void (await Promise.all(lanes.map((lane) => lane.idle()))));
  return {
    submit(message, { retry }) {
      const lane = lanes[children.partition(message.id)];
      return lane === undefined
        ? Promise.reject(new RangeError('no such partition'))
        : lane.submit(encodeMessage(message), retry);
    },
  };
}
