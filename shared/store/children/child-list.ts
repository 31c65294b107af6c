/** The fleet as a list: by last heartbeat, page by page, and what is removed from it. */
import type { ReleaseRef } from '#domain/child/messages.ts';
import type { Client } from '#store/connection/client.ts';
import { runScript } from '#store/connection/script.ts';
import type { Keys } from '#store/layout/keys.ts';
import { type Page, type PageRequest, pageOf } from './pages.ts';

export type Deleted = 'deleted' | 'unknown' | 'underway' | 'recent';
export type SeenBatch = { ids: string[]; cursor: number; last: boolean };
/** A release whose children's records go; `stages`: how many it has. */
type OldRelease = ReleaseRef & { stages: number };

export function createChildList(client: Client, keys: Keys, partitions: number, partition: (id: string) => number) {
  return {
    /** How many children there are. */
    async count(): Promise<number> {
      const sizes = await Promise.all(Array.from({ length: partitions }, (_, p) => client.zcard(keys.seen(p))));
      return sizes.reduce((sum, size) => sum + size, 0);
    },

    /** A page of the fleet. */
    page: (request: PageRequest): Promise<Page> => pageOf(client, keys.seen, partitions, request),

    /** A page of the children enrolled in a release. */
    enrolledPage: (release: string, request: PageRequest): Promise<Page> =>
      pageOf(client, (p) => keys.index(p, release), partitions, request),

    /**
     * Some children of a partition by last heartbeat, from a cursor (ms, exclusive) on. A child that is seen
     * meanwhile only moves towards the end, so that none is passed over; some may be met twice.
     */
    async bySeen(p: number, cursor: number, limit: number): Promise<SeenBatch> {
      const rows = await client.zrange(keys.seen(p), `(${cursor}`, '+inf', 'BYSCORE', 'LIMIT', 0, limit, 'WITHSCORES');
      const ids = rows.filter((_, i) => i % 2 === 0);
      const end = Number(rows.at(-1));
      if (ids.length < limit) return { ids, cursor: ids.length === 0 ? cursor : end, last: true };
      // All of the last millisecond together, otherwise the next call would skip the rest of it.
      const ties = await client.zrange(keys.seen(p), end, String(end), 'BYSCORE');
      return { ids: [...new Set([...ids, ...ties])], cursor: end, last: false };
    },

    /** `finished`: the releases that don't keep a child. One that is started meanwhile isn't among them. */
    async delete(id: string, quietSince: number, finished: readonly string[]): Promise<Deleted> {
      const p = partition(id);
      return (await runScript(client, 'delete-child', {
        keys: { child: keys.child(p, id), seen: keys.seen(p) },
        args: [id, quietSince, ...finished],
      })) as Deleted;
    },

    /**
     * Removes what the next children of a partition did in a release that ended long ago, and takes them out of its index;
     * its counts stay. False: there are none left.
     */
    async forgetRecords(p: number, { release, shortId, stages }: OldRelease, limit: number): Promise<boolean> {
      const [index, due] = [keys.index(p, release), keys.due(p, release)];
      const ids = await client.zrange(index, 0, String(limit - 1));
      if (ids.length === 0) return false;
      const more = ids.map((id) => keys.child(p, id));
      const args = [release, shortId, stages, ...ids];
      await runScript(client, 'forget-records', { keys: { index, due }, more, args });
      return true;
    },
  };
}
