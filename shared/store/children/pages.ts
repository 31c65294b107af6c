/** Paging through the children of the fleet or of a release, however many there are and however they move meanwhile. */
import type { Client } from '#store/connection/client.ts';

/** Rounds per page: a page that finds little still answers soon, with a cursor to go on from. */
const MAX_ROUNDS = 20;

export type Page = { ids: string[]; next: string | null };
/** `ranks`: only members with a score in that range. */
export type PageRequest = { cursor: string | null; limit: number; ranks?: readonly [number, number] | null };
type Cursor = { partition: number; scan: string; after: string };

/**
 * One page of a sorted set per partition, by ZSCAN: a child that is in it from the first page to the last is met, whatever
 * becomes of its score; it may be met twice.
 */
export async function pageOf(
  client: Client,
  keyOf: (partition: number) => string,
  partitions: number,
  { cursor, limit, ranks = null }: PageRequest,
): Promise<Page> {
  const at = parseCursor(cursor);
  const ids: string[] = [];
  for (let round = 0; round < MAX_ROUNDS && at.partition < partitions; round++) {
    const [scan, rows] = await client.zscan(keyOf(at.partition), at.scan, 'COUNT', limit);
    const found = rows
      .flatMap((id, i) => (i % 2 === 0 && inRange(Number(rows[i + 1]), ranks) ? [id] : []))
      .filter((id) => id > at.after)
      .sort();
    const taken = found.slice(0, limit - ids.length);
    ids.push(...taken);
    // A scan may give more than was asked for: the rest of this round opens the next page.
    if (taken.length < found.length) return { ids, next: formatCursor({ ...at, after: taken.at(-1) ?? at.after }) };
    at.after = '';
    at.scan = scan;
    if (scan === '0') at.partition++;
    if (ids.length >= limit) break;
  }
  return { ids, next: at.partition < partitions ? formatCursor(at) : null };
}

const MAX_SCAN = 2n ** 64n;

export function isCursor(text: string): boolean {
  const match = /^\d{1,4}-(\d{1,20})-[A-Za-z0-9._:-]*$/.exec(text);
  return match?.[1] !== undefined && BigInt(match[1]) < MAX_SCAN;
}

function parseCursor(cursor: string | null): Cursor {
  const match = /^(\d+)-(\d+)-(.*)$/.exec(cursor ?? '0-0-');
  return { partition: Number(match?.[1] ?? 0), scan: match?.[2] ?? '0', after: match?.[3] ?? '' };
}

const formatCursor = ({ partition, scan, after }: Cursor): string => `${partition}-${scan}-${after}`;

const inRange = (score: number, ranks: readonly [number, number] | null): boolean =>
  ranks === null || (score >= ranks[0] && score <= ranks[1]);
