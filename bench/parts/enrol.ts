/** Todo for a whole fleet, from the start of a release to the last child's offer; beside redis-benchmark's HSET. */
import { execFileSync } from 'node:child_process';
import { operator, startAndEnrol, until } from '../lib/fleet.ts';
import { alternate, compared, type Part, type Row } from '../lib/part.ts';
import { openRedis, populate } from '../lib/populate.ts';
import { isOnPath, startManager, startRedis } from '../lib/processes.ts';
import { releaseForm } from '../lib/release.ts';

const WRITES = 1_000_000;

/** redis-benchmark's HSET, 16 to a pipeline: writes a second. */
function hset(redis: string): number {
  const port = new URL(redis).port;
  const args = ['-p', port, '-t', 'hset', '-P', '16', '-n', String(WRITES), '-r', '1000000', '--csv'];
  const output = execFileSync('redis-benchmark', args, { stdio: ['ignore', 'pipe', 'ignore'] }).toString();
  return Number(/"HSET[^"]*","([\d.]+)"/.exec(output)?.[1]);
}

export const enrol: Part = {
  name: 'enrol',
  about: 'a whole fleet is offered a release',
  async run({ rounds, quick, say }) {
    if (!isOnPath('redis-benchmark')) throw new Error('redis-benchmark is not on the path');
    const rows: Row[] = [];
    const first: number[] = [];
    for (const children of quick ? [10_000, 100_000] : [10_000, 100_000, 1_000_000]) {
      await using stack = new AsyncDisposableStack();
      const size = children.toLocaleString('en');
      say(`  ${size} children`);
      const url = await startRedis(stack);
      const redis = await openRedis(stack, url);
      await populate(redis, 'e', 0, children);
      const manager = await startManager(stack, url, { FRESH_FOR: '1h' });
      const other = await startRedis(stack);
      let serial = 0;
      const values = await alternate(children > 100_000 ? Math.min(rounds, 3) : rounds, {
        ours: async () => {
          const release = `enrol-${serial++}`;
          await operator(manager.url, 'POST', '/releases', await releaseForm(release));
          const start = performance.now();
          await startAndEnrol(manager.url, release, children);
          const perSecond = children / ((performance.now() - start) / 1000);
          // One release at a time, as a fleet has it: offers of several would pile up in each child.
          await operator(manager.url, 'POST', `/releases/${release}/abort`, {});
          await until(async () => (await redis.releases.unfinished()).length === 0);
          return perSecond;
        },
        hset: async () => hset(other),
      });
      const row = { part: 'enrol', what: `${size} children`, unit: '/s' };
      const baseline = { what: 'redis-benchmark -P 16 HSET', values: values.hset };
      rows.push(compared({ ...row, target: { atLeast: 0.25 } }, values.ours, baseline));
      if (first.length === 0) first.push(...values.ours);
      else rows.push(compared({ ...row, target: { atLeast: 0.9 } }, values.ours, { what: 'at 10,000', values: first }));
    }
    return rows;
  },
};
