/**
 * The manager's own changes to children's records: compare and set. What a change adds to the counts is computed from the
 * record as it was read and as it is to be, and nothing is written where a message came in between.
 */
import { createHash } from 'node:crypto';
import { MARK } from '#domain/marks.ts';
import { ALL } from '#domain/plan.ts';
import { type ChildRecord, contributionChange, contributionOf, currentStage, progressRank } from '#domain/record.ts';
import type { Rollout } from '#domain/rollout.ts';
import { StageStatus } from '#domain/status.ts';
import type { Keys } from './keys.ts';
import { formatHead, keptFields, parseHead, type RecordHead, toRecord } from './record-codec.ts';
import type { Client } from './redis.ts';
import type { Replicated } from './replicated.ts';
import { runScript } from './script.ts';

type Ref = Pick<Rollout, 'release' | 'tag'>;

/** A child as it was read. */
export type HeldRecord = {
  id: string;
  /** Null: it isn't enrolled. */
  head: RecordHead | null;
  /** False: it was deleted, or never joined. */
  known: boolean;
  lastSeen: number;
  /** It polls, although it runs the release. */
  left: boolean;
  /** It runs another one, in which it's not lost as far as that is known. */
  isBusy: boolean;
  /** Its kept reports, or null where they weren't asked for: enough for a change that leaves them as they count. */
  kept: readonly (Buffer | null)[] | null;
};

export type RecordChange = {
  before: HeldRecord;
  after: RecordHead;
  /** Offered from now on under its epoch, or no longer. */
  offer?: 'made' | 'withdrawn';
  /** Only if there was no sign of life after this (ms). */
  seenBefore?: number;
  /** Only if it has been InProgress in its stage since then (ms), or longer. */
  dueBefore?: number;
  /** Only while its partition isn't marked as enrolled. */
  unmarked?: boolean;
};

export function createRecordSwap(client: Client, keys: Keys, replicated: Replicated) {
  async function isLostIn(key: string, running: string): Promise<boolean> {
    const [, tag = ''] = running.split(' ');
    const { marks } = parseHead(await client.hget(key, tag), '') ?? { marks: 0 };
    return (marks & MARK.lost) > 0;
  }

  async function held(
    p: number,
    { release, tag }: Ref,
    ids: readonly string[],
    withKept: boolean,
  ): Promise<HeldRecord[]> {
    return Promise.all(
      ids.map(async (id): Promise<HeldRecord> => {
        const key = keys.child(p, id);
        const [text, first, seen, running, left] = await client.hmget(key, tag, 'f', 's', 'u', 'o');
        const head = parseHead(text, id);
        const isHere = running === `${release} ${tag}`;
        return {
          id,
          head,
          known: first != null,
          lastSeen: Number(seen ?? 0),
          left: left != null && isHere,
          isBusy: running != null && left == null && !isHere && !(await isLostIn(key, running)),
          kept: withKept && head !== null ? await client.hmgetBuffer(key, ...keptFields(tag, head)) : null,
        };
      }),
    );
  }

  /** Per change whether it was made. All are of one partition and one release. */
  async function swap(p: number, ref: Ref, changes: readonly RecordChange[]): Promise<boolean[]> {
    if (changes.length === 0) return [];
    const { release, tag } = ref;
    const all = {
      agg: keys.agg(p, release),
      index: keys.index(p, release),
      due: keys.due(p, release),
      order: keys.order(p, release),
    };
    const replies = await replicated(all.agg, (on) =>
      runScript(
        on,
        'swap-records',
        all,
        [release, tag, ...changes.map((change) => JSON.stringify(described(ref, change)))],
        changes.map(({ before }) => keys.child(p, before.id)),
      ),
    );
    return (replies as number[]).map((reply) => reply === 1);
  }

  return { held, swap };
}

/** As lua/swap-records.lua reads it; what is undefined is left out. */
function described({ release, tag }: Ref, { before, after, offer, ...conditions }: RecordChange) {
  const { id, head, kept } = before;
  const isRetry = head !== null && head.attempt !== after.attempt;
  const was = head === null ? null : toRecord(head, kept ?? []);
  const is = toRecord(after, isRetry ? [] : (kept ?? []));
  const rank = progressRank(is);
  const isMissed = isLostTodo(is);
  return {
    id,
    was: head === null ? undefined : formatHead(head),
    is: formatHead(after),
    ...(head !== null && kept !== null && { kept: keptFields(tag, head), digest: digestOf(kept) }),
    ...conditions,
    drop: isRetry ? keptFields(tag, head) : undefined,
    rank: was === null || progressRank(was) !== rank ? rank : undefined,
    offer: offer && (offer === 'made' ? entryOf(release, after) : ''),
    lost: was !== null && isLostTodo(was) !== isMissed ? isMissed : undefined,
    stopped: was?.downloaded === true && !is.downloaded ? true : undefined,
    untimed: isTimed(is) ? undefined : true,
    counts: Object.fromEntries(was === null ? contributionOf(is) : contributionChange(was, is)),
    membership: hasCounts(after.membership) ? after.membership : undefined,
  };
}

const digestOf = (kept: readonly (Buffer | null)[]): string => {
  const sha1 = createHash('sha1');
  for (const [i, each] of kept.entries()) sha1.update(i === 0 ? '' : '/').update(each ?? '');
  return sha1.digest('hex');
};

/** An offer as it stands among those of a child: `<release>:<epoch>`, and the place in the order of a location that others are in. */
const entryOf = (release: string, { epoch, n, membership }: RecordHead): string =>
  [release, epoch, ...(hasCounts(membership) ? [n] : [])].join(':');

/** Silent before it was reached: its next sign of life, whatever it's about, gives it back. */
const isLostTodo = (record: ChildRecord): boolean => (record.marks & MARK.lost) > 0 && !record.downloaded;

/** Whether it's to be found by how long it has been in its stage. Whoever is overdue has been found. */
function isTimed(record: ChildRecord): boolean {
  if ((record.marks & (MARK.ejected | MARK.overdue)) > 0) return false;
  return record.stages[currentStage(record)]?.status === StageStatus.InProgress;
}

/** Whether its location has counts of its own, beside those of all (see `membershipToken`). */
export const hasCounts = (membership: string): boolean => membership !== '' && membership !== ALL;
