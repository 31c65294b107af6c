/** Opens a stopped manager's data for a command: REDIS_URL, or else the Redis that keeps DATA_DIR. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError, dataEnvironment } from '#runtime/config.ts';
import { createLog, type Logger } from '#runtime/log.ts';
import { type Client, untilReady } from '#store/connection/client.ts';
import { connectRedis } from '#store/connection/redis.ts';

const ANSWER_MS = 10_000;

/** Locks DATA_DIR and starts its Redis; resolves with its address. */
export type OpenEmbedded = (dataDir: string, path: string, log: Logger, stack: AsyncDisposableStack) => Promise<string>;

/** `isInterrupted`: SIGINT or SIGTERM has come. */
export type OpenedData = { client: Client; keyPrefix: string; isInterrupted(): boolean };

export async function openData(
  purpose: string,
  openEmbedded: OpenEmbedded,
  stack: AsyncDisposableStack,
): Promise<OpenedData> {
  const { redisUrl, dataDir, path, keyPrefix, logLevel } = dataEnvironment();
  const log = createLog(purpose, logLevel);
  const isInterrupted = followInterrupts(stack);
  if (redisUrl === undefined && !existsSync(dataDir))
    throw new ConfigError(`DATA_DIR ${dataDir} doesn't exist: set it, or REDIS_URL, to where the manager's data is`);
  const address = redisUrl ?? (await openEmbedded(dataDir, path, log, stack));
  const client = connectRedis(address, 'work', (error) => log.warn({ error: error.message }, 'Redis is away'));
  stack.defer(() => client.disconnect());
  await Promise.race([untilReady(client), sleep(ANSWER_MS, undefined, { ref: false }).then(noRedis)]);
  return { client, keyPrefix, isInterrupted };
}

function noRedis(): never {
  throw new Error('no Redis answers at REDIS_URL');
}

function followInterrupts(stack: AsyncDisposableStack): () => boolean {
  let isInterrupted = false;
  const interrupt = (): void => {
    isInterrupted = true;
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, interrupt);
    stack.defer(() => void process.off(signal, interrupt));
  }
  return () => isInterrupted;
}

/** Prints a line that people read. */
export const say = (line: string): void => void process.stdout.write(`${line}\n`);
