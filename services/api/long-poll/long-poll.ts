/**
 * Long polls (LONG_POLL_MS): a request with nothing to say yet is parked, and answered the moment there is something, or when
 * its time is over, so that agents which know nothing of it ask 10 to 30 times less. A wake-up is a child that changed (its
 * enrolment, its results) or a rollout that changed (a gate).
 */
import { createWakeQueue, type Parked, ParkedByKey } from './parked.ts';

/** Calls back when the client has gone away. */
export type OnGone = (callback: () => void) => void;

/** What a check came to; `wakes`: the releases whose rollouts may change the answer. */
type Checked<T> = { done: boolean; value: T; wakes: readonly string[] };

/** A request: of which child, when its client goes away, and what it asks. */
export type Question<T> = { id: string; onGone: OnGone; check(): Promise<Checked<T>> };

export type LongPoll = {
  /** Requests are parked at all. */
  readonly isOn: boolean;
  /**
   * Checks, and again whenever it's woken, until it's done or the time is over; null: as many are parked as may be. It's
   * registered before its first check, so that no news slips in between.
   */
  park<T>(question: Question<T>): Promise<T | null>;
  childrenChanged(ids: readonly string[]): void;
  rolloutChanged(release: string): void;
  /** After news may have been lost. */
  wakeAll(): void;
  close(): void;
};

type Options = {
  /** How long a request is parked, at most; 0: not at all. */
  limitMs: number;
  /** How many are parked at a time, at most. */
  limit: number;
  /** Is told when a request is parked and when it's checked: while it's parked it's no load. */
  inHand: { enter(): void; leave(): void };
  /** Is told how many are parked. */
  show(parked: number): void;
};

/** The requests that are parked, and how they are woken. */
type State = Options & {
  byChild: ParkedByKey;
  byRelease: ParkedByKey;
  count: number;
  isClosed: boolean;
};

export function createLongPoll(options: Options): LongPoll {
  const state: State = {
    ...options,
    byChild: new ParkedByKey(),
    byRelease: new ParkedByKey(),
    count: 0,
    isClosed: false,
  };
  const wake = createWakeQueue();
  const wakeAll = (): void => {
    for (const parked of state.byChild.all()) wake(parked);
  };
  return {
    isOn: options.limitMs > 0,
    park: (question) => park(state, question),
    childrenChanged(ids) {
      for (const id of ids) wake(state.byChild.of(id));
    },
    rolloutChanged: (release) => wake(state.byRelease.of(release)),
    wakeAll,
    close() {
      state.isClosed = true;
      wakeAll();
    },
  };
}

async function park<T>(state: State, { id, onGone, check }: Question<T>): Promise<T | null> {
  if (state.count >= state.limit || state.isClosed) return null;
  let signal: (() => void) | null = null;
  let over = false;
  const end = (): void => {
    over = true;
    signal?.();
  };
  const parked: Parked = { woken: false, wake: () => signal?.() };
  const releases = new Set<string>();
  state.show(++state.count);
  state.byChild.add(id, parked);
  const timer = setTimeout(end, state.limitMs);
  onGone(end);
  try {
    for (;;) {
      parked.woken = false;
      const { done, value, wakes } = await check();
      if (done || over || state.isClosed) return value;
      for (const release of wakes) {
        if (!releases.has(release)) state.byRelease.add(release, parked);
        releases.add(release);
      }
      if (!parked.woken) {
        state.inHand.leave();
        await new Promise<void>((resolve) => {
          signal = resolve;
        });
        state.inHand.enter();
      }
      signal = null;
      if (over || state.isClosed) return value;
    }
  } finally {
    clearTimeout(timer);
    state.show(--state.count);
    state.byChild.remove(id, parked);
    for (const release of releases) state.byRelease.remove(release, parked);
  }
}
