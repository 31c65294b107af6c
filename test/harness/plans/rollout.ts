/** What tests of whole releases wait for and look at. */
import { expect } from 'vitest';
import { ReleaseStatus } from '#domain/child/status.ts';
import { contributionOf, foldContributions } from '#domain/counts/contribution.ts';
import { inRelease } from '#domain/counts/counts.ts';
import { untilReady } from '#store/connection/client.ts';
import { connectRedis } from '#store/connection/redis.ts';
import { isCount } from '#store/layout/agg-fields.ts';
import { toFields } from '#store/layout/counts-codec.ts';
import { createKeys } from '#store/layout/keys.ts';
import { createStores } from '#store/stores.ts';
import type { Operator } from '#test/harness/manager/operator.ts';
import { until } from '#test/harness/until.ts';
import type { ReleaseView } from '#wire/operator/responses.ts';

/** Nothing lost, nothing counted twice: the counts are those of the children's own records, and all of them are done. */
export async function countsAreTrue(url: string, release: string, partitions: number): Promise<void> {
  const client = connectRedis(url, 'work', () => {});
  try {
    await untilReady(client);
    const keys = createKeys('uc');
    const { children, releases } = createStores(client, keys, partitions);
    const shortId = (await releases.rollout(release))?.shortId ?? '';
    for (let p = 0; p < partitions; p++) {
      const ids = await client.zrange(keys.index(p, release), 0, '-1');
      const records = await Promise.all(ids.map((id) => children.record(shortId, id)));
      const recount = foldContributions(records.filter((record) => record !== null));
      // As the hash has them, field by field: a count at zero would be one too many.
      const counts = Object.entries(await client.hgetall(keys.agg(p, release))).filter(([field]) => isCount(field));
      expect(Object.fromEntries(counts.map(([field, n]) => [field, Number(n)]))).toEqual(
        Object.fromEntries(toFields(recount)),
      );
      for (const record of records)
        if (record !== null) expect(inRelease(contributionOf(record), ReleaseStatus.Done)).toBe(1);
      expect(await client.llen(keys.deadLetters(p))).toBe(0);
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
