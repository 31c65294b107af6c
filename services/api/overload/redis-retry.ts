/**
 * While Redis is away a result or a download is tried again, for a bounded time and in a bounded number. Refusing would lose a
 * final result (it's sent once) or end the agent (a download).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { NotAccepted } from '#queue/group-commit.ts';
import { isTransient } from '#store/connection/errors.ts';

const RETRY_MS = 100;

export type RedisRetry = <T>(work: () => Promise<T>) => Promise<T>;

/** `limitMs`: for how long at most; `limit`: how many requests at a time. */
export function createRedisRetry(limitMs: number, limit: number): RedisRetry {
  let retrying = 0;
  return async (work) => {
    const deadline = performance.now() + limitMs;
    let counted = false;
    try {
      for (;;)
        try {
          return await work();
        } catch (error) {
          if (!isTransient(error) || error instanceof NotAccepted || performance.now() >= deadline) throw error;
          if (!counted && retrying >= limit)
            throw new NotAccepted('too many requests wait for Redis', { cause: error });
          if (!counted) retrying++;
          counted = true;
          await sleep(RETRY_MS);
        }
    } finally {
      if (counted) retrying--;
    }
  };
}
