/** What tests of whole releases wait for and look at. */
import { expect } from 'vitest';
import { contributionOf, foldContributions } from '#domain/record.ts';
import { createKeys } from '#store/keys.ts';
import { connectRedis, untilReady } from '#store/redis.ts';
import { createStores } from '#store/stores.ts';
import type { ReleaseView } from '#wire/operator.ts';
import type { Operator } from './operator.ts';
import { until } from './until.ts';

/** Nothing lost, nothing counted twice: the counts are those of the children's own records, and all of them are done. */
export async function countsAreTrue(url: string, release: string, partitions: number): Promise<void> {
  const client = connectRedis(url, 'work', () => {});
  try {
    await untilReady(client);
    const keys = createKeys('uc');
    const { children, releases } = createStores(client, keys, partitions);
    const tag = (await releases.rollout(release))?.tag ?? '';
    for (let p = 0; p < partitions; p++) {
      const ids = await client.zrange(keys.index(p, release), 0, '-1');
      const records = await Promise.all(ids.map((id) => children.record(tag, id)));
      const recount = foldContributions(records.filter((record) => record !== null));
      const counts = Object.entries(await client.hgetall(keys.agg(p, release))).filter(
        ([field]) => !field.startsWith('@'),
      );
      expect(Object.fromEntries(counts.map(([field, n]) => [field, Number(n)]))).toEqual(Object.fromEntries(recount));
      for (const record of records) if (record !== null) expect(contributionOf(record).get('r3')).toBe(1);
      expect(await client.llen(keys.dead(p))).toBe(0);
    }
  } finally {
    client.disconnect();
  }
}

export const finished = (operator: Operator, id: string, withinMs = 55_000): Promise<ReleaseView> =>
  until(
    'completed',
    async () => {
      const view = await operator.show(id).catch(() => null);
      if (view?.state === 'halted') throw new Error(`halted: ${view.reason}`);
      return view?.state === 'completed' && view;
    },
    withinMs,
  );

export const atWork = (operator: Operator, id: string) =>
  until('children are at work', async () => ((await operator.show(id)).progress.children.Doing ?? 0) > 0);
