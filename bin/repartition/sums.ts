/** What is counted of a release, as fields of hashes, and its sums over all partitions, which are kept while children move. */
import type { Client } from '#store/connection/client.ts';
import { AGG, isCount } from '#store/layout/agg-fields.ts';
import type { Keys } from '#store/layout/keys.ts';

/** What is counted of a release, as it ends the key: over all its children, how many belong to each location, and … */
export const TOTALS = 'agg';
export const SIZES = 'sizes';
/** … over those enrolled in one. */
export const ofMembers = (membership: string): string => `${TOTALS}:${membership}`;

/** Fields of the totals that a partition has once a job over its children is complete. */
export const NOTED = [AGG.enrolled, AGG.assigned, AGG.silent] as const;
/** Fields of the totals that are the same in each partition. */
export const EVERYWHERE = [AGG.watchLost, AGG.watchOverdue] as const;
/** Children of a release that is taken back that are no more. */
const FOUND_ANEW = '@gone';
/** When the first child of a location joined. */
const EARLIEST = 'f:';
/** Says that the sums were kept, also where there is none. */
const KEPT = '@kept';

type Hash = Readonly<Record<string, string>>;
export type Fields = ReadonlyMap<string, number>;
/** By what is counted. */
export type FieldsByWhat = ReadonlyMap<string, Fields>;

export const keyOf = (keys: Keys, p: number, release: string, what: string): string =>
  keys.agg(p, release).replace(/agg$/, () => what);

/** `partitions`: how many there are now. */
export type Source = { client: Client; keys: Keys; partitions: number };

/** What each partition holds. */
export const readHashes = ({ client, keys, partitions }: Source, release: string, what: string): Promise<Hash[]> =>
  Promise.all(Array.from({ length: partitions }, (_, p) => client.hgetall(keyOf(keys, p, release, what))));

export function addFields(all: Iterable<Fields>): Map<string, number> {
  const sums = new Map<string, number>();
  for (const fields of all) for (const [field, n] of fields) sums.set(field, (sums.get(field) ?? 0) + n);
  return sums;
}

/** Keeps a release's sums, while each partition's counts are still what they were. `counted`: what there is of it. */
export async function keepSums(source: Source, release: string, counted: ReadonlySet<string>): Promise<void> {
  const { client, keys } = source;
  await client.del(keys.sums(release));
  await client.hset(keys.sums(release), KEPT, 1);
  for (const what of counted) {
    const all = await readHashes(source, release, what);
    const sums = what === SIZES ? sizesOf(all) : addFields(all.map(countsOf));
    if (what === TOTALS) for (const [field, n] of notedIn(all)) sums.set(field, n);
    const named = Object.fromEntries([...sums].map(([field, n]) => [JSON.stringify([what, field]), n]));
    if (sums.size > 0) await client.hset(keys.sums(release), named);
  }
  await client.sadd(keys.recounts, release);
}

/** The sums that were kept; null: the release is done, and so they are gone. */
export async function readSums(
  client: Client,
  keys: Keys,
  release: string,
): Promise<Map<string, Map<string, number>> | null> {
  const kept: Hash = await client.hgetall(keys.sums(release));
  if (Object.keys(kept).length === 0) return null;
  const sums = new Map<string, Map<string, number>>();
  for (const [name, n] of Object.entries(kept)) {
    if (name === KEPT) continue;
    const [what, field] = JSON.parse(name) as [string, string];
    sums.set(what, (sums.get(what) ?? new Map<string, number>()).set(field, Number(n)));
  }
  return sums;
}

const countsOf = (hash: Hash): Map<string, number> =>
  new Map(Object.entries(hash).flatMap(([field, n]) => (isCount(field) ? [[field, Number(n)] as const] : [])));

/** A note that only some partitions have is of a release that ended before its job did: it says nothing any more. */
function* notedIn(all: readonly Hash[]): Generator<[string, number]> {
  for (const field of NOTED)
    if (all.every((each) => each[field] !== undefined))
      yield [field, all.reduce((sum, each) => sum + Number(each[field]), 0)];
  for (const field of EVERYWHERE) if (all.some((each) => each[field] !== undefined)) yield [field, 1];
}

function sizesOf(all: readonly Hash[]): Map<string, number> {
  const sums = new Map<string, number>();
  for (const [field, n] of all.flatMap((each) => Object.entries(each))) {
    // Each partition finds out its own anew; a sum in one of them would be counted beside theirs.
    if (field === FOUND_ANEW) continue;
    const old = sums.get(field);
    const both = field.startsWith(EARLIEST) ? Math.min(old ?? Infinity, Number(n)) : (old ?? 0) + Number(n);
    sums.set(field, both);
  }
  return sums;
}
