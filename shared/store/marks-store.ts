/**
 * What the manager itself makes of children in a release: lost, overdue, taken out, ended by hand, tried again. Each is a
 * change of what was read (see swap.ts); where a message came in between, it's read and judged again. Whoever holds an
 * answer for a child that changed is told.
 */
import { MARK } from '#domain/marks.ts';
import { isWithdrawn } from '#domain/membership.ts';
import { ALL } from '#domain/plan.ts';
import { currentStage, rankRange } from '#domain/record.ts';
import type { Rollout } from '#domain/rollout.ts';
import { ReleaseStatus, StageStatus } from '#domain/status.ts';
import type { ChildStore } from './child-store.ts';
import type { Keys } from './keys.ts';
import { freshHead, type RecordHead, toRecord } from './record-codec.ts';
import type { Client } from './redis.ts';
import type { HeldRecord, RecordChange } from './swap.ts';

/** Children in one Lua call: about a millisecond, in which Redis serves nobody else. */
const AT_ONCE = 250;
/** Messages of one child come seconds apart. */
const ROUNDS = 5;
/** Members of an index looked at for a page of those that can be tried again. */
const LOOKED_AT = 500;

export type MarksStore = ReturnType<typeof createMarksStore>;

type Change = Omit<RecordChange, 'before'>;
/** What is to become of a child as it stands, or null: nothing. */
type Judge = (held: HeldRecord, head: RecordHead) => Change | null;

export function createMarksStore(
  client: Client,
  keys: Keys,
  children: Pick<ChildStore, 'partition' | 'partitions' | 'held' | 'swap' | 'moved'>,
) {
  const isMade = (changes: readonly boolean[]): boolean => changes[0] === true;

  /** Those of a partition that were changed. */
  async function changeIn(
    p: number,
    rollout: Rollout,
    ids: readonly string[],
    withKept: boolean,
    judge: Judge,
  ): Promise<string[]> {
    const changed: string[] = [];
    let left = ids;
    for (let round = 0; round < ROUNDS && left.length > 0; round++) {
      const held = await children.held(p, rollout, left, withKept);
      const changes = held.flatMap((before): RecordChange[] => {
        const change = before.head === null ? null : judge(before, before.head);
        return change === null ? [] : [{ before, ...change }];
      });
      const made = await children.swap(p, rollout, changes);
      changed.push(...changes.flatMap(({ before }, i) => (made[i] === true ? [before.id] : [])));
      left = changes.flatMap(({ before }, i) => (made[i] === true ? [] : [before.id]));
    }
    if (changed.length > 0) await children.moved(changed);
    return changed;
  }

  /** The same, wherever they are, some at a time. */
  async function changeAll(
    rollout: Rollout,
    ids: readonly string[],
    withKept: boolean,
    judge: Judge,
  ): Promise<string[]> {
    const changed: string[] = [];
    for (const [p, some] of Map.groupBy(new Set(ids), children.partition))
      for (let from = 0; from < some.length; from += AT_ONCE)
        changed.push(...(await changeIn(p, rollout, some.slice(from, from + AT_ONCE), withKept, judge)));
    return changed;
  }

  return {
    /**
     * Tries children again who Failed or are lost, under the rollout's epoch: a new attempt, in which nothing has happened
     * yet. Others are left alone; returns those that were not.
     */
    retry: (rollout: Rollout, ids: readonly string[]): Promise<string[]> =>
      changeAll(rollout, ids, true, ({ id, known }, head) => {
        if (!known || !canRetry(head)) return null;
        const fresh = freshHead(id, rollout.stages.length, rollout.epoch, head.membership);
        return { after: { ...fresh, attempt: head.attempt + 1 }, offer: 'made' };
      }),

    /**
     * Takes a child out of a release that was started: it counts no more, whatever it does. One that isn't enrolled yet
     * never will be. `unenrolled`: it can't be any more, so there's nothing to take out.
     */
    async eject(rollout: Rollout, id: string): Promise<'ejected' | 'unknown' | 'done' | 'unenrolled'> {
      const { release, plan, stages, epoch } = rollout;
      const p = children.partition(id);
      for (let round = 0; round < ROUNDS; round++) {
        const [before] = await children.held(p, rollout, [id], true);
        if (before === undefined) break;
        const { head, known } = before;
        if (head === null && !known) return 'unknown';
        // Gates open on the number that was marked: whoever is counted beside it would be taken for one of them.
        if (head === null && plan.direct && (await client.hexists(keys.agg(p, release), '@mark')) === 1)
          return 'unenrolled';
        if (isEjected(head)) return 'ejected';
        if (head?.status === ReleaseStatus.Done) return 'done';
        const from = head ?? freshHead(id, stages.length, epoch, plan.direct ? ALL : '');
        const after = { ...from, marks: MARK.ejected };
        const unmarked = head === null && plan.direct;
        const made = await children.swap(p, rollout, [
          { before, after, offer: 'withdrawn', ...(unmarked && { unmarked }) },
        ]);
        if (!isMade(made)) continue;
        await children.moved([id]);
        return 'ejected';
      }
      throw new Error(`child ${id} changes faster than it can be taken out of release ${release}`);
    },

    /** Lets one child through its WaitForSignal stage. False: it isn't in it. */
    async endByHand(rollout: Rollout, id: string, stage: number): Promise<boolean> {
      if (rollout.stages[stage]?.type !== 'WaitForSignal') return false;
      let isThrough = false;
      const changed = await changeAll(rollout, [id], false, (_, head) => {
        const isThere = isUnderway(head) && !isEjected(head) && stageOf(head) === stage;
        isThrough = isThere && head.hand > stage;
        return isThere && !isThrough ? { after: { ...head, hand: stage + 1 } } : null;
      });
      return isThrough || changed.length > 0;
    },

    /**
     * Marks those of a partition as lost that have been silent since `cutoff` (ms) and have not ended, but nobody who is in
     * an A/B stage, or runs another release: children may be silent there. One that polls although it runs the release has
     * left it, wherever it was.
     */
    markLost: (p: number, rollout: Rollout, ids: readonly string[], cutoff: number): Promise<string[]> =>
      changeIn(p, rollout, ids, false, ({ lastSeen, left, isBusy }, head) => {
        if (!isUnderway(head) || isEjected(head) || (head.marks & MARK.lost) > 0) return null;
        const after = { ...head, marks: head.marks | MARK.lost };
        if (left) return { after };
        const isQuiet = isBusy || rollout.stages[stageOf(head)]?.type === 'A/B';
        return lastSeen > cutoff || isQuiet ? null : { after, seenBefore: cutoff };
      }),

    /** Marks those of a partition as overdue that have been InProgress in their stage since `before` (ms), or longer. */
    markOverdue: (p: number, rollout: Rollout, ids: readonly string[], before: number): Promise<string[]> =>
      changeIn(p, rollout, ids, false, (_, head) => {
        if (!isUnderway(head) || (head.marks & (MARK.overdue | MARK.ejected)) > 0) return null;
        if (Number(head.statuses[stageOf(head)]) !== StageStatus.InProgress) return null;
        return { after: { ...head, marks: head.marks | MARK.overdue }, dueBefore: before };
      }),

    /** Children of a partition that have been InProgress in their stage since `before` (ms), or longer; not yet overdue. */
    longInStage: (p: number, { release }: Rollout, before: number, offset: number, limit: number): Promise<string[]> =>
      client.zrange(keys.due(p, release), '-inf', String(before), 'BYSCORE', 'LIMIT', offset, limit),

    /** Has messages note what marks are made from. Idempotent; before anybody is enrolled. */
    async arm({ release, plan }: Rollout): Promise<void> {
      const flags = { ...(plan.lostAfterMs !== null && { '@lost': 1 }), ...(plan.deadline !== null && { '@due': 1 }) };
      if (Object.keys(flags).length === 0) return;
      const all = Array.from({ length: children.partitions }, (_, p) => client.hset(keys.agg(p, release), flags));
      await Promise.all(all);
    },

    /**
     * A page of the children of a partition that can be tried again, of one location or of all. `next`: null = that was the
     * last one. Nobody is passed over, whatever becomes of the others meanwhile; some may be met twice.
     */
    async failedOrLost(
      p: number,
      rollout: Rollout,
      location: string | null,
      cursor: string | null,
    ): Promise<{ ids: string[]; next: string | null }> {
      const { release } = rollout;
      const both = MARK.lost | MARK.overdue;
      const counts = await client.hmget(keys.agg(p, release), 'r4', `m${MARK.lost}`, `m${both}`);
      const [failed = 0, lost = 0, lostAndOverdue = 0] = counts.map(Number);
      if (failed + lost + lostAndOverdue === 0) return { ids: [], next: null };
      const [scan, rows] = await client.zscan(keys.index(p, release), cursor ?? '0', 'COUNT', LOOKED_AT);
      const [first] = rankRange(ReleaseStatus.Failed);
      const [most] = rankRange(ReleaseStatus.Done);
      const anyLost = lost + lostAndOverdue > 0;
      const found = rows.flatMap((id, i) => {
        if (i % 2 === 1) return [];
        const rank = Number(rows[i + 1]);
        return rank >= first || (anyLost && rank < most) ? [id] : [];
      });
      const held = await children.held(p, rollout, found, false);
      const ids = held.flatMap(({ id, known, head }) => {
        const isHere = head !== null && (location === null || head.location === location);
        return known && isHere && canRetry(head) && !isWithdrawn(rollout, { id, n: head.n }) ? [id] : [];
      });
      return { ids, next: scan === '0' ? null : scan };
    },
  };
}

const isUnderway = ({ status }: RecordHead): boolean => status === ReleaseStatus.Todo || status === ReleaseStatus.Doing;

const isEjected = (head: RecordHead | null): boolean => head !== null && (head.marks & MARK.ejected) > 0;

const canRetry = (head: RecordHead): boolean =>
  !isEjected(head) && (head.status === ReleaseStatus.Failed || (isUnderway(head) && (head.marks & MARK.lost) > 0));

const stageOf = (head: RecordHead): number => currentStage(toRecord(head, []));
