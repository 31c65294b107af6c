/** Law 1 at its narrowest: nothing is acknowledged before the queue has it. */
import { expect, it } from 'vitest';
import { createMetrics } from '#runtime/metrics.ts';
import { createIntake } from '#services/api/intake.ts';
import type { IntakeProducer } from '#queue/producers.ts';

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
    { add } as IntakeProducer,
    { partition: () => 0, partitions: 1 },
    { now: () => 5 },
    60_000,
    createMetrics('test'),
    stack,
  );
  let accepted = false;
  async function send(): Promise<void> {
    await intake.submit({ k: 'sign', id: 'child', at: 5, release: '', tag: '', kind: 'poll' }, true);
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
