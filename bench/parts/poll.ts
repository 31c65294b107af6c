/** A poll of a known child with nothing waiting: one API process on one core, beside bare servers on the same core. */
import { startBaseline } from '../lib/baseline.ts';
import { joinAll } from '../lib/fleet.ts';
import { load } from '../lib/load.ts';
import { alternate, compared, type Part } from '../lib/part.ts';
import { startManager, startRedis } from '../lib/processes.ts';

const CHILDREN = 10_000;

export const poll: Part = {
  name: 'poll',
  about: 'known child, nothing waiting',
  async run({ rounds, seconds }) {
    await using stack = new AsyncDisposableStack();
    const manager = await startManager(stack, await startRedis(stack));
    await joinAll(manager, 'poll', CHILDREN);
    const answer = '{"id":"poll-1234","new_release":""}';
    const koa = await startBaseline(stack, 'koa', answer);
    const http = await startBaseline(stack, 'http', answer);
    const polls = { path: '/poll', body: 'poll', prefix: 'poll', children: CHILDREN, seconds } as const;
    const values = await alternate(rounds, {
      ours: async () => (await load({ ...polls, port: manager.port })).perSecond,
      koa: async () => (await load({ ...polls, port: koa.port })).perSecond,
      http: async () => (await load({ ...polls, port: http.port })).perSecond,
    });
    const row = { part: 'poll', what: 'known child, nothing waiting', unit: '/s' };
    return [
      compared({ ...row, target: { atLeast: 1 } }, values.ours, { what: 'bare Koa', values: values.koa }),
      compared({ ...row, target: { atLeast: 0.8 } }, values.ours, { what: 'bare node:http', values: values.http }),
    ];
  },
};
