/**
 * The manager's own changes to children's records. What a change adds to the counts is computed from the record as it was
 * read and as it is to be, and nothing is written where a message came in between.
 */
import { createHash } from 'node:crypto';
import { FLAG, hasFlag } from '#domain/child/flags.ts';
import { isLostTodo, isTimed } from '#domain/child/flag-rules.ts';
import type { ReleaseRef } from '#domain/child/messages.ts';
import { progressRank } from '#domain/child/progress.ts';
import { contributionOf } from '#domain/counts/contribution.ts';
import { countsBetween, NO_COUNTS } from '#domain/counts/counts.ts';
import { hasOwnCounts } from '#domain/rollout/membership.ts';
import type { Client } from '#store/connection/client.ts';
import type { Replicated } from '#store/connection/replicated.ts';
import { runScript } from '#store/connection/script.ts';
import { toFields } from '#store/layout/counts-codec.ts';
import type { Keys } from '#store/layout/keys.ts';
import { formatHead, keptFields, parseHead, type RecordHead, toRecord } from './record-codec.ts';

/** A child as it was read for an update. */
export type ReadRecord = {
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
  before: ReadRecord;
  after: RecordHead;
  /** Offered from now on under its epoch, or no longer. */
  offer?: 'made' | 'withdrawn';
  /** Only if there was no heartbeat after this (ms). */
  seenBefore?: number;
  /** Only if it has been InProgress in its stage since then (ms), or longer. */
  dueBefore?: number;
  /** Only while the enrolment of its partition isn't complete. */
  whileEnrolling?: boolean;
};

/** Children of one partition in one release. */
type Where = ReleaseRef & { p: number };

export function createCompareAndSet(client: Client, keys: Keys, replicated: Replicated) {
  async function isLostIn(key: string, running: string): Promise<boolean> {
    const [, shortId = ''] = running.split(' ');
    const { flags } = parseHead(await client.hget(key, shortId), '') ?? { flags: 0 };
    return hasFlag(flags, FLAG.lost);
  }

  async function readOne({ p, release, shortId }: Where, id: string, withKept: boolean): Promise<ReadRecord> {
    const key = keys.child(p, id);
    const [text, first, seen, running, left] = await client.hmget(key, shortId, 'f', 's', 'u', 'o');
    const head = parseHead(text, id);
    const isHere = running === `${release} ${shortId}`;
    return {
      id,
      head,
      known: first != null,
      lastSeen: Number(seen ?? 0),
      left: left != null && isHere,
      isBusy: running != null && left == null && !isHere && !(await isLostIn(key, running)),
      kept: withKept && head !== null ? await client.hmgetBuffer(key, ...keptFields(shortId, head)) : null,
    };
  }

  return {
    readForUpdate: (where: Where, ids: readonly string[], withKept: boolean): Promise<ReadRecord[]> =>
      Promise.all(ids.map((id) => readOne(where, id, withKept))),

    /** Per change whether it was made. All are of one partition and one release. */
    async compareAndSet({ p, release, shortId }: Where, changes: readonly RecordChange[]): Promise<boolean[]> {
      if (changes.length === 0) return [];
      const agg = keys.agg(p, release);
      const described = changes.map((change) => JSON.stringify(describe({ release, shortId }, change)));
      const replies = await replicated(agg, (on) =>
        runScript(on, 'compare-and-set', {
          keys: { agg, index: keys.index(p, release), due: keys.due(p, release), order: keys.order(p, release) },
          more: changes.map(({ before }) => keys.child(p, before.id)),
          args: [release, shortId, keys.aggOf(p, release, ''), ...described],
        }),
      );
      return (replies as number[]).map((reply) => reply === 1);
    },
  };
}

/** As compare-and-set.lua reads it; what is undefined is left out. */
function describe({ release, shortId }: ReleaseRef, { before, after, offer, ...conditions }: RecordChange) {
  const { id, head, kept } = before;
  const isRetry = head !== null && head.attempt !== after.attempt;
  const was = head === null ? null : toRecord(head, kept ?? []);
  const is = toRecord(after, isRetry ? [] : (kept ?? []));
  const rank = progressRank(is);
  const isMissed = isLostTodo(is);
  const change = countsBetween(was === null ? NO_COUNTS : contributionOf(was), contributionOf(is));
  return {
    id,
    was: head === null ? undefined : formatHead(head),
    is: formatHead(after),
    ...(head !== null && kept !== null && { kept: keptFields(shortId, head), digest: digestOf(kept) }),
    ...conditions,
    drop: isRetry ? keptFields(shortId, head) : undefined,
    rank: was === null || progressRank(was) !== rank ? rank : undefined,
    offer: offer && (offer === 'made' ? entryOf(release, after) : ''),
    lost: was !== null && isLostTodo(was) !== isMissed ? isMissed : undefined,
    stopped: was?.downloaded === true && !is.downloaded ? true : undefined,
    untimed: isTimed(is) ? undefined : true,
    counts: Object.fromEntries(toFields(change)),
    membership: hasOwnCounts(after.token) ? after.token : undefined,
  };
}

const digestOf = (kept: readonly (Buffer | null)[]): string => {
  const sha1 = createHash('sha1');
  for (const [i, each] of kept.entries()) sha1.update(i === 0 ? '' : '/').update(each ?? '');
  return sha1.digest('hex');
};

/** An offer as it stands among those of a child: `<release>:<epoch>`, and the number of a location that others are in. */
const entryOf = (release: string, { epoch, token, membership }: RecordHead): string =>
  [release, epoch, ...(hasOwnCounts(token) ? [membership.n] : [])].join(':');
