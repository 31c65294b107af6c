/** A group commit per partition in front of the intake queues. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createGroupCommit } from '#queue/group-commit.ts';
import { encodeMessage } from '#queue/message.ts';
import type { IntakeProducer } from '#queue/producers.ts';
import type { Metrics } from '#runtime/metrics.ts';
import type { ChildStore } from '#store/child-store.ts';
import type { Clock } from '#store/redis-clock.ts';
import type { Intake } from './child/deps.ts';

const MAX_MESSAGES = 500;
const MAX_BYTES = 512 * 1024;
/** In all partitions; what is beyond is refused, so that memory doesn't grow with an outage. */
const MAX_WAITING = 50_000;
const RETRY_MS = 100;

export function createIntake(
  producer: IntakeProducer,
  children: Pick<ChildStore, 'partition' | 'partitions'>,
  clock: Clock,
  holdMs: number,
  metrics: Metrics,
  stack: AsyncDisposableStack,
): Intake {
  const lanes = Array.from({ length: children.partitions }, (_, p) =>
    createGroupCommit({
      write: async (messages) => {
        await producer.add(p, messages, clock.now());
        metrics.batchSize.observe(messages.length);
      },
      untilRetry: () => sleep(RETRY_MS),
      holdMs,
      maxMessages: MAX_MESSAGES,
      maxBytes: MAX_BYTES,
      maxWaiting: Math.ceil(MAX_WAITING / children.partitions),
    }),
  );
  stack.defer(async () => void (await Promise.all(lanes.map((lane) => lane.idle()))));
  return {
    submit(message, hold) {
      const lane = lanes[children.partition(message.id)];
      return lane === undefined
        ? Promise.reject(new RangeError('no such partition'))
        : lane.submit(encodeMessage(message), hold);
    },
  };
}
