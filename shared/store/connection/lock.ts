/** A short lock over what several keys decide together, and no script of a Redis Cluster could. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from './client.ts';
import { runScript } from './script.ts';

const LOCK_MS = 5_000;
/** Its holder stops trusting it before it runs out: what it then sends still has to reach Redis. */
const TRUSTED_MS = LOCK_MS - 1_000;
const WAIT_MS = 2_000;
const ASK_MS = 20;

/** `holds`: it's still ours. Null: another process had it all the time. */
export async function underLock<T>(
  client: Client,
  key: string,
  work: (holds: () => boolean) => Promise<T>,
): Promise<{ value: T } | null> {
  const token = randomUUID();
  const deadline = performance.now() + WAIT_MS;
  let since = performance.now();
  while ((await client.set(key, token, 'PX', LOCK_MS, 'NX')) === null) {
    if (performance.now() > deadline) return null;
    await sleep(ASK_MS * (0.5 + Math.random()));
    since = performance.now();
  }
  try {
    return { value: await work(() => performance.now() - since < TRUSTED_MS) };
  } finally {
    // It runs out by itself.
    await runScript(client, 'drop-lock', { keys: { lock: key }, args: [token] }).catch(() => {});
  }
}
