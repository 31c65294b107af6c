/** The one composition root of `choir repartition`. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError, dataEnvironment } from '#runtime/config.ts';
import { createLog, type Logger } from '#runtime/log.ts';
import { connectRedis, untilReady } from '#store/redis.ts';
import { repartition } from './repartition.ts';

const EVERY_MS = 1_000;
const ANSWER_MS = 10_000;

function noRedis(): never {
  throw new Error('no Redis answers at REDIS_URL');
}

/** Locks DATA_DIR and starts its Redis; resolves with its address. */
export type OpenEmbedded = (dataDir: string, path: string, log: Logger, stack: AsyncDisposableStack) => Promise<string>;

export async function runRepartition(to: number, openEmbedded: OpenEmbedded): Promise<void> {
  const { redisUrl, dataDir, path, keyPrefix, logLevel } = dataEnvironment();
  const log = createLog('repartition', logLevel);
  await using stack = new AsyncDisposableStack();
  let interrupted = false;
  const interrupt = (): void => {
    interrupted = true;
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, interrupt);
    stack.defer(() => void process.off(signal, interrupt));
  }
  if (redisUrl === undefined && !existsSync(dataDir))
    throw new ConfigError(`DATA_DIR ${dataDir} doesn't exist: set it, or REDIS_URL, to where the manager's data is`);
  const address = redisUrl ?? (await openEmbedded(dataDir, path, log, stack));
  const client = connectRedis(address, 'work', (error) => log.warn({ error: error.message }, 'Redis is away'));
  stack.defer(() => client.disconnect());
  await Promise.race([untilReady(client), sleep(ANSWER_MS, undefined, { ref: false }).then(noRedis)]);

  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  let last = -Infinity;
  let said = -1;
  await repartition(client, keyPrefix, to, {
    say,
    moved(children, of) {
      if (interrupted) throw new Error(`interrupted: run "choir repartition ${to}" again to go on`);
      if (children === said || performance.now() - last < EVERY_MS) return;
      last = performance.now();
      said = children;
      say(`moved ${children} of ${of} children`);
    },
  });
}
