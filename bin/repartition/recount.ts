/**
 * Counts under the new layout: each partition's are the fold over the children in it now (law 3), in all and of each
 * location. Some counts have no children any more (records of old releases are forgotten, their counts stay), and notes of
 * jobs say what was true at the start; so the sums over all partitions are kept before anything moves, and what no child
 * accounts for goes to partition 0. Gates open on sums, and those stay what they were.
 */
import { foldContributions } from '#domain/counts/contribution.ts';
import { hasOwnCounts } from '#domain/rollout/membership.ts';
import { isFinished, type Rollout } from '#domain/rollout/rollout.ts';
import type { StoredRecord } from '#store/children/record-codec.ts';
import { type Client, unwrap } from '#store/connection/client.ts';
import { AGG, isCount } from '#store/layout/agg-fields.ts';
import { toFields } from '#store/layout/counts-codec.ts';
import type { Keys } from '#store/layout/keys.ts';
import type { Stores } from '#store/stores.ts';
import {
  addFields,
  EVERYWHERE,
  type Fields,
  type FieldsByWhat,
  keyOf,
  NOTED,
  ofMembers,
  readHashes,
  readSums,
  SIZES,
  type Source,
  TOTALS,
} from './sums.ts';

const AT_ONCE = 500;
/** Where counts that no child accounts for are kept. */
const REST = 0;
const NONE: Fields = new Map();

/**
 * Whether a job that assigns or enrols the fleet has come through some partitions and not through others. Where each one is
 * can't be said under another layout: children that it has passed and those still to come would be mixed.
 */
export async function isHalfEnrolled(source: Source, rollout: Rollout): Promise<boolean> {
  if (isFinished(rollout.state)) return false;
  const complete = rollout.plan.direct ? AGG.enrolled : AGG.assigned;
  const all = await readHashes(source, rollout.release, TOTALS);
  const begun = all.some((each) => each[AGG.cursor] !== undefined || each[complete] !== undefined);
  return begun && !all.every((each) => each[complete] !== undefined);
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

/** Recounts release by release; those that are done are known by having no sums any more. */
export const createRecount =
  (deps: Deps) =>
  async (done: (release: string) => void): Promise<void> => {
    const { client, keys } = deps;
    for (const release of await client.smembers(keys.recounts)) {
      await recount(deps, release);
      await client.srem(keys.recounts, release);
      done(release);
    }
  };

async function recount(deps: Deps, release: string): Promise<void> {
  const { client, keys, releases, from, to, pulse } = deps;
  const sums = await readSums(client, keys, release);
  // It was done, and the process died before it had said so.
  if (sums === null) return;
  const sizes = sums.get(SIZES);
  sums.delete(SIZES);
  const shortId = (await releases.rollout(release))?.shortId;
  const totals = sums.get(TOTALS) ?? NONE;
  // What no child of another partition accounts for is partition 0's.
  const rest = countsOnly(sums);
  let elsewhere = 0;
  for (let p = to - 1; p > REST; p--) {
    const counts = await fold(deps, p, release, shortId);
    subtract(rest, counts);
    const enrolled = counts.get(TOTALS)?.get('n') ?? 0;
    elsewhere += enrolled;
    for (const what of sums.keys())
      if (what !== TOTALS) await write(deps, p, release, { what, fields: counts.get(what) ?? NONE });
    const notes = notesOf(totals, { [AGG.enrolled]: enrolled, [AGG.assigned]: 0, [AGG.silent]: 0 });
    await write(deps, p, release, { what: TOTALS, fields: new Map([...(counts.get(TOTALS) ?? NONE), ...notes]) });
  }
  const notes = notesOf(totals, {
    [AGG.enrolled]: (totals.get(AGG.enrolled) ?? 0) - elsewhere,
    [AGG.assigned]: totals.get(AGG.assigned) ?? 0,
    [AGG.silent]: totals.get(AGG.silent) ?? 0,
  });
  for (const [what, fields] of rest)
    await write(deps, REST, release, { what, fields: what === TOTALS ? new Map([...fields, ...notes]) : fields });
  if (sizes !== undefined) await writeSizes(deps, release, sizes);
  for (let p = to; p < from; p++) for (const what of sums.keys()) await client.unlink(keyOf(keys, p, release, what));
  await client.unlink(keys.sums(release));
  pulse();
}

/** The counts of the children that are in a partition now. */
async function fold(deps: Deps, p: number, release: string, shortId: string | undefined): Promise<FieldsByWhat> {
  const { client, keys, children, pulse } = deps;
  const counts = new Map<string, Fields>();
  if (shortId === undefined) return counts;
  const add = (what: string, some: readonly StoredRecord[]): unknown =>
    counts.set(what, addFields([counts.get(what) ?? NONE, toFields(foldContributions(some))]));
  // By rank, which is exact: nobody writes meanwhile.
  for (let at = 0; ; at += AT_ONCE) {
    const ids = await client.zrange(keys.index(p, release), at, String(at + AT_ONCE - 1));
    const records = (await Promise.all(ids.map((id) => children.record(shortId, id)))).filter((each) => each !== null);
    add(TOTALS, records);
    for (const [token, members] of Map.groupBy(records, (record) => record.token))
      if (hasOwnCounts(token)) add(ofMembers(token), members);
    pulse();
    if (ids.length < AT_ONCE) return counts;
  }
}

const countsOnly = (sums: FieldsByWhat): Map<string, Map<string, number>> =>
  new Map([...sums].map(([what, fields]) => [what, new Map([...fields].filter(([field]) => isCount(field)))]));

function subtract(rest: Map<string, Map<string, number>>, counts: FieldsByWhat): void {
  for (const [what, fields] of counts) {
    const left = rest.get(what) ?? new Map<string, number>();
    for (const [field, n] of fields) left.set(field, (left.get(field) ?? 0) - n);
    rest.set(what, left);
  }
}

/** Those of the values whose field the release has at all, and what all partitions say. */
const notesOf = (totals: Fields, values: Record<(typeof NOTED)[number], number>): [string, number][] => [
  ...NOTED.flatMap((field): [string, number][] => (totals.has(field) ? [[field, values[field]]] : [])),
  ...EVERYWHERE.flatMap((field): [string, number][] => (totals.has(field) ? [[field, 1]] : [])),
];

async function write(
  { client, keys, pulse }: Deps,
  p: number,
  release: string,
  { what, fields }: { what: string; fields: Fields },
): Promise<void> {
  const key = keyOf(keys, p, release, what);
  const replace = client.multi().del(key);
  // Counts at zero are absent, notes at zero are not.
  const kept = [...fields].filter(([field, n]) => n !== 0 || !isCount(field));
  if (kept.length > 0) replace.hset(key, Object.fromEntries(kept));
  unwrap(await replace.exec());
  pulse();
}

/** Where children belong is asked of all partitions together. */
async function writeSizes(deps: Deps, release: string, sizes: Fields): Promise<void> {
  const { client, keys, from, to } = deps;
  await write(deps, REST, release, { what: SIZES, fields: sizes });
  for (let p = REST + 1; p < Math.max(from, to); p++) await client.unlink(keyOf(keys, p, release, SIZES));
}
