/** Enrolling: batch by batch through a partition, resumable at any batch, each batch atomic. */
import type { Rollout } from '#domain/rollout.ts';
import { ALL } from '#domain/plan.ts';
import type { Keys } from './keys.ts';
import type { Client } from './redis.ts';
import { runScript } from './script.ts';

const BATCH = 500;
const FIRST_ATTEMPT = 1;

export type EnrolmentStore = ReturnType<typeof createEnrolmentStore>;

export function createEnrolmentStore(client: Client, keys: Keys) {
  /**
   * The next children of a partition by last sign of life, from the cursor on. A child that is seen meanwhile only moves
   * towards the end, so that none is passed over; some are met twice, which does no harm.
   */
  async function nextBatch(p: number, cursor: number): Promise<{ ids: string[]; cursor: number; last: boolean }> {
    const rows = await client.zrange(keys.seen(p), `(${cursor}`, '+inf', 'BYSCORE', 'LIMIT', 0, BATCH, 'WITHSCORES');
    const scores = rows.filter((_, i) => i % 2 === 1).map(Number);
    const ids = rows.filter((_, i) => i % 2 === 0);
    const end = scores.at(-1);
    if (end === undefined || ids.length < BATCH) return { ids, cursor: end ?? cursor, last: true };
    // Take all of the last millisecond together, otherwise the next batch would skip the rest of it.
    const ties = await client.zrange(keys.seen(p), end, String(end), 'BYSCORE');
    return { ids: [...new Set([...ids, ...ties])], cursor: end, last: false };
  }

  const childKeys = (p: number, release: string, ids: readonly string[]): string[] =>
    ids.flatMap((id) => [keys.child(p, id), keys.record(p, release, id)]);

  async function walk(
    p: number,
    rollout: Rollout,
    apply: (ids: string[], cursor: number, silent: number | '') => Promise<unknown>,
  ): Promise<boolean> {
    const stored = await client.hget(keys.agg(p, rollout.release), '@cursor');
    // The cursor is exclusive: one millisecond earlier to take `freshSince` itself in.
    const from = stored === null ? rollout.freshSince - 1 : Number(stored);
    const batch = await nextBatch(p, from);
    const silent = batch.last ? await client.zcount(keys.seen(p), '-inf', `(${rollout.freshSince}`) : '';
    await apply(batch.ids, batch.cursor, silent);
    return batch.last;
  }

  const enrol = (
    p: number,
    rollout: Rollout,
    location: string,
    ids: readonly string[],
    cursor: number | '',
    silent: number | '',
  ): Promise<unknown> =>
    runScript(
      client,
      'enrol',
      {
        agg: keys.agg(p, rollout.release),
        index: keys.index(p, rollout.release),
        order: keys.order(p, rollout.release),
      },
      [
        rollout.release,
        rollout.epoch,
        FIRST_ATTEMPT,
        location,
        rollout.stages.length,
        rollout.startedAt ?? 0,
        cursor,
        silent,
        ...ids,
      ],
      childKeys(p, rollout.release, ids),
    );

  return {
    /** Enrols the next batch of a partition in the one location of all children. True: the partition is done. */
    enrolBatch: (p: number, rollout: Rollout): Promise<boolean> =>
      walk(p, rollout, (ids, cursor, silent) => enrol(p, rollout, ALL, ids, cursor, silent)),

    /** Enrols a child that is a location of its own. */
    enrolChild: async (p: number, rollout: Rollout, id: string): Promise<void> =>
      void (await enrol(p, rollout, '', [id], '', '')),

    /** Puts the next batch of a partition in order of joining. True: the partition is done. */
    orderBatch: (p: number, rollout: Rollout): Promise<boolean> =>
      walk(p, rollout, (ids, cursor, silent) =>
        runScript(
          client,
          'order',
          { agg: keys.agg(p, rollout.release), order: keys.order(p, rollout.release) },
          [rollout.startedAt ?? 0, cursor, silent, ...ids],
          childKeys(p, rollout.release, ids),
        ),
      ),

    /** Whether a partition has nothing left to do for the location. */
    async isDone(p: number, rollout: Rollout, kind: 'enrol' | 'order'): Promise<boolean> {
      return (await client.hexists(keys.agg(p, rollout.release), kind === 'enrol' ? '@mark' : '@ordered')) === 1;
    },
  };
}
