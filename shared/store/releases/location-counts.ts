/** Counts as they stand in Redis, partition by partition. */
import type { Counts } from '#domain/counts/counts.ts';
import { ALL } from '#domain/plan/plan.ts';
import { isByCohorts, membershipToken } from '#domain/rollout/membership.ts';
import type { LocationRef, Rollout } from '#domain/rollout/rollout.ts';
import type { Client } from '#store/connection/client.ts';
import { runScript } from '#store/connection/script.ts';
import { parseCounts, sumRows } from '#store/layout/counts-codec.ts';
import type { Keys } from '#store/layout/keys.ts';

/** Locations in one Lua call: Redis serves nobody else meanwhile. */
const AT_ONCE = 200;

/** `left`: children that are still to be enrolled. */
export type LocationSums = { left: number; counts: Counts; late: Counts };

/** The same in one partition, as Redis gives it. */
type Row = [left: number, counts: string[], late: string[]];

const NO_ROW: Row = [0, [], []];

type Of = Pick<Rollout, 'release' | 'plan'>;

export type LocationCountsReader = ReturnType<typeof createLocationCounts>;

export function createLocationCounts(client: Client, keys: Keys, partitions: number) {
  /** Of some locations in one partition, each as it is at one time. `waiting`: those still to be enrolled are counted. */
  async function read(
    p: number,
    { release, plan }: Of,
    locations: readonly LocationRef[],
    waiting: boolean,
  ): Promise<Row[]> {
    // In waves of children all of them wait together.
    const kind = !waiting ? '' : isByCohorts(plan) ? 'all' : 'own';
    const key = kind === 'own' ? keys.todo(p, release, '') : keys.order(p, release);
    const found: Row[] = [];
    for (let from = 0; from < locations.length; from += AT_ONCE) {
      const some = locations.slice(from, from + AT_ONCE).flatMap(({ n, id }) => [n, id]);
      const rows = (await runScript(client, 'read-locations', {
        keys: { agg: keys.agg(p, release) },
        args: [keys.aggOf(p, release, ''), kind, key, ...some],
      })) as Row[];
      found.push(...rows);
    }
    return found;
  }

  return {
    /** Over all partitions, by the id of the location, with children that are still to be enrolled. */
    async sum(rollout: Of, locations: readonly LocationRef[]): Promise<Map<string, LocationSums>> {
      if (locations.length === 0) return new Map();
      const all = await Promise.all(Array.from({ length: partitions }, (_, p) => read(p, rollout, locations, true)));
      return new Map(
        locations.map(({ id }, i) => {
          const rows = all.map((part) => part[i] ?? NO_ROW);
          return [
            id,
            {
              left: rows.reduce((sum, [left]) => sum + left, 0),
              counts: sumRows(rows.map(([, counts]) => counts)),
              late: sumRows(rows.map(([, , late]) => late)),
            },
          ];
        }),
      );
    },

    /** One location's counts in a partition, late joiners and all; null: of the whole release. */
    async inPartition(p: number, rollout: Of, location: LocationRef | null): Promise<Counts> {
      if (location === null || membershipToken(location, rollout.plan, false) === ALL)
        return parseCounts(await client.hgetall(keys.agg(p, rollout.release)));
      const [[, counts, late] = NO_ROW] = await read(p, rollout, [location], false);
      return sumRows([counts, late]);
    },
  };
}
