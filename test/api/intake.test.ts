/** Law 1 at its narrowest: nothing is acknowledged before the queue has it. */
import { expect, it } from 'vitest';
import type { IntakeProducer } from '#queue/intake-producer.ts';
import { createMetrics } from '#runtime/metrics.ts';
import { createIntake } from '#services/api/ingest/intake.ts';

const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

it('a message is accepted once its batch is in Redis, and not before', async () => {
  await using stack = new AsyncDisposableStack();
  const written = Promise.withResolvers<void>();
  const lines: string[] = [];
  const add: IntakeProducer['add'] = async (_, batch) => {
    lines.push(...batch);
    await written.promise;
  };
  const intake = createIntake(
    {
      producer: { add },
      children: { partition: () => 0, partitions: 1 },
      clock: { now: () => 5 },
      retryMs: 60_000,
      metrics: createMetrics('test'),
    },
    stack,
  );
  let accepted = false;
  async function send(): Promise<void> {
    const heartbeat = { kind: 'heartbeat', id: 'child', at: 5, release: '', shortId: '', by: 'poll' } as const;
    await intake.submit(heartbeat, { retry: true });
    accepted = true;
  }
  const sent = send();
  await turns(5);
  expect(lines).toEqual(['s\tchild\t5\t\t\tpoll']);
  expect(accepted).toBe(false);
  written.resolve();
  await sent;
  expect(accepted).toBe(true);
});
