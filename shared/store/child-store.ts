/** Children: who they are and how far they are in a release. One hash per child holds it all: one read for any request. */
import { partitionOf } from '#domain/ids.ts';
import type { Report } from '#domain/record.ts';
import type { ReleaseStatus } from '#domain/status.ts';
import { unpackArea } from './area-codec.ts';
import { createChildReads } from './child-reads.ts';
import type { Keys } from './keys.ts';
import { keptFields, parseHead, type RecordHead, type StoredRecord, toRecord } from './record-codec.ts';
import { type Client, isTransient, replyError } from './redis.ts';
import type { Replicated } from './replicated.ts';
import { runScript } from './script.ts';
import { createRecordSwap } from './swap.ts';

/** An agent that polls this long after its last message has dropped the release that it was running. */
const LEFT_AFTER_MS = 10_000;

/** `n`: the place in the order of its location; 0: one of its own, or the one of all children. */
export type Offer = { release: string; epoch: number; n: number };

export type PollView = {
  offers: Offer[];
  lastSeen: number;
  digest: string;
  /** The release that it runs, as far as the manager knows. */
  underway: ReleaseRef | null;
  left: boolean;
};

export type ChildDetails = {
  id: string;
  area: number[][][];
  childCount: number;
  firstSeen: number;
  lastSeen: number;
  underway: string | null;
  /** When it was found to have dropped the release it was running, or null. */
  leftAt: number | null;
  offers: Offer[];
};

/** The releases that it runs or is offered. */
export const releasesOf = ({ underway, offers }: Pick<ChildDetails, 'underway' | 'offers'>): string[] => [
  ...(underway === null ? [] : [underway]),
  ...offers.map(({ release }) => release),
];

/** What applying a message came to. `refused`: an error that it would always meet. */
export type Applied =
  | { code: 'ok'; changed: boolean; status: ReleaseStatus }
  | { code: 'absent' | 'gone' | 'stale' }
  | { code: 'refused'; why: string };

/** A release by its id and its tag in children's hashes. */
export type ReleaseRef = { release: string; tag: string };

/** What a join or a sign came to: a number, releases whose counts it changed, or why it was refused. */
export type Noted = number | { moved: string[] } | { why: string };

/** `area`: packed (see area-codec.ts); `digest`: over the poll, so that the same poll again is known by it. */
export type Join = { id: string; at: number; area: string; digest: string; childCount: number };
export type Sign = { id: string; at: number; release: string; tag: string; kind: 'poll' | 'ask' };
export type ResultMessage = {
  id: string;
  /** '' = now: only where the message is applied in the request itself. */
  at: number | '';
  attempt: number | '';
  reports: readonly Omit<Report, 'at'>[];
};

export type ChildStore = ReturnType<typeof createChildStore>;

export function createChildStore(client: Client, keys: Keys, partitions: number, replicated: Replicated) {
  const partition = (id: string): number => partitionOf(id, partitions);
  const read = createChildReads(client);
  const { held, swap } = createRecordSwap(client, keys, replicated);
  // On one Redis any keys may go together; on a cluster those of a partition.
  const laneOf = (p: number): number => (client.isCluster ? p : 0);
  const keyOf = (id: string): string => keys.child(partition(id), id);
  const keysOf = (p: number, messages: readonly { id: string }[]): string[] =>
    messages.map(({ id }) => keys.child(p, id));

  async function applyOn(
    on: Client,
    p: number,
    { release, tag }: ReleaseRef,
    messages: readonly ResultMessage[],
  ): Promise<Applied[]> {
    const args: (string | number)[] = [release, tag, LEFT_AFTER_MS];
    for (const { id, at, attempt, reports } of messages) {
      args.push(id, at, attempt, reports.length);
      for (const { stage, status, next, digest, summary } of reports)
        args.push(stage ?? -1, status, next === 'following' ? -2 : (next ?? -1), digest, summary);
    }
    const replies = (await runScript(
      on,
      'apply',
      {
        agg: keys.agg(p, release),
        index: keys.index(p, release),
        seen: keys.seen(p),
        due: keys.due(p, release),
        late: keys.late(p),
      },
      args,
      keysOf(p, messages),
    )) as string[];
    return replies.map(parseApplied);
  }

  /** Applies one message for somebody who is told of it. */
  async function apply(ref: ReleaseRef, message: ResultMessage): Promise<Applied> {
    const p = partition(message.id);
    const [applied] = await replicated(keys.seen(p), (on) => applyOn(on, p, ref, [message]));
    if (applied?.code === 'refused') throw replyError(applied.why);
    return applied ?? { code: 'absent' };
  }

  return {
    partitions,
    partition,
    /** Applies messages of one partition and one release, each whole or not at all; one reply per message. */
    applyAll: (p: number, ref: ReleaseRef, messages: readonly ResultMessage[]): Promise<Applied[]> =>
      applyOn(client, p, ref, messages),
    apply,

    /** Records as they are, to be changed by the manager itself; and the change, which is made only to what was read. */
    held,
    swap,

    /** All that a poll needs, in one read; null for a child that isn't known. */
    async forPoll(id: string): Promise<PollView | null> {
      const p = partition(id);
      const [first, seen, digest = '', offers, underway, left] = await read(laneOf(p), keys.child(p, id), '');
      if (!first) return null;
      return {
        offers: parseOffers(offers),
        lastSeen: Number(seen),
        digest,
        underway: parseUnderway(underway),
        left: !!left,
      };
    },

    /** Where it is (packed) and how many children it has. */
    async place(id: string): Promise<{ area: string; childCount: number }> {
      const [area, count] = await client.hmget(keyOf(id), 'a', 'n');
      return { area: area ?? '', childCount: Number(count ?? 0) };
    },

    /** All that `/end_stage` and `/result` need, in one read; null for a child that isn't enrolled. */
    async forRelease(
      id: string,
      tag: string,
    ): Promise<{ known: boolean; head: RecordHead; lastSeen: number; left: boolean } | null> {
      const p = partition(id);
      const [text, first, seen, left] = await read(laneOf(p), keys.child(p, id), tag);
      const head = parseHead(text, id);
      return head === null ? null : { known: !!first, head, lastSeen: Number(seen), left: !!left };
    },

    isKnown: async (id: string): Promise<boolean> => (await client.hexists(keyOf(id), 'f')) === 1,

    /** A download: Todo becomes Doing, at once and once only. */
    download: (id: string, ref: ReleaseRef): Promise<Applied> => apply(ref, { id, at: '', attempt: '', reports: [] }),

    /** Children of one partition; per message 1 if the child is new, else 0. */
    joinAll: async (p: number, messages: readonly Join[]): Promise<Noted[]> =>
      parseNoted(
        await runScript(
          client,
          'join',
          { seen: keys.seen(p), late: keys.late(p) },
          messages.flatMap(({ id, at, area, digest, childCount }) => [id, at, area, digest, childCount]),
          keysOf(p, messages),
        ),
      ),

    /** Signs of life of children of one partition; per message 0 if there is no such child. */
    heartbeatAll: async (p: number, messages: readonly Sign[]): Promise<Noted[]> =>
      parseNoted(
        await runScript(
          client,
          'heartbeat',
          { seen: keys.seen(p), late: keys.late(p) },
          [LEFT_AFTER_MS, ...messages.flatMap(({ id, at, release, tag, kind }) => [id, at, release, tag, kind])],
          keysOf(p, messages),
        ),
      ),

    /** Announces children for whom there is something new. */
    moved: async (ids: readonly string[]): Promise<void> => void (await client.publish(keys.moved, ids.join(' '))),

    details: (ids: readonly string[]): Promise<(ChildDetails | null)[]> =>
      Promise.all(
        ids.map(async (id) => {
          const [f, s, a, n, p, u, o] = await client.hmget(keyOf(id), 'f', 's', 'a', 'n', 'p', 'u', 'o');
          if (f == null) return null;
          return {
            id,
            area: unpackArea(a ?? ''),
            childCount: Number(n ?? 0),
            firstSeen: Number(f),
            lastSeen: Number(s),
            underway: parseUnderway(u)?.release ?? null,
            leftAt: o == null ? null : Number(o),
            offers: parseOffers(p),
          };
        }),
      ),

    async head(tag: string, id: string): Promise<RecordHead | null> {
      return parseHead(await client.hget(keyOf(id), tag), id);
    },

    async record(tag: string, id: string): Promise<StoredRecord | null> {
      const head = await this.head(tag, id);
      if (head === null) return null;
      return toRecord(head, await client.hmgetBuffer(keyOf(id), ...keptFields(tag, head)));
    },

    /** `finished`: the releases that don't hold a child back. One that is started meanwhile isn't among them. */
    async delete(
      id: string,
      quietSince: number,
      finished: readonly string[],
    ): Promise<'deleted' | 'unknown' | 'underway' | 'recent'> {
      const p = partition(id);
      return (await runScript(client, 'delete-child', { child: keys.child(p, id), seen: keys.seen(p) }, [
        id,
        quietSince,
        ...finished,
      ])) as 'deleted' | 'unknown' | 'underway' | 'recent';
    },

    /**
     * Removes what the next children of a partition did in a release that ended long ago, and takes them out of its index;
     * its counts stay. False: there are none left.
     */
    async forgetRecords(p: number, { release, tag }: ReleaseRef, stages: number, limit: number): Promise<boolean> {
      const [index, due] = [keys.index(p, release), keys.due(p, release)];
      const ids = await client.zrange(index, 0, String(limit - 1));
      if (ids.length === 0) return false;
      const children = ids.map((id) => keys.child(p, id));
      await runScript(client, 'forget-records', { index, due }, [tag, stages, ...ids], children);
      return true;
    },

    /** How many children there are. */
    async count(): Promise<number> {
      const sizes = await Promise.all(Array.from({ length: partitions }, (_, p) => client.zcard(keys.seen(p))));
      return sizes.reduce((sum, size) => sum + size, 0);
    },

    /**
     * Some children of a partition by last sign of life, from a cursor (ms, exclusive) on. A child that is seen
     * meanwhile only moves towards the end, so that none is passed over; some may be met twice.
     */
    async bySeen(p: number, cursor: number, limit: number): Promise<{ ids: string[]; cursor: number; last: boolean }> {
      const rows = await client.zrange(keys.seen(p), `(${cursor}`, '+inf', 'BYSCORE', 'LIMIT', 0, limit, 'WITHSCORES');
      const ids = rows.filter((_, i) => i % 2 === 0);
      const end = Number(rows.at(-1));
      if (ids.length < limit) return { ids, cursor: ids.length === 0 ? cursor : end, last: true };
      // All of the last millisecond together, otherwise the next call would skip the rest of it.
      const ties = await client.zrange(keys.seen(p), end, String(end), 'BYSCORE');
      return { ids: [...new Set([...ids, ...ties])], cursor: end, last: false };
    },
  };
}

function parseApplied(reply: string): Applied {
  const [code, changed, status] = reply.split(' ');
  if (code === 'ok') return { code, changed: changed === '1', status: Number(status) as ReleaseStatus };
  if (code === 'refused') return { code, why: refusal(reply) };
  return { code: code as 'absent' | 'gone' | 'stale' };
}

/** Why a script refused a message; trouble that says nothing about the message is thrown. */
function refusal(reply: string): string {
  const why = reply.slice('refused '.length);
  if (isTransient(replyError(why))) throw replyError(why);
  return why;
}

const parseNoted = (replies: unknown): Noted[] =>
  (replies as (number | string)[]).map((reply) => {
    if (typeof reply === 'number') return reply;
    const [code, ...moved] = reply.split(' ');
    return code === 'moved' ? { moved } : { why: refusal(reply) };
  });

function parseUnderway(field: string | null | undefined): ReleaseRef | null {
  if (!field) return null;
  const [release = '', tag = ''] = field.split(' ');
  return { release, tag };
}

function parseOffers(field: string | null | undefined): Offer[] {
  if (!field) return [];
  return field
    .split(' ')
    .filter((entry) => entry !== '')
    .map((entry) => {
      const [release = '', epoch, n] = entry.split(':');
      return { release, epoch: Number(epoch), n: Number(n ?? 0) };
    });
}
