/** `/end_stage` of a child in its first stage: the gate closed, and open. */
import { startBaseline } from '../lib/baseline.ts';
import { joinAll, operator, show, enrolAll, until } from '../lib/fleet.ts';
import { load } from '../lib/load.ts';
import { alternate, compared, type Part, type Row } from '../lib/part.ts';
import { startManager, startRedis } from '../lib/processes.ts';
import { STAGES } from '../lib/release.ts';

const CHILDREN = 5_000;

export const endStage: Part = {
  name: 'end_stage',
  about: 'gate closed, and open',
  async run({ rounds, seconds }) {
    await using stack = new AsyncDisposableStack();
    const manager = await startManager(stack, await startRedis(stack));
    const [stage, next] = STAGES;
    const fleet = { prefix: 'ask', children: CHILDREN, release: 'ask', stage, next };
    await joinAll(manager, 'ask', CHILDREN);
    await enrolAll(manager.url, 'ask', CHILDREN);
    const gate = async (): Promise<unknown> =>
      (await show(manager.url, 'ask')).progress.locations[0]?.stages[0]?.['gate'];

    async function measure(what: string, answer: string, atLeast: number): Promise<Row> {
      const koa = await startBaseline(stack, 'koa', answer);
      const asks = { ...fleet, path: '/end_stage', body: 'end_stage', seconds } as const;
      const values = await alternate(rounds, {
        ours: async () => (await load({ ...asks, port: manager.port })).perSecond,
        koa: async () => (await load({ ...asks, port: koa.port })).perSecond,
      });
      const row = { part: 'end_stage', what, unit: '/s', target: { atLeast } };
      return compared(row, values.ours, { what: 'bare Koa', values: values.koa });
    }

    // All but one wait: the gate stays closed for everybody.
    const results = { ...fleet, path: '/result', body: 'result', port: manager.port } as const;
    await load({ ...results, children: CHILDREN - 1, count: CHILDREN - 1 });
    const closed = await measure('gate closed', '{"end_stage":false}', 1);
    if ((await gate()) !== 'closed') throw new Error('the gate is not closed');
    await load({ ...results, from: CHILDREN - 1, children: 1, count: 1 });
    await until(async () => (await gate()) === 'open');
    const open = await measure('gate open', '{"end_stage":true}', 1.2);
    await operator(manager.url, 'POST', '/releases/ask/abort', {});
    return [closed, open];
  },
};
