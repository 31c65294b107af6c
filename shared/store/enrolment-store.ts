/** Enrolling: batch by batch through a partition, resumable at any batch, each batch atomic. */
import type { Rollout } from '#domain/rollout.ts';
import { ALL } from '#domain/plan.ts';
import type { ChildStore } from './child-store.ts';
import type { Keys } from './keys.ts';
import type { ReleaseStore } from './release-store.ts';
import type { Client } from './redis.ts';
import type { Replicated } from './replicated.ts';
import { runScript } from './script.ts';

/** Children in one Lua call: about a millisecond, in which Redis serves nobody else. */
const BATCH = 250;
const FIRST_ATTEMPT = 1;

export type EnrolmentStore = ReturnType<typeof createEnrolmentStore>;

export function createEnrolmentStore(
  client: Client,
  keys: Keys,
  { bySeen }: Pick<ChildStore, 'bySeen'>,
  { unfinished }: Pick<ReleaseStore, 'unfinished'>,
  replicated: Replicated,
) {
  /** True: the partition is done. `child`: only this one, which is a location of its own. */
  async function enrol(p: number, rollout: Rollout, child: string): Promise<boolean> {
    const { release, tag, epoch, stages, startedAt, freshSince } = rollout;
    const agg = keys.agg(p, release);
    const all = { agg, index: keys.index(p, release), order: keys.order(p, release), seen: keys.seen(p) };
    const live = (await unfinished()).join(' ');
    // A child that is offered a release and then finds itself not enrolled ends.
    const done = await replicated(agg, (on) =>
      runScript(on, 'enrol', all, [
        release,
        tag,
        epoch,
        FIRST_ATTEMPT,
        child === '' ? ALL : '',
        stages.length,
        startedAt ?? 0,
        freshSince,
        BATCH,
        keys.child(p, ''),
        live,
        keys.moved,
        child,
      ]),
    );
    return done === 1;
  }

  return {
    /** Enrols the next batch of a partition in the one location of all children. True: the partition is done. */
    enrolBatch: (p: number, rollout: Rollout): Promise<boolean> => enrol(p, rollout, ''),

    /** Enrols a child that is a location of its own. */
    enrolChild: async (p: number, rollout: Rollout, id: string): Promise<void> => void (await enrol(p, rollout, id)),

    /** Puts the next batch of a partition in order of joining. True: the partition is done. */
    async orderBatch(p: number, { release, tag, startedAt, freshSince }: Rollout): Promise<boolean> {
      const stored = await client.hget(keys.agg(p, release), '@cursor');
      // The cursor is exclusive: one millisecond earlier to take `freshSince` itself in.
      const { ids, cursor, last } = await bySeen(p, stored === null ? freshSince - 1 : Number(stored), BATCH);
      const silent = last ? await client.zcount(keys.seen(p), '-inf', `(${freshSince}`) : '';
      await runScript(
        client,
        'order',
        { agg: keys.agg(p, release), order: keys.order(p, release) },
        [tag, startedAt ?? 0, cursor, silent, ...ids],
        ids.map((id) => keys.child(p, id)),
      );
      return last;
    },

    /** Whether a partition has nothing left to do for the location. */
    async isDone(p: number, rollout: Rollout, kind: 'enrol' | 'order'): Promise<boolean> {
      return (await client.hexists(keys.agg(p, rollout.release), kind === 'enrol' ? '@mark' : '@ordered')) === 1;
    },
  };
}
