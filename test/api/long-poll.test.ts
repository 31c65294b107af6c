/** Parked requests, without a server: who is woken by what, and how many at a time. */
import { describe, expect, it } from 'vitest';
import { createLongPoll } from '#services/api/long-poll/long-poll.ts';

const inHand = { enter: () => {}, leave: () => {} };
const onGone = (): void => {};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function longPollOf(limitMs = 60_000, limit = 100_000) {
  const parked = { now: 0 };
  const show = (count: number): void => {
    parked.now = count;
  };
  return { longPoll: createLongPoll({ limitMs, limit, inHand, show }), parked };
}

describe('a parked request', () => {
  it('is checked again when its child changes, when a rollout changes, and for nothing else', async () => {
    const { longPoll, parked } = longPollOf();
    let checks = 0;
    let news = '';
    const answer = longPoll.park({
      id: 'a',
      onGone,
      check: async () => {
        checks++;
        return { done: news !== '', value: news, wakes: ['rel'] };
      },
    });
    await turn();
    expect([checks, parked.now]).toEqual([1, 1]);
    longPoll.childrenChanged(['b', 'c']);
    longPoll.rolloutChanged('another');
    await turn();
    expect(checks).toBe(1);
    longPoll.childrenChanged(['b', 'a']);
    await turn();
    await turn();
    expect(checks).toBe(2);
    news = 'yes';
    longPoll.rolloutChanged('rel');
    expect(await answer).toBe('yes');
    expect([checks, parked.now]).toEqual([3, 0]);
  });

  it('misses no news that come while it is checked', async () => {
    const { longPoll } = longPollOf();
    const { promise, resolve } = Promise.withResolvers<void>();
    let checks = 0;
    const answer = longPoll.park({
      id: 'a',
      onGone,
      check: async () => {
        checks++;
        if (checks === 1) await promise;
        return { done: checks > 1, value: checks, wakes: [] };
      },
    });
    longPoll.childrenChanged(['a']);
    await turn();
    resolve();
    expect(await answer).toBe(2);
  });

  it('ends with its time, with its client, and with the process', async () => {
    const check = async () => ({ done: false, value: 'nothing', wakes: [] });
    const short = longPollOf(20);
    expect(await short.longPoll.park({ id: 'a', onGone, check })).toBe('nothing');
    const { longPoll, parked } = longPollOf();
    let leave = (): void => {};
    const left = longPoll.park({ id: 'a', onGone: (gone) => (leave = gone), check });
    await turn();
    leave();
    expect(await left).toBe('nothing');
    const last = longPoll.park({ id: 'b', onGone, check });
    await turn();
    longPoll.close();
    expect(await last).toBe('nothing');
    expect(parked.now).toBe(0);
  });

  it('is refused at once when as many are parked as may be', async () => {
    const { longPoll, parked } = longPollOf(60_000, 1);
    const check = async () => ({ done: false, value: 1, wakes: [] });
    const first = longPoll.park({ id: 'a', onGone, check });
    expect(await longPoll.park({ id: 'b', onGone, check })).toBeNull();
    expect(parked.now).toBe(1);
    longPoll.close();
    await first;
  });
});

describe('a wake-up of all', () => {
  it('checks a few in a turn of the event loop, so that others are served meanwhile', async () => {
    const { longPoll } = longPollOf();
    const COUNT = 20_000;
    let checks = 0;
    let open = false;
    const all = Array.from({ length: COUNT }, (_, i) =>
      longPoll.park({
        id: `c-${i}`,
        onGone,
        check: async () => {
          checks++;
          return { done: open, value: i, wakes: ['rel'] };
        },
      }),
    );
    await turn();
    expect(checks).toBe(COUNT);
    open = true;
    longPoll.rolloutChanged('rel');
    let most = 0;
    for (let before = checks; checks < 2 * COUNT; before = checks) {
      await turn();
      most = Math.max(most, checks - before);
    }
    expect(most).toBeLessThanOrEqual(400);
    expect(await Promise.all(all)).toHaveLength(COUNT);
  });
});
