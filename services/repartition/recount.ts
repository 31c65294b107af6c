/**
 * Counts under the new layout: each partition's are the fold over the children in it now (law 3), in all and of each
 * location. Some counts have no children any more (records of old releases are forgotten, their counts stay), and marks say
 * what was true at the start; so the sums over all partitions are kept before anything moves, and what no child accounts
 * for goes to partition 0. Gates open on sums, and those stay what they were.
 */
import { addCounts } from '#domain/counts.ts';
import { foldContributions } from '#domain/record.ts';
import { isFinished, type Rollout } from '#domain/rollout.ts';
import type { Keys } from '#store/keys.ts';
import { type Client, unwrap } from '#store/redis.ts';
import type { Stores } from '#store/stores.ts';
import { hasCounts } from '#store/swap.ts';

const AT_ONCE = 500;
/** Where counts that no child accounts for are kept. */
const REST = 0;

/** What is counted of a release, as it ends the key: over all its children, how many belong to each location, and … */
export const TOTALS = 'agg';
const SIZES = 'sizes';
/** … over those enrolled in one. */
const ofMembers = (membership: string): string => `${TOTALS}:${membership}`;

/** Fields of the totals that each partition has once a walk over it is through. */
const MARKS = ['@mark', '@ordered', '@silent'] as const;
/** The same in each partition. */
const FLAGS = ['@lost', '@due'] as const;
/** Children of a release that is taken back who are no more. */
const FOUND_ANEW = '@gone';
/** When the first child of a location joined. */
const EARLIEST = 'f:';

type Hash = Readonly<Record<string, string>>;
type Fields = ReadonlyMap<string, number>;

const keyOf = (keys: Keys, p: number, release: string, what: string): string =>
  keys.agg(p, release).replace(/agg$/, () => what);

const hashes = (client: Client, keys: Keys, partitions: number, release: string, what: string): Promise<Hash[]> =>
  Promise.all(Array.from({ length: partitions }, (_, p) => client.hgetall(keyOf(keys, p, release, what))));

/**
 * Whether a walk has come through some partitions and not through others. Where each one is can't be said under another
 * layout: children that it has passed and those still to come would be mixed.
 */
export async function isHalfWalked(client: Client, keys: Keys, partitions: number, rollout: Rollout): Promise<boolean> {
  if (isFinished(rollout.state)) return false;
  const mark = rollout.plan.direct ? '@mark' : '@ordered';
  const all = await hashes(client, keys, partitions, rollout.release, TOTALS);
  const begun = all.some((each) => each['@cursor'] !== undefined || each[mark] !== undefined);
  return begun && !all.every((each) => each[mark] !== undefined);
}

/** Keeps a release's sums, while each partition's counts are still what they were. `counted`: what there is of it. */
export async function keepSums(
  client: Client,
  keys: Keys,
  from: number,
  release: string,
  counted: ReadonlySet<string>,
): Promise<void> {
  await client.del(keys.sums(release));
  await client.hset(keys.sums(release), '@kept', 1);
  for (const what of counted) {
    const all = await hashes(client, keys, from, release, what);
    const sums = what === SIZES ? sizesOf(all) : addCounts(all.map(countsOf));
    if (what === TOTALS) {
      // A mark that only some partitions have is of a release that ended before its walk did: it says nothing any more.
      for (const field of MARKS)
        if (all.every((each) => each[field] !== undefined))
          sums.set(
            field,
            all.reduce((sum, each) => sum + Number(each[field]), 0),
          );
      for (const field of FLAGS) if (all.some((each) => each[field] !== undefined)) sums.set(field, 1);
    }
    const named = Object.fromEntries([...sums].map(([field, n]) => [JSON.stringify([what, field]), n]));
    if (sums.size > 0) await client.hset(keys.sums(release), named);
  }
  await client.sadd(keys.recounts, release);
}

const isCount = (field: string): boolean => !field.startsWith('@');

const countsOf = (hash: Hash): Map<string, number> =>
  new Map(Object.entries(hash).flatMap(([field, n]) => (isCount(field) ? [[field, Number(n)] as const] : [])));

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

type Deps = {
  client: Client;
  keys: Keys;
  /** Under the new layout. */
  children: Pick<Stores['children'], 'record'>;
  releases: Pick<Stores['releases'], 'rollout'>;
  from: number;
  to: number;
  pulse(): void;
};

export function createRecount({ client, keys, children, releases, from, to, pulse }: Deps) {
  /** By what is counted. */
  async function fold(p: number, release: string, tag: string | undefined): Promise<Map<string, Fields>> {
    const counts = new Map<string, Fields>();
    if (tag === undefined) return counts;
    // By rank, which is exact: nobody writes meanwhile.
    for (let at = 0; ; at += AT_ONCE) {
      const ids = await client.zrange(keys.index(p, release), at, String(at + AT_ONCE - 1));
      const records = (await Promise.all(ids.map((id) => children.record(tag, id)))).filter((each) => each !== null);
      const add = (what: string, some: typeof records): unknown =>
        counts.set(what, addCounts([counts.get(what) ?? new Map(), foldContributions(some)]));
      add(TOTALS, records);
      for (const [membership, members] of Map.groupBy(records, (record) => record.membership))
        if (hasCounts(membership)) add(ofMembers(membership), members);
      pulse();
      if (ids.length < AT_ONCE) return counts;
    }
  }

  async function write(p: number, release: string, what: string, fields: Fields): Promise<void> {
    const key = keyOf(keys, p, release, what);
    const replace = client.multi().del(key);
    // Counts at zero are absent, marks at zero are not.
    const kept = [...fields].filter(([field, n]) => n !== 0 || !isCount(field));
    if (kept.length > 0) replace.hset(key, Object.fromEntries(kept));
    unwrap(await replace.exec());
    pulse();
  }

  async function recount(release: string): Promise<void> {
    const kept: Hash = await client.hgetall(keys.sums(release));
    // It was done, and the process died before it had said so.
    if (Object.keys(kept).length === 0) return;
    const sums = new Map<string, Map<string, number>>();
    for (const [name, n] of Object.entries(kept)) {
      if (name === '@kept') continue;
      const [what, field] = JSON.parse(name) as [string, string];
      sums.set(what, (sums.get(what) ?? new Map<string, number>()).set(field, Number(n)));
    }
    const totals: Fields = sums.get(TOTALS) ?? new Map();
    const flags = FLAGS.flatMap((field): [string, number][] => (totals.has(field) ? [[field, 1]] : []));
    const sizes = sums.get(SIZES);
    sums.delete(SIZES);
    // What no child accounts for, in the end.
    const rest = new Map([...sums].map(([what, fields]) => [what, new Map(fields)]));
    const take = (counts: ReadonlyMap<string, Fields>): void => {
      for (const [what, fields] of counts)
        for (const [field, n] of fields) {
          const left = rest.get(what) ?? new Map<string, number>();
          rest.set(what, left.set(field, (left.get(field) ?? 0) - n));
        }
    };
    const tag = (await releases.rollout(release))?.tag;
    const first = await fold(REST, release, tag);
    take(first);
    let marked = 0;
    for (let p = to - 1; p > REST; p--) {
      const counts = await fold(p, release, tag);
      take(counts);
      for (const what of sums.keys()) if (what !== TOTALS) await write(p, release, what, counts.get(what) ?? new Map());
      const own = counts.get(TOTALS) ?? new Map<string, number>();
      const enrolled = own.get('n') ?? 0;
      marked += enrolled;
      const marks = marksOf(totals, { '@mark': enrolled, '@ordered': 0, '@silent': 0 });
      await write(p, release, TOTALS, new Map([...own, ...marks, ...flags]));
    }
    const whole = {
      '@mark': (totals.get('@mark') ?? 0) - marked,
      '@ordered': totals.get('@ordered') ?? 0,
      '@silent': totals.get('@silent') ?? 0,
    };
    for (const [what, left] of rest) {
      const counts = new Map([...left].filter(([field]) => isCount(field)));
      const own = addCounts([first.get(what) ?? new Map(), counts]);
      const more = what === TOTALS ? [...marksOf(totals, whole), ...flags] : [];
      await write(REST, release, what, new Map([...own, ...more]));
    }
    if (sizes !== undefined) await writeSizes(release, sizes);
    for (let p = to; p < from; p++) for (const what of sums.keys()) await client.unlink(keyOf(keys, p, release, what));
    await client.unlink(keys.sums(release));
    pulse();
  }

  /** Where children belong is asked of all partitions together. */
  async function writeSizes(release: string, sizes: Fields): Promise<void> {
    await write(REST, release, SIZES, sizes);
    for (let p = REST + 1; p < Math.max(from, to); p++) await client.unlink(keyOf(keys, p, release, SIZES));
  }

  /** Release by release; those that are done are known by having no sums any more. */
  return async (done: (release: string) => void): Promise<void> => {
    for (const release of await client.smembers(keys.recounts)) {
      await recount(release);
      await client.srem(keys.recounts, release);
      done(release);
    }
  };
}

/** The marks that the release has at all. */
const marksOf = (sums: Fields, values: Record<(typeof MARKS)[number], number>): [string, number][] =>
  MARKS.flatMap((field): [string, number][] => (sums.has(field) ? [[field, values[field]]] : []));
