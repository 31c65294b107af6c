/**
 * Early ticks: a rollout that has changed is ticked now, not at the next periodic tick. Requests come by pub/sub, past the
 * queue: a job for each batch of results would cost more than the tick, and would be no safer, as the periodic tick makes up
 * for one that is lost. Two ticks of a rollout may overlap (another scheduler hears the same): the guarded write sees to that.
 */
import type { Logger } from '#runtime/log.ts';

/** Between the end of a tick and the next one: a rollout that changes all the time leaves room for others. */
const REST_MS = 10;

export function createEarlyTicks(
  tick: (release: string) => Promise<void>,
  log: Logger,
  stack: AsyncDisposableStack,
): { request(release: string): void } {
  /** Those that are being ticked, or rest: true, when they're to be ticked again. */
  const busy = new Map<string, boolean>();
  const resting = new Set<NodeJS.Timeout>();
  let stopped = false;
  stack.defer(() => {
    stopped = true;
    for (const timer of resting) clearTimeout(timer);
  });

  async function work(release: string): Promise<void> {
    busy.set(release, false);
    await tick(release).catch((error: Error) =>
      log.debug({ release, error: error.message }, 'an early tick failed; the periodic one comes'),
    );
    const timer = setTimeout(() => {
      resting.delete(timer);
      const again = busy.get(release) === true;
      busy.delete(release);
      if (again) request(release);
    }, REST_MS);
    resting.add(timer);
  }

  function request(release: string): void {
    if (stopped) return;
    if (busy.has(release)) busy.set(release, true);
    else void work(release);
  }
  return { request };
}
