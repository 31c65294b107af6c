/**
 * Which processes are at work on the data. `choir repartition` moves all of it, and a manager at work meanwhile would write where
 * nothing looks any more: each process says every few seconds that it lives, and none starts while the data is moved.
 */
import { isTransient } from '#store/connection/errors.ts';
import { randomUUID } from 'node:crypto';
import { ConfigError } from '#runtime/config.ts';
import type { Logger } from '#runtime/log.ts';
import type { Keys } from './keys.ts';
import { SCHEMA } from './schema.ts';
import type { Client } from '#store/connection/client.ts';
import { runScript } from '#store/connection/script.ts';

const LEASE_MS = 12_000;
const REFRESH_MS = 3_000;

export const halfWay = (to: string): ConfigError =>
  new ConfigError(
    `the data is being moved to ${to} partitions: run "choir repartition ${to}" again until it says that it is done`,
  );

type Lease = { client: Client; keys: Keys; partitions: number; log: Logger };

/** Keeps a process' lease until the stack is released. */
export async function keepLease({ client, keys, partitions, log }: Lease, stack: AsyncDisposableStack): Promise<void> {
  const name = randomUUID();
  const take = () =>
    runScript(client, 'take-lease', { keys: { meta: keys.meta }, args: [name, LEASE_MS, partitions, SCHEMA] });
  if ((await take()) !== 'taken') {
    const to = await client.hget(keys.meta, 'repartitioning');
    throw to === null ? new ConfigError('the number of partitions was just changed: start again') : halfWay(to);
  }
  let underway: Promise<void> = Promise.resolve();
  async function refresh(): Promise<void> {
    try {
      if ((await take()) === 'taken') return;
    } catch (error) {
      if (!isTransient(error)) log.warn({ error: (error as Error).message }, 'the lease was not kept');
      return;
    }
    // It was stopped or cut off for so long that it was taken for dead: all that it would write goes to the wrong partition.
    log.fatal('the data was moved to another number of partitions under a manager that seemed to have ended');
    process.exit(1);
  }
  const timer = setInterval(() => {
    underway = refresh();
  }, REFRESH_MS);
  timer.unref();
  stack.defer(async () => {
    clearInterval(timer);
    await underway;
    if (client.status === 'ready') await client.hdel(keys.meta, `alive:${name}`).catch(() => {});
  });
}
