/** Messages that could not be applied, and how often messages of a batch that killed its worker were tried. */
import { type Client, unwrap } from '#store/connection/client.ts';
import type { Keys } from '#store/layout/keys.ts';

const KEPT = 100_000;
const TRIED_FOR_S = 86_400;

export type DeadLetterStore = ReturnType<typeof createDeadLetterStore>;

export function createDeadLetterStore(client: Client, keys: Keys, partitions: number) {
  return {
    /** Keeps a message with the reason; the oldest of a partition go where there are too many. */
    async bury(partition: number, message: unknown, reason: string): Promise<void> {
      const letter = JSON.stringify({ at: new Date().toISOString(), reason, message });
      await client.lpush(keys.deadLetters(partition), letter);
      await client.ltrim(keys.deadLetters(partition), 0, KEPT - 1);
    },

    /** Newest first within a partition; JSON texts. */
    async list(limit: number): Promise<string[]> {
      const lists = await Promise.all(
        Array.from({ length: partitions }, async (_, p) => {
          const pipeline = client.pipeline().lrange(keys.deadLetters(p), 0, limit - 1);
          return unwrap(await pipeline.exec())[0] as string[];
        }),
      );
      return lists.flat().slice(0, limit);
    },

    /** By the message's place in the batch: how often its trying was begun and never finished. */
    tries: (partition: number, batch: string): Promise<Record<string, string>> =>
      client.hgetall(keys.tried(partition, batch)),

    /** Before a message is tried; how often that was by now. */
    async beginTry(partition: number, batch: string, message: number): Promise<number> {
      const key = keys.tried(partition, batch);
      const tries = await client.hincrby(key, String(message), 1);
      await client.expire(key, TRIED_FOR_S);
      return tries;
    },

    endTry: async (partition: number, batch: string, message: number): Promise<void> =>
      void (await client.hset(keys.tried(partition, batch), String(message), 0)),

    forgetTries: async (partition: number, batch: string): Promise<void> =>
      void (await client.del(keys.tried(partition, batch))),
  };
}
