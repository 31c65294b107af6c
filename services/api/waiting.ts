/**
 * Held answers (HOLD_MS): a request with nothing to say yet is answered the moment there is something, or when its time is
 * over, so that agents which know nothing of it ask 10 to 30 times less. A wake-up is a child that moved (its enrolment, its
 * results) or a rollout that changed (a gate).
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Woken in one turn of the event loop; between turns other requests are served. */
const AT_ONCE = 200;

/** Calls back when the client has gone away. */
export type Gone = (callback: () => void) => void;

/** What a look came to; `wakes`: the releases whose rollouts may change the answer. */
type Look<T> = { done: boolean; value: T; wakes: readonly string[] };

type Waiter = { woken: boolean; wake(): void };

export type Waiting = {
  /** Answers are held at all. */
  readonly holds: boolean;
  /**
   * Looks, and again whenever it's woken, until it's done or the time is over; null: as many are held as may be. It's
   * registered before its first look, so that no news slips in between.
   */
  hold<T>(id: string, gone: Gone, look: () => Promise<Look<T>>): Promise<T | null>;
  children(ids: readonly string[]): void;
  rollout(release: string): void;
  /** After news may have been lost. */
  everybody(): void;
  close(): void;
};

/** `inHand` is told when a request waits and when it's looked at: while it waits it's no load. `show`: how many wait. */
export function createWaiting(
  holdMs: number,
  limit: number,
  inHand: { enter(): void; leave(): void },
  show: (held: number) => void,
): Waiting {
  const byChild = new Map<string, Set<Waiter>>();
  const byRelease = new Map<string, Set<Waiter>>();
  const queue: Waiter[] = [];
  let held = 0;
  let closed = false;
  let waking = false;

  const add = (map: Map<string, Set<Waiter>>, key: string, waiter: Waiter): void => {
    const set = map.get(key);
    if (set === undefined) map.set(key, new Set([waiter]));
    else set.add(waiter);
  };
  const remove = (map: Map<string, Set<Waiter>>, key: string, waiter: Waiter): void => {
    const set = map.get(key);
    if (set?.delete(waiter) === true && set.size === 0) map.delete(key);
  };

  async function wakeQueued(): Promise<void> {
    waking = true;
    while (queue.length > 0) {
      for (const waiter of queue.splice(0, AT_ONCE)) waiter.wake();
      await nextTurn();
    }
    waking = false;
  }
  function wake(waiters: Iterable<Waiter> | undefined): void {
    for (const waiter of waiters ?? [])
      if (!waiter.woken) {
        waiter.woken = true;
        queue.push(waiter);
      }
    if (!waking) void wakeQueued();
  }

  async function hold<T>(id: string, gone: Gone, look: () => Promise<Look<T>>): Promise<T | null> {
    if (held >= limit || closed) return null;
    let signal: (() => void) | null = null;
    let over = false;
    const end = (): void => {
      over = true;
      signal?.();
    };
    const waiter: Waiter = { woken: false, wake: () => signal?.() };
    const releases = new Set<string>();
    show(++held);
    add(byChild, id, waiter);
    const timer = setTimeout(end, holdMs);
    gone(end);
    try {
      for (;;) {
        waiter.woken = false;
        const { done, value, wakes } = await look();
        if (done || over || closed) return value;
        for (const release of wakes)
          if (!releases.has(release)) {
            releases.add(release);
            add(byRelease, release, waiter);
          }
        if (!waiter.woken) {
          inHand.leave();
          await new Promise<void>((resolve) => {
            signal = resolve;
          });
          inHand.enter();
        }
        signal = null;
        if (over || closed) return value;
      }
    } finally {
      clearTimeout(timer);
      show(--held);
      remove(byChild, id, waiter);
      for (const release of releases) remove(byRelease, release, waiter);
    }
  }

  const everybody = (): void => {
    for (const waiters of byChild.values()) wake(waiters);
  };
  return {
    holds: holdMs > 0,
    hold,
    children(ids) {
      for (const id of ids) wake(byChild.get(id));
    },
    rollout: (release) => wake(byRelease.get(release)),
    everybody,
    close() {
      closed = true;
      everybody();
    },
  };
}
