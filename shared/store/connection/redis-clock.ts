import { masterOf } from './nodes.ts';
import type { Client } from './client.ts';

const SYNC_MS = 1_000;
const MAX_ROUND_TRIP_MS = 50;

/** Milliseconds of Redis' clock: the one clock that all processes share. */
export type Clock = { now(): number };

/**
 * Follows Redis' clock: asks for the time each second and adds what has passed since. No request pays for a command of
 * its own, and the error is at most a round trip. On a cluster it's the clock of the server that holds `key`, for every process.
 */
export async function followRedisClock(client: Client, key: string, stack: AsyncDisposableStack): Promise<Clock> {
  let offset: number | null = null;
  let last = 0;
  const sync = async (): Promise<void> => {
    const server = await masterOf(client, key);
    const sent = performance.now();
    const [seconds, micros] = await server.time();
    const received = performance.now();
    // An answer that took long says little about when it was given.
    if (offset !== null && received - sent > MAX_ROUND_TRIP_MS) return;
    offset = Number(seconds) * 1000 + Number(micros) / 1000 - (sent + received) / 2;
  };
  await sync();
  const timer = setInterval(() => void sync().catch(() => {}), SYNC_MS);
  timer.unref();
  stack.defer(() => clearInterval(timer));
  // Never backwards: what was accepted later must not seem earlier.
  return { now: () => (last = Math.max(last, Math.floor(performance.now() + (offset ?? 0)))) };
}
