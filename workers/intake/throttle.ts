/** Early ticks, but not one for each batch: a rollout that changes all the time is looked at some fifty times a second. */

const EVERY_MS = 20;

/**
 * The first kick after a quiet time goes out at once; those that come within 20 ms of the last one go out together at the
 * end of that time. One that is lost is made up for by the periodic tick.
 */
export function throttled(
  kick: (release: string) => Promise<void>,
  stack: AsyncDisposableStack,
): (release: string) => void {
  const pending = new Map<string, { again: boolean; timer: NodeJS.Timeout }>();
  stack.defer(() => {
    for (const { timer } of pending.values()) clearTimeout(timer);
  });

  function send(release: string): void {
    void kick(release).catch(() => {});
    const timer = setTimeout(() => {
      const again = pending.get(release)?.again === true;
      pending.delete(release);
      if (again) send(release);
    }, EVERY_MS);
    pending.set(release, { again: false, timer });
  }

  return (release) => {
    const waiting = pending.get(release);
    if (waiting === undefined) send(release);
    else waiting.again = true;
  };
}
