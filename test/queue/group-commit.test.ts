import { describe, expect, it } from 'vitest';
import { createGroupCommit, type GroupCommitOptions, NotAccepted } from '#queue/group-commit.ts';

/** A write that the test lets through, or fails, batch by batch. */
function controlled(more: Partial<GroupCommitOptions> = {}) {
  const batches: string[][] = [];
  const waiting: { resolve(): void; reject(error: Error): void }[] = [];
  const arrivals: (() => void)[] = [];
  const retries: (() => void)[] = [];
  const lane = createGroupCommit({
    write(messages) {
      batches.push(messages);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      waiting.push({ resolve, reject });
      arrivals.shift()?.();
      return promise;
    },
    untilRetry: () => new Promise((resolve) => retries.push(resolve)),
    retryMs: 60_000,
    maxMessages: 100,
    maxBytes: 10_000,
    maxWaiting: 1000,
    ...more,
  });
  return {
    lane,
    batches,
    retries,
    next: (): void => waiting.shift()?.resolve(),
    fail: (): void => waiting.shift()?.reject(new Error('Redis is away')),
    arrival: (): Promise<void> => new Promise((resolve) => arrivals.push(resolve)),
  };
}

describe('group commit', () => {
  it('writes in the same turn when idle, and gathers what comes while a batch is being written', async () => {
    const { lane, batches, next, arrival } = controlled();
    const first = lane.submit('a', true);
    await arrival();
    expect(batches).toEqual([['a']]);
    const others = ['b', 'c', 'd'].map((message) => lane.submit(message, true));
    expect(batches).toHaveLength(1);
    const second = arrival();
    next();
    await first;
    await second;
    expect(batches).toEqual([['a'], ['b', 'c', 'd']]);
    next();
    await Promise.all(others);
    await lane.idle();
  });

  it('answers nobody before the batch is written', async () => {
    const { lane, next, arrival } = controlled();
    let answered = false;
    const sent = lane.submit('a', true).finally(() => {
      answered = true;
    });
    await arrival();
    expect(answered).toBe(false);
    next();
    await sent;
    expect(answered).toBe(true);
  });

  it('bounds batches in count and in bytes, and lets a large message through alone', async () => {
    const { lane, batches, next, arrival } = controlled({ maxMessages: 2, maxBytes: 20 });
    const all = ['1', '2', '3', '4', 'x'.repeat(50), '5'].map((message) => lane.submit(message, true));
    await arrival();
    for (let i = 0; i < 3; i++) {
      const more = arrival();
      next();
      await more;
    }
    next();
    await Promise.all(all);
    expect(batches).toEqual([['1', '2'], ['3', '4'], ['x'.repeat(50)], ['5']]);
  });

  it('refuses at once what may not be tried again, and tries the rest again in its order', async () => {
    const { lane, batches, next, fail, retries, arrival } = controlled();
    const poll = lane.submit('poll', false);
    const result = lane.submit('result', true);
    await arrival();
    fail();
    await expect(poll).rejects.toBeInstanceOf(NotAccepted);
    const late = lane.submit('late', true);
    const again = arrival();
    retries.shift()?.();
    await again;
    expect(batches.at(-1)).toEqual(['result', 'late']);
    next();
    await Promise.all([result, late]);
  });

  it('gives up what was tried again for its time', async () => {
    const { lane, fail, arrival } = controlled({ retryMs: 0 });
    const result = lane.submit('result', true);
    await arrival();
    fail();
    await expect(result).rejects.toThrow('Redis is away');
    await lane.idle();
  });

  it('refuses more than may wait, so that memory does not grow with an outage', async () => {
    const { lane, arrival } = controlled({ maxWaiting: 2 });
    void lane.submit('being written', true);
    await arrival();
    void lane.submit('1', true);
    void lane.submit('2', true);
    await expect(lane.submit('3', true)).rejects.toThrow('too many');
  });
});
