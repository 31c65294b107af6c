/** Aggregates as they stand in Redis, partition by partition. */
import { addCounts, type Counts } from '#domain/counts.ts';
import { ALL } from '#domain/plan.ts';
import { membershipToken } from '#domain/membership.ts';
import { type OpenLocation, type Rollout } from '#domain/rollout.ts';
import type { Keys } from './keys.ts';
import type { Client } from './redis.ts';
import { runScript } from './script.ts';

/** Locations in one Lua call: Redis serves nobody else meanwhile. */
const AT_ONCE = 200;

/** The counts alone: fields that begin with @ are marks of walks and jobs. */
export function countsOf(hash: Readonly<Record<string, string>>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [field, value] of Object.entries(hash)) if (!field.startsWith('@')) counts.set(field, Number(value));
  return counts;
}

export type PlaceCounts = { left: number; counts: Counts; late: Counts };

type Place = Pick<OpenLocation, 'id' | 'n'>;

const NOBODY: PlaceCounts = { left: 0, counts: new Map(), late: new Map() };

const fromRows = (rows: readonly string[]): Counts =>
  new Map(
    rows.flatMap((field, i) => (i % 2 === 0 && !field.startsWith('@') ? [[field, Number(rows[i + 1])] as const] : [])),
  );

/** Where children wait: each location's apart, all of them together, or nowhere that is to be looked at. */
export type Waiting = 'place' | 'all' | '';

/** Of some locations in one partition, each as it is at one time. */
export async function readPlaces(
  client: Client,
  keys: Keys,
  p: number,
  release: string,
  places: readonly Place[],
  waiting: Waiting,
): Promise<PlaceCounts[]> {
  const key = waiting === 'place' ? keys.todo(p, release, '') : keys.order(p, release);
  const found: PlaceCounts[] = [];
  for (let from = 0; from < places.length; from += AT_ONCE) {
    const some = places.slice(from, from + AT_ONCE).flatMap(({ n, id }) => [n, id]);
    const rows = (await runScript(client, 'read-places', { agg: keys.agg(p, release) }, [waiting, key, ...some])) as [
      number,
      string[],
      string[],
    ][];
    for (const [left, counts, late] of rows) found.push({ left, counts: fromRows(counts), late: fromRows(late) });
  }
  return found;
}

/** The same over all partitions, by the id of the location. */
export async function sumPlaces(
  client: Client,
  keys: Keys,
  partitions: number,
  release: string,
  places: readonly Place[],
  waiting: Waiting,
): Promise<Map<string, PlaceCounts>> {
  if (places.length === 0) return new Map();
  const all = await Promise.all(
    Array.from({ length: partitions }, (_, p) => readPlaces(client, keys, p, release, places, waiting)),
  );
  return new Map(
    places.map(({ id }, i) => {
      const parts = all.map((part) => part[i] ?? NOBODY);
      return [
        id,
        {
          left: parts.reduce((sum, { left }) => sum + left, 0),
          counts: addCounts(parts.map(({ counts }) => counts)),
          late: addCounts(parts.map(({ late }) => late)),
        },
      ];
    }),
  );
}

/** One location's counts in a partition, late joiners and all. */
export async function countsIn(
  client: Client,
  keys: Keys,
  p: number,
  { release, plan }: Pick<Rollout, 'release' | 'plan'>,
  location: Place | null,
): Promise<Counts> {
  if (location === null || membershipToken(location, plan, false) === ALL)
    return countsOf(await client.hgetall(keys.agg(p, release)));
  const [counts = NOBODY] = await readPlaces(client, keys, p, release, [location], '');
  return addCounts([counts.counts, counts.late]);
}
