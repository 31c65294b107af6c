/** Children: who they are and how far they are in a release. One partition, and one hash tag, per child. */
import type { ChainableCommander } from 'ioredis';
import { partitionOf } from '#domain/ids.ts';
import type { Report } from '#domain/record.ts';
import type { ReleaseStatus, StageStatus } from '#domain/status.ts';
import type { Keys } from './keys.ts';
import { parseRecord, type StoredRecord } from './record-codec.ts';
import type { Client } from './redis.ts';
import { runScript } from './script.ts';

/** An agent that polls this long after its last message has dropped the release that it was running. */
const LEFT_AFTER_MS = 10_000;

export type Offer = { release: string; epoch: number };

export type PollView = {
  offers: Offer[];
  lastSeen: number;
  areaDigest: string;
  childCount: number;
  /** The release that it runs, as far as the manager knows. */
  underway: string | null;
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

/** What applying a message came to. */
export type Applied = { code: 'ok'; changed: boolean; status: ReleaseStatus } | { code: 'absent' | 'gone' | 'stale' };

export type ResultMessage = {
  id: string;
  release: string;
  /** '' = now: only where the message is applied in the request itself. */
  at: number | '';
  attempt: number | '';
  reports: readonly Omit<Report, 'at'>[];
};

export type ChildStore = ReturnType<typeof createChildStore>;

export function createChildStore(client: Client, keys: Keys, partitions: number) {
  const partition = (id: string): number => partitionOf(id, partitions);

  const applyKeys = (p: number, release: string, id: string) => ({
    record: keys.record(p, release, id),
    agg: keys.agg(p, release),
    index: keys.index(p, release),
    child: keys.child(p, id),
    seen: keys.seen(p),
  });

  return {
    partitions,
    partition,

    /** All that a poll needs, in one read; null for a child that isn't known. */
    async forPoll(id: string): Promise<PollView | null> {
      const [f, p, s, d, n, u, o] = await client.hmget(
        keys.child(partition(id), id),
        'f',
        'p',
        's',
        'd',
        'n',
        'u',
        'o',
      );
      if (f == null) return null;
      return {
        offers: parseOffers(p),
        lastSeen: Number(s),
        areaDigest: d ?? '',
        childCount: Number(n),
        underway: u ?? null,
        left: o != null,
      };
    },

    /** All that `/end_stage` needs, in one round trip; null for a child that isn't enrolled. */
    async forEndStage(
      id: string,
      release: string,
    ): Promise<{ location: string; stages: StageStatus[]; end: number; lastSeen: number; left: boolean } | null> {
      const p = partition(id);
      const [record, child] = await Promise.all([
        client.hmget(keys.record(p, release, id), 'l', 's', 'f'),
        client.hmget(keys.child(p, id), 's', 'o'),
      ]);
      if (record[0] == null || record[1] == null) return null;
      return {
        location: record[0],
        stages: [...record[1]].map((digit) => Number(digit) as StageStatus),
        /** The stage with which its release ended, or -1. */
        end: (record[2] ?? '').search(/[1-9]/),
        lastSeen: Number(child[0] ?? 0),
        left: child[1] != null,
      };
    },

    /** Whether a result may be accepted, and under which attempt. */
    async forResult(id: string, release: string): Promise<{ known: boolean; attempt: number | null }> {
      const p = partition(id);
      const [known, attempt] = await Promise.all([
        client.exists(keys.child(p, id)),
        client.hget(keys.record(p, release, id), 't'),
      ]);
      return { known: known === 1, attempt: attempt === null ? null : Number(attempt) };
    },

    apply: (message: ResultMessage, on: Client | ChainableCommander = client): Promise<unknown> =>
      runScript(on, 'apply', applyKeys(partition(message.id), message.release, message.id), [
        message.id,
        message.release,
        message.at,
        message.attempt,
        LEFT_AFTER_MS,
        ...message.reports.flatMap((report) => [
          report.stage ?? -1,
          report.status,
          report.next === 'following' ? -2 : (report.next ?? -1),
          report.digest,
          report.counters.join(','),
          report.summary,
        ]),
      ]),

    /** A download: Todo becomes Doing, at once and once only. */
    async download(id: string, release: string): Promise<Applied> {
      return parseApplied(await this.apply({ id, release, at: '', attempt: '', reports: [] }));
    },

    join(
      child: { id: string; at: number; area: string; areaDigest: string; childCount: number },
      on: Client | ChainableCommander = client,
    ): Promise<unknown> {
      const p = partition(child.id);
      return runScript(on, 'join', { child: keys.child(p, child.id), seen: keys.seen(p) }, [
        child.id,
        child.at,
        child.area,
        child.areaDigest,
        child.childCount,
      ]);
    },

    heartbeat(
      sign: { id: string; at: number; release: string; kind: 'poll' | 'ask' },
      on: Client | ChainableCommander = client,
    ): Promise<unknown> {
      const p = partition(sign.id);
      const child = keys.child(p, sign.id);
      const record = sign.release === '' ? child : keys.record(p, sign.release, sign.id);
      return runScript(on, 'heartbeat', { child, seen: keys.seen(p), record }, [
        sign.id,
        sign.at,
        sign.release,
        sign.kind,
        LEFT_AFTER_MS,
      ]);
    },

    async details(ids: readonly string[]): Promise<(ChildDetails | null)[]> {
      return Promise.all(
        ids.map(async (id) => {
          const h = await client.hgetall(keys.child(partition(id), id));
          if (h['f'] === undefined) return null;
          return {
            id,
            area: JSON.parse(h['a'] ?? '[]') as number[][][],
            childCount: Number(h['n'] ?? 0),
            firstSeen: Number(h['f']),
            lastSeen: Number(h['s']),
            underway: h['u'] ?? null,
            leftAt: h['o'] === undefined ? null : Number(h['o']),
            offers: parseOffers(h['p']),
          };
        }),
      );
    },

    async record(release: string, id: string): Promise<StoredRecord | null> {
      return parseRecord(await client.hgetall(keys.record(partition(id), release, id)));
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

export function parseApplied(reply: unknown): Applied {
  const [code, changed, status] = reply as ['ok' | 'absent' | 'gone' | 'stale', number?, ReleaseStatus?];
  return code === 'ok' ? { code, changed: changed === 1, status: status ?? 0 } : { code };
}

function parseOffers(field: string | null | undefined): Offer[] {
  return (field ?? '')
    .split(' ')
    .filter((entry) => entry !== '')
    .map((entry) => {
      const [release = '', epoch] = entry.split(':');
      return { release, epoch: Number(epoch) };
    });
}
