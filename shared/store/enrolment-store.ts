/** Enrolling: batch by batch through a partition, resumable at any batch, each batch atomic. */
import type { Rollout } from '#domain/rollout.ts';
import { ALL } from '#domain/plan.ts';
import type { ChildStore } from './child-store.ts';
import type { Keys } from './keys.ts';
import type { Client } from './redis.ts';
import type { Replicated } from './replicated.ts';
import { runScript } from './script.ts';

const BATCH = 500;
const FIRST_ATTEMPT = 1;

export type EnrolmentStore = ReturnType<typeof createEnrolmentStore>;

export function createEnrolmentStore(
  client: Client,
  keys: Keys,
  { bySeen, moved }: Pick<ChildStore, 'bySeen' | 'moved'>,
  replicated: Replicated,
) {
  const childKeys = (p: number, ids: readonly string[]): string[] => ids.map((id) => keys.child(p, id));

  async function walk(
    p: number,
    rollout: Rollout,
    apply: (ids: string[], cursor: number, silent: number | '', was: string) => Promise<unknown>,
  ): Promise<boolean> {
    const stored = await client.hget(keys.agg(p, rollout.release), '@cursor');
    // The cursor is exclusive: one millisecond earlier to take `freshSince` itself in.
    const from = stored === null ? rollout.freshSince - 1 : Number(stored);
    const batch = await bySeen(p, from, BATCH);
    const silent = batch.last ? await client.zcount(keys.seen(p), '-inf', `(${rollout.freshSince}`) : '';
    await apply(batch.ids, batch.cursor, silent, stored ?? '');
    return batch.last;
  }

  const enrol = async (
    p: number,
    rollout: Rollout,
    location: string,
    ids: readonly string[],
    cursor: number | '',
    silent: number | '',
    was: string,
  ): Promise<void> => {
    const agg = keys.agg(p, rollout.release);
    // A child that is offered a release and then finds itself not enrolled ends.
    const enrolled = (await replicated(agg, (on) =>
      runScript(
        on,
        'enrol',
        { agg, index: keys.index(p, rollout.release), order: keys.order(p, rollout.release) },
        [
          rollout.release,
          rollout.tag,
          rollout.epoch,
          FIRST_ATTEMPT,
          location,
          rollout.stages.length,
          rollout.startedAt ?? 0,
          cursor,
          silent,
          was,
          ...ids,
        ],
        childKeys(p, ids),
      ),
    )) as string[];
    // Whoever holds a poll of one of them answers it now.
    if (enrolled.length > 0) await moved(enrolled);
  };

  return {
    /** Enrols the next batch of a partition in the one location of all children. True: the partition is done. */
    enrolBatch: (p: number, rollout: Rollout): Promise<boolean> =>
      walk(p, rollout, (ids, cursor, silent, was) => enrol(p, rollout, ALL, ids, cursor, silent, was)),

    /** Enrols a child that is a location of its own. */
    enrolChild: (p: number, rollout: Rollout, id: string): Promise<void> => enrol(p, rollout, '', [id], '', '', ''),

    /** Puts the next batch of a partition in order of joining. True: the partition is done. */
    orderBatch: (p: number, rollout: Rollout): Promise<boolean> =>
      walk(p, rollout, (ids, cursor, silent) =>
        runScript(
          client,
          'order',
          { agg: keys.agg(p, rollout.release), order: keys.order(p, rollout.release) },
          [rollout.tag, rollout.startedAt ?? 0, cursor, silent, ...ids],
          childKeys(p, ids),
        ),
      ),

    /** Whether a partition has nothing left to do for the location. */
    async isDone(p: number, rollout: Rollout, kind: 'enrol' | 'order'): Promise<boolean> {
      return (await client.hexists(keys.agg(p, rollout.release), kind === 'enrol' ? '@mark' : '@ordered')) === 1;
    },
  };
}
