/**
 * Holding: while Redis is away a result or a download is kept waiting and tried again, for a bounded time and in a
 * bounded number. Refusing would lose a final result (it's sent once) or end the agent (a download).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { NotAccepted } from '#queue/group-commit.ts';
import { isTransient } from '#store/redis.ts';

const RETRY_MS = 100;

export type Hold = <T>(work: () => Promise<T>) => Promise<T>;

export function createHold(holdMs: number, maxHeld: number): Hold {
  let held = 0;
  return async (work) => {
    const deadline = performance.now() + holdMs;
    let counted = false;
    try {
      for (;;)
        try {
          return await work();
        } catch (error) {
          if (!isTransient(error) || error instanceof NotAccepted || performance.now() >= deadline) throw error;
          if (!counted && held >= maxHeld) throw new NotAccepted('too many requests are held', { cause: error });
          if (!counted) held++;
          counted = true;
          await sleep(RETRY_MS);
        }
    } finally {
      if (counted) held--;
    }
  };
}
