/** A new child at each request, in a small fleet and in a large one. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startBaseline } from '../lib/baseline.ts';
import { load } from '../lib/load.ts';
import { alternate, compared, type Part } from '../lib/part.ts';
import { openRedis, populate } from '../lib/populate.ts';
import { startManager, startRedis } from '../lib/processes.ts';

const SMALL = 10_000;
const COUNT = 10_000;
/** Children that join come over connections of their own. */
const CONNECTIONS = 500;
const CHECK_MS = 20;

export const join: Part = {
  name: 'join',
  about: 'a new child at each request',
  async run({ rounds, quick, say }) {
    await using stack = new AsyncDisposableStack();
    const large = quick ? 100_000 : 1_000_000;
    const fleet = async (children: number): Promise<() => Promise<number>> => {
      const url = await startRedis(stack);
      const redis = await openRedis(stack, url);
      await populate(redis, 'j', 0, children);
      const manager = await startManager(stack, url);
      let expected = children;
      return async () => {
        const { perSecond } = await load({
          port: manager.port,
          path: '/poll',
          body: 'join',
          count: COUNT,
          connections: CONNECTIONS,
        });
        expected += COUNT;
        // The next round starts with an empty queue.
        while ((await redis.children.count()) < expected) await sleep(CHECK_MS);
        return perSecond;
      };
    };
    const small = await fleet(SMALL);
    say(`  ${large.toLocaleString('en')} children are put into Redis`);
    const big = await fleet(large);
    const koa = await startBaseline(stack, 'koa', '{"id":"7cb606ee-fde1-4b2c-bffc-20f558fc2867","new_release":""}');
    const values = await alternate(rounds, {
      big,
      small,
      koa: async () =>
        (await load({ port: koa.port, path: '/poll', body: 'join', count: COUNT, connections: CONNECTIONS })).perSecond,
    });
    const row = { part: 'join', unit: '/s' };
    const at = `at ${large.toLocaleString('en')} children`;
    return [
      compared({ ...row, what: at, target: { atLeast: 0.6 } }, values.big, { what: 'bare Koa', values: values.koa }),
      compared({ ...row, what: at, target: { atLeast: 0.9 } }, values.big, {
        what: `at ${SMALL.toLocaleString('en')}`,
        values: values.small,
      }),
    ];
  },
};
