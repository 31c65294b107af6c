/**
 * Aggregates under the new layout: each partition's counts are the fold over the children in it now (law 3). Some counts have
 * no children any more (records of old releases are forgotten, their counts stay), and marks say what was true at
 * the start; so the sums over all partitions are kept before anything moves, and what no child accounts for goes to
 * partition 0. Gates open on sums, and those stay what they were.
 */
import { addCounts } from '#domain/counts.ts';
import { foldContributions } from '#domain/record.ts';
import { isFinished, type Rollout } from '#domain/rollout.ts';
import type { Keys } from '#store/keys.ts';
import { type Client, unwrap } from '#store/redis.ts';
import type { Stores } from '#store/stores.ts';

const AT_ONCE = 500;
/** Where counts that no child accounts for are kept. */
const REST = 0;

/** Fields that each partition has once a walk over it is through. */
const MARKS = ['@mark', '@ordered', '@silent'] as const;

type Aggregate = Readonly<Record<string, string>>;

const aggregates = (client: Client, keys: Keys, partitions: number, release: string): Promise<Aggregate[]> =>
  Promise.all(Array.from({ length: partitions }, (_, p) => client.hgetall(keys.agg(p, release))));

/**
 * Whether a walk has come through some partitions and not through others. Where each one is can't be said under another
 * layout: children that it has passed and those still to come would be mixed.
 */
export async function isHalfWalked(client: Client, keys: Keys, partitions: number, rollout: Rollout): Promise<boolean> {
  if (isFinished(rollout.state)) return false;
  const mark = rollout.plan.locations === 'child' ? '@ordered' : '@mark';
  const all = await aggregates(client, keys, partitions, rollout.release);
  const begun = all.some((each) => each['@cursor'] !== undefined || each[mark] !== undefined);
  return begun && !all.every((each) => each[mark] !== undefined);
}

/** Keeps a release's sums, while each partition's counts are still what they were. */
export async function keepSums(client: Client, keys: Keys, from: number, release: string): Promise<void> {
  const all = await aggregates(client, keys, from, release);
  const sums: Record<string, string> = { '@kept': '1' };
  for (const [field, n] of addCounts(all.map(countsOf))) sums[field] = String(n);
  for (const field of MARKS)
    // One that only some partitions have is of a release that ended before its walk did: it says nothing any more.
    if (all.every((each) => each[field] !== undefined))
      sums[field] = String(all.reduce((sum, each) => sum + Number(each[field]), 0));
  await client.del(keys.sums(release));
  await client.hset(keys.sums(release), sums);
  await client.sadd(keys.recounts, release);
}

const countsOf = (aggregate: Aggregate): Map<string, number> =>
  new Map(
    Object.entries(aggregate).flatMap(([field, n]) => (field.startsWith('@') ? [] : [[field, Number(n)] as const])),
  );

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
  async function fold(p: number, release: string, tag: string): Promise<Map<string, number>> {
    let counts = new Map<string, number>();
    // By rank, which is exact: nobody writes meanwhile.
    for (let at = 0; ; at += AT_ONCE) {
      const ids = await client.zrange(keys.index(p, release), at, String(at + AT_ONCE - 1));
      const records = await Promise.all(ids.map((id) => children.record(tag, id)));
      counts = addCounts([counts, foldContributions(records.filter((record) => record !== null))]);
      pulse();
      if (ids.length < AT_ONCE) return counts;
    }
  }

  async function write(p: number, release: string, fields: ReadonlyMap<string, number>): Promise<void> {
    const key = keys.agg(p, release);
    const replace = client.multi().del(key);
    // Counts at zero are absent, marks at zero are not.
    const kept = [...fields].filter(([field, n]) => n !== 0 || field.startsWith('@'));
    if (kept.length > 0) replace.hset(key, Object.fromEntries(kept));
    unwrap(await replace.exec());
    pulse();
  }

  async function recount(release: string): Promise<void> {
    const sums: Aggregate = await client.hgetall(keys.sums(release));
    // It was done, and the process died before it had said so.
    if (Object.keys(sums).length === 0) return;
    const tag = (await releases.rollout(release))?.tag;
    const rest = countsOf(sums);
    const take = (fields: ReadonlyMap<string, number>): void => {
      for (const [field, n] of fields) rest.set(field, (rest.get(field) ?? 0) - n);
    };
    const own = async (p: number) => (tag === undefined ? new Map<string, number>() : fold(p, release, tag));
    const first = await own(REST);
    take(first);
    let marked = 0;
    for (let p = to - 1; p > REST; p--) {
      const counts = await own(p);
      take(counts);
      const enrolled = counts.get('n') ?? 0;
      marked += enrolled;
      await write(p, release, new Map([...counts, ...marks(sums, { '@mark': enrolled, '@ordered': 0, '@silent': 0 })]));
    }
    const whole = {
      '@mark': Number(sums['@mark']) - marked,
      '@ordered': Number(sums['@ordered']),
      '@silent': Number(sums['@silent']),
    };
    await write(REST, release, new Map([...addCounts([first, rest]), ...marks(sums, whole)]));
    for (let p = to; p < from; p++) await client.unlink(keys.agg(p, release));
    await client.unlink(keys.sums(release));
    pulse();
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
const marks = (sums: Aggregate, values: Record<(typeof MARKS)[number], number>): [string, number][] =>
  MARKS.flatMap((field): [string, number][] => (sums[field] === undefined ? [] : [[field, values[field]]]));
