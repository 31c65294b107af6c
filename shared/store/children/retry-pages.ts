/** Children that can be tried again, page by page. */
import { FLAG } from '#domain/child/flags.ts';
import { canRetry } from '#domain/child/flag-rules.ts';
import { rankRange } from '#domain/child/progress.ts';
import { ReleaseStatus } from '#domain/child/status.ts';
import { flagged, inRelease } from '#domain/counts/counts.ts';
import { isWithdrawn } from '#domain/rollout/membership.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';
import type { Client } from '#store/connection/client.ts';
import { parseCounts } from '#store/layout/counts-codec.ts';
import type { Keys } from '#store/layout/keys.ts';
import type { ChildStore } from './child-store.ts';
import { toRecord } from './record-codec.ts';

/** Members of an index that are read for a page. */
const SCANNED = 500;

export type RetryPage = { ids: string[]; next: string | null };

export function createRetryPages(client: Client, keys: Keys, children: Pick<ChildStore, 'readForUpdate'>) {
  /** Ids that may have to be tried again, by their rank. */
  function candidates(rows: readonly string[], anyLost: boolean): string[] {
    const [failed] = rankRange(ReleaseStatus.Failed);
    const [done] = rankRange(ReleaseStatus.Done);
    return rows.flatMap((id, i) => {
      if (i % 2 === 1) return [];
      const rank = Number(rows[i + 1]);
      return rank >= failed || (anyLost && rank < done) ? [id] : [];
    });
  }

  return {
    /**
     * A page of the children of a partition that can be tried again, of one location or of all. `next`: null = that was the
     * last one. No child is passed over, whatever becomes of the others meanwhile; some may be met twice.
     */
    async failedOrLost(
      p: number,
      rollout: Rollout,
      location: string | null,
      cursor: string | null,
    ): Promise<RetryPage> {
      const { release, shortId } = rollout;
      const counts = parseCounts(await client.hgetall(keys.agg(p, release)));
      const lost = flagged(counts, FLAG.lost);
      if (inRelease(counts, ReleaseStatus.Failed) + lost === 0) return { ids: [], next: null };
      const [scan, rows] = await client.zscan(keys.index(p, release), cursor ?? '0', 'COUNT', SCANNED);
      const read = await children.readForUpdate({ p, release, shortId }, candidates(rows, lost > 0), false);
      const ids = read.flatMap(({ id, known, head }) => {
        if (!known || head === null || (location !== null && head.membership.id !== location)) return [];
        const isOut = isWithdrawn(rollout, { id, n: head.membership.n });
        return canRetry(toRecord(head, [])) && !isOut ? [id] : [];
      });
      return { ids, next: scan === '0' ? null : scan };
    },
  };
}
