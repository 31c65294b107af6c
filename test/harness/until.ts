import { setTimeout as sleep } from 'node:timers/promises';

const EVERY_MS = 25;

/** Asks again until the answer is there. For what another process does: there is no event to await. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | false | null | undefined>,
  withinMs = 20_000,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (answer !== false && answer !== null && answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await sleep(EVERY_MS);
  }
}
