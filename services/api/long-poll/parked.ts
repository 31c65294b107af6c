/** Parked requests, by what wakes them. */
import { setImmediate as nextTurn } from 'node:timers/promises';

export type Parked = { woken: boolean; wake(): void };

/** Woken in one turn of the event loop; between turns other requests are served. */
const AT_ONCE = 200;

export class ParkedByKey {
  readonly #sets = new Map<string, Set<Parked>>();

  add(key: string, parked: Parked): void {
    const set = this.#sets.get(key);
    if (set === undefined) this.#sets.set(key, new Set([parked]));
    else set.add(parked);
  }

  remove(key: string, parked: Parked): void {
    const set = this.#sets.get(key);
    if (set?.delete(parked) === true && set.size === 0) this.#sets.delete(key);
  }

  of(key: string): Iterable<Parked> {
    return this.#sets.get(key) ?? [];
  }

  all(): Iterable<Iterable<Parked>> {
    return this.#sets.values();
  }
}

/** Wakes requests, some at a time. */
export function createWakeQueue(): (parked: Iterable<Parked>) => void {
  const queue: Parked[] = [];
  let waking = false;

  async function wakeQueued(): Promise<void> {
    waking = true;
    while (queue.length > 0) {
      for (const parked of queue.splice(0, AT_ONCE)) parked.wake();
      await nextTurn();
    }
    waking = false;
  }

  return (all) => {
    for (const parked of all)
      if (!parked.woken) {
        parked.woken = true;
        queue.push(parked);
      }
    if (!waking) void wakeQueued();
  };
}
