/** What is read of single children: for their own requests in one read, for operators in full. */
import type { ReleaseRef } from '#domain/child/messages.ts';
import type { Client } from '#store/connection/client.ts';
import type { Keys } from '#store/layout/keys.ts';
import { unpackArea } from './area-codec.ts';
import { createChildReads } from './child-reads.ts';
import { keptFields, parseHead, type RecordHead, type StoredRecord, toRecord } from './record-codec.ts';

/** `n`: the number of its location in the order; 0: one of its own, or the one of all children. */
export type Offer = { release: string; epoch: number; n: number };

export type PollView = {
  offers: Offer[];
  lastSeen: number;
  digest: string;
  /** The release that it runs, as far as the manager knows. */
  underway: ReleaseRef | null;
  left: boolean;
};

export type ReleaseView = { known: boolean; head: RecordHead; lastSeen: number; left: boolean };

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

export function createChildViews(client: Client, keys: Keys, partition: (id: string) => number) {
  const read = createChildReads(client);
  // On one Redis any keys may go together; on a cluster those of a partition.
  const laneOf = (p: number): number => (client.isCluster ? p : 0);
  const keyOf = (id: string): string => keys.child(partition(id), id);

  const head = async (shortId: string, id: string): Promise<RecordHead | null> =>
    parseHead(await client.hget(keyOf(id), shortId), id);

  return {
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

    /** All that `/end_stage` and `/result` need, in one read; null for a child that isn't enrolled. */
    async forRelease(id: string, shortId: string): Promise<ReleaseView | null> {
      const p = partition(id);
      const [text, first, seen, left] = await read(laneOf(p), keys.child(p, id), shortId);
      const found = parseHead(text, id);
      return found === null ? null : { known: !!first, head: found, lastSeen: Number(seen), left: !!left };
    },

    /** Its area (packed) and how many children it has. */
    async areaOf(id: string): Promise<{ area: string; childCount: number }> {
      const [area, count] = await client.hmget(keyOf(id), 'a', 'n');
      return { area: area ?? '', childCount: Number(count ?? 0) };
    },

    isKnown: async (id: string): Promise<boolean> => (await client.hexists(keyOf(id), 'f')) === 1,

    details: (ids: readonly string[]): Promise<(ChildDetails | null)[]> =>
      Promise.all(
        ids.map(async (id) => parseDetails(id, await client.hmget(keyOf(id), 'f', 's', 'a', 'n', 'p', 'u', 'o'))),
      ),

    head,

    async record(shortId: string, id: string): Promise<StoredRecord | null> {
      const found = await head(shortId, id);
      if (found === null) return null;
      return toRecord(found, await client.hmgetBuffer(keyOf(id), ...keptFields(shortId, found)));
    },
  };
}

function parseDetails(id: string, [f, s, a, n, p, u, o]: readonly (string | null)[]): ChildDetails | null {
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
}

function parseUnderway(field: string | null | undefined): ReleaseRef | null {
  if (!field) return null;
  const [release = '', shortId = ''] = field.split(' ');
  return { release, shortId };
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
