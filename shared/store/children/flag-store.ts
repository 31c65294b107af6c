/**
 * What the manager itself makes of children in a release: lost, overdue, ejected, promoted, tried again. Each is a change of
 * what was read (see compare-and-set.ts); where a message came in between, it's read and judged again. Parked requests of
 * children that changed are told.
 */
import { FLAG } from '#domain/child/flags.ts';
import { canBeOverdue, canRetry, isEjected, isUnderway, lossOf } from '#domain/child/flag-rules.ts';
import { currentStage } from '#domain/child/record.ts';
import { ReleaseStatus } from '#domain/child/status.ts';
import { ALL } from '#domain/plan/plan.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';
import type { Client } from '#store/connection/client.ts';
import { AGG } from '#store/layout/agg-fields.ts';
import type { Keys } from '#store/layout/keys.ts';
import type { ChildStore } from './child-store.ts';
import type { ReadRecord, RecordChange } from './compare-and-set.ts';
import { freshHead, type RecordHead, type StoredRecord, toRecord } from './record-codec.ts';
import { createRetryPages } from './retry-pages.ts';

/** Children in one Lua call: about a millisecond, in which Redis serves nobody else. */
const AT_ONCE = 250;
/** Messages of one child come seconds apart. */
const ROUNDS = 5;

export type FlagStore = ReturnType<typeof createFlagStore>;

export type Ejected = 'ejected' | 'unknown' | 'done' | 'unenrolled';
type Change = Omit<RecordChange, 'before'>;
/** What is to become of a child as it stands, or null: nothing. */
type Judge = (record: StoredRecord, head: RecordHead, read: ReadRecord) => Change | null;
type Children = Pick<ChildStore, 'partition' | 'partitions' | 'readForUpdate' | 'compareAndSet' | 'announceChanged'>;
type Deps = { client: Client; keys: Keys; children: Children };

export function createFlagStore(client: Client, keys: Keys, children: Children) {
  const deps = { client, keys, children };
  return {
    /**
     * Tries children again that Failed or are lost, under the rollout's epoch: a new attempt, in which nothing has happened
     * yet. Others are left alone; returns those that were not.
     */
    retry: (rollout: Rollout, ids: readonly string[]): Promise<string[]> =>
      changeAll(children, rollout, ids, {
        withKept: true,
        judge(record, head, { id, known }) {
          if (!known || !canRetry(record)) return null;
          const fresh = freshHead(id, rollout.stages.length, rollout.epoch, head.token);
          return { after: { ...fresh, attempt: head.attempt + 1 }, offer: 'made' };
        },
      }),

    /**
     * Ejects a child from a release that was started: it counts no more, whatever it does. One that isn't enrolled yet
     * never will be. `unenrolled`: it can't be any more, so there's nothing to eject it from.
     */
    eject: (rollout: Rollout, id: string): Promise<Ejected> => eject(deps, rollout, id),

    /** Lets one child pass the gate of its WaitForSignal stage. False: it isn't in that stage. */
    promote: (rollout: Rollout, id: string, stage: number): Promise<boolean> => promote(deps, rollout, id, stage),

    /**
     * Flags those of a partition as lost that have been silent since `cutoff` (ms) and have not ended; one that polls although
     * it runs the release has left it, wherever it was.
     */
    flagLost: (p: number, rollout: Rollout, ids: readonly string[], cutoff: number): Promise<string[]> =>
      changeIn(children, { p, rollout }, ids, {
        withKept: false,
        judge(record, head, read) {
          const loss = lossOf(record, read, rollout.stages, cutoff);
          if (loss === null) return null;
          const after = { ...head, flags: head.flags | FLAG.lost };
          return loss === 'always' ? { after } : { after, seenBefore: cutoff };
        },
      }),

    /** Flags those of a partition as overdue that have been InProgress in their stage since `before` (ms), or longer. */
    flagOverdue: (p: number, rollout: Rollout, ids: readonly string[], before: number): Promise<string[]> =>
      changeIn(children, { p, rollout }, ids, {
        withKept: false,
        judge: (record, head) =>
          canBeOverdue(record) ? { after: { ...head, flags: head.flags | FLAG.overdue }, dueBefore: before } : null,
      }),

    /** Children of a partition that have been InProgress in their stage since `before` (ms), or longer; not yet overdue. */
    longInStage: (p: number, { release }: Rollout, before: number, page: { offset: number; limit: number }) =>
      client.zrange(keys.due(p, release), '-inf', String(before), 'BYSCORE', 'LIMIT', page.offset, page.limit),

    /** Has messages note what flags are made from. Idempotent; before any child is enrolled. */
    watch: (rollout: Rollout): Promise<void> => watch(deps, rollout),

    ...createRetryPages(client, keys, children),
  };
}

/** `withKept`: the kept reports are read, as the change takes them away. */
type Judgement = { withKept: boolean; judge: Judge };

/** Those of a partition that were changed. */
async function changeIn(
  children: Children,
  { p, rollout }: { p: number; rollout: Rollout },
  ids: readonly string[],
  { withKept, judge }: Judgement,
): Promise<string[]> {
  const { release, shortId } = rollout;
  const changed: string[] = [];
  let left = ids;
  for (let round = 0; round < ROUNDS && left.length > 0; round++) {
    const read = await children.readForUpdate({ p, release, shortId }, left, withKept);
    const changes = read.flatMap((before): RecordChange[] => {
      const { head } = before;
      const change = head === null ? null : judge(toRecord(head, []), head, before);
      return change === null ? [] : [{ before, ...change }];
    });
    const made = await children.compareAndSet({ p, release, shortId }, changes);
    changed.push(...changes.flatMap(({ before }, i) => (made[i] === true ? [before.id] : [])));
    left = changes.flatMap(({ before }, i) => (made[i] === true ? [] : [before.id]));
  }
  if (changed.length > 0) await children.announceChanged(changed);
  return changed;
}

/** The same, wherever they are, some at a time. */
async function changeAll(
  children: Children,
  rollout: Rollout,
  ids: readonly string[],
  change: Judgement,
): Promise<string[]> {
  const changed: string[] = [];
  for (const [p, some] of Map.groupBy(new Set(ids), children.partition))
    for (let from = 0; from < some.length; from += AT_ONCE)
      changed.push(...(await changeIn(children, { p, rollout }, some.slice(from, from + AT_ONCE), change)));
  return changed;
}

async function eject({ client, keys, children }: Deps, rollout: Rollout, id: string): Promise<Ejected> {
  const { release, shortId, plan, stages, epoch } = rollout;
  const p = children.partition(id);
  for (let round = 0; round < ROUNDS; round++) {
    const [before] = await children.readForUpdate({ p, release, shortId }, [id], true);
    if (before === undefined) break;
    const { head, known } = before;
    if (head === null && !known) return 'unknown';
    // Gates open on the number that complete enrolment counted: a child that is counted beside it would be taken for one of them.
    if (head === null && plan.direct && (await client.hexists(keys.agg(p, release), AGG.enrolled)) === 1)
      return 'unenrolled';
    if (head !== null && isEjected(toRecord(head, []))) return 'ejected';
    if (head?.status === ReleaseStatus.Done) return 'done';
    const from = head ?? freshHead(id, stages.length, epoch, plan.direct ? ALL : '');
    const whileEnrolling = head === null && plan.direct;
    const [made] = await children.compareAndSet({ p, release, shortId }, [
      {
        before,
        after: { ...from, flags: FLAG.ejected },
        offer: 'withdrawn',
        ...(whileEnrolling && { whileEnrolling }),
      },
    ]);
    if (made !== true) continue;
    await children.announceChanged([id]);
    return 'ejected';
  }
  throw new Error(`child ${id} changes faster than it can be ejected from release ${release}`);
}

async function promote({ children }: Deps, rollout: Rollout, id: string, stage: number): Promise<boolean> {
  if (rollout.stages[stage]?.type !== 'WaitForSignal') return false;
  let hasPassed = false;
  const changed = await changeAll(children, rollout, [id], {
    withKept: false,
    judge(record, head) {
      const isThere = isUnderway(record) && !isEjected(record) && currentStage(record) === stage;
      hasPassed = isThere && head.promotedUpTo > stage;
      return isThere && !hasPassed ? { after: { ...head, promotedUpTo: stage + 1 } } : null;
    },
  });
  return hasPassed || changed.length > 0;
}

async function watch({ client, keys, children }: Deps, { release, plan }: Rollout): Promise<void> {
  const watched = {
    ...(plan.lostAfterMs !== null && { [AGG.watchLost]: 1 }),
    ...(plan.deadline !== null && { [AGG.watchOverdue]: 1 }),
  };
  if (Object.keys(watched).length === 0) return;
  const all = Array.from({ length: children.partitions }, (_, p) => client.hset(keys.agg(p, release), watched));
  await Promise.all(all);
}
