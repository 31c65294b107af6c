/** Held answers, without a server: who is woken by what, and how many at a time. */
import { describe, expect, it } from 'vitest';
import { createWaiting } from '#services/api/waiting.ts';

const nobody = { enter: () => {}, leave: () => {} };
const stays = (): void => {};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function waitingOf(holdMs = 60_000, limit = 100_000) {
  const held = { now: 0 };
  const waiting = createWaiting(holdMs, limit, nobody, (n) => {
    held.now = n;
  });
  return { waiting, held };
}

describe('a held answer', () => {
  it('is looked at again when its child moves, when a rollout changes, and for nothing else', async () => {
    const { waiting, held } = waitingOf();
    let looks = 0;
    let news = '';
    const answer = waiting.hold('a', stays, async () => {
      looks++;
      return { done: news !== '', value: news, wakes: ['rel'] };
    });
    await turn();
    expect([looks, held.now]).toEqual([1, 1]);
    waiting.children(['b', 'c']);
    waiting.rollout('another');
    await turn();
    expect(looks).toBe(1);
    waiting.children(['b', 'a']);
    await turn();
    await turn();
    expect(looks).toBe(2);
    news = 'yes';
    waiting.rollout('rel');
    expect(await answer).toBe('yes');
    expect([looks, held.now]).toEqual([3, 0]);
  });

  it('misses no news that come while it looks', async () => {
    const { waiting } = waitingOf();
    const { promise, resolve } = Promise.withResolvers<void>();
    let looks = 0;
    const answer = waiting.hold('a', stays, async () => {
      looks++;
      if (looks === 1) await promise;
      return { done: looks > 1, value: looks, wakes: [] };
    });
    waiting.children(['a']);
    await turn();
    resolve();
    expect(await answer).toBe(2);
  });

  it('ends with its time, with its client, and with the process', async () => {
    const look = async () => ({ done: false, value: 'nothing', wakes: [] });
    const short = waitingOf(20);
    expect(await short.waiting.hold('a', stays, look)).toBe('nothing');
    const { waiting, held } = waitingOf();
    let leave = (): void => {};
    const left = waiting.hold('a', (gone) => (leave = gone), look);
    await turn();
    leave();
    expect(await left).toBe('nothing');
    const last = waiting.hold('b', stays, look);
    await turn();
    waiting.close();
    expect(await last).toBe('nothing');
    expect(held.now).toBe(0);
  });

  it('is given at once when as many are held as may be', async () => {
    const { waiting, held } = waitingOf(60_000, 1);
    const look = async () => ({ done: false, value: 1, wakes: [] });
    const first = waiting.hold('a', stays, look);
    expect(await waiting.hold('b', stays, look)).toBeNull();
    expect(held.now).toBe(1);
    waiting.close();
    await first;
  });
});

describe('a wake-up of all', () => {
  it('looks at a few in a turn of the event loop, so that others are served meanwhile', async () => {
    const { waiting } = waitingOf();
    const COUNT = 20_000;
    let looks = 0;
    let open = false;
    const all = Array.from({ length: COUNT }, (_, i) =>
      waiting.hold(`c-${i}`, stays, async () => {
        looks++;
        return { done: open, value: i, wakes: ['rel'] };
      }),
    );
    await turn();
    expect(looks).toBe(COUNT);
    open = true;
    waiting.rollout('rel');
    let most = 0;
    for (let before = looks; looks < 2 * COUNT; before = looks) {
      await turn();
      most = Math.max(most, looks - before);
    }
    expect(most).toBeLessThanOrEqual(400);
    expect(await Promise.all(all)).toHaveLength(COUNT);
  });
});
