/** The order of a rollout's locations: put together once every child has been assigned, and gone through from then on. */
import { OWN_LOCATION } from '#domain/geo/locator.ts';
import { OUTSIDE } from '#domain/plan/assigner.ts';
import {
  type LocationSize,
  MAX_LOCATIONS,
  type Order,
  sortLocations,
  tooManyLocations,
} from '#domain/plan/location-order.ts';
import { ALL } from '#domain/plan/plan.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';
import type { ChildStore } from '#store/children/child-store.ts';
import { type Client, unwrap } from '#store/connection/client.ts';
import { runScript } from '#store/connection/script.ts';
import type { Keys } from '#store/layout/keys.ts';
import type { KnownPlan, PlanCache } from '#store/releases/plan-cache.ts';

/** Rollouts whose orders are kept at hand. */
const KEPT = 8;
const SCANNED = 1_000;

/** Locations in their order, with their members at the start; and the place of each, from 0. */
export type OrderedLocations = {
  all: readonly { id: string; members: number }[];
  index: ReadonlyMap<string, number>;
};

export type OrderStore = ReturnType<typeof createOrderStore>;

type Deps = { client: Client; keys: Keys; children: Pick<ChildStore, 'partition' | 'partitions'>; plans: PlanCache };

export function createOrderStore(deps: Deps) {
  const { client, keys } = deps;
  const partitions = Array.from({ length: deps.children.partitions }, (_, p) => p);

  /** Null: it isn't known yet. */
  async function read(release: string): Promise<Order | null> {
    const order = await client.hget(keys.rollout(release), 'order');
    return order === null ? null : (JSON.parse(order) as Order);
  }

  return {
    read,
    locations: keptLocations(deps),

    /** Puts it together; true: it's there now. Every partition must have been assigned. */
    async compose(rollout: Rollout): Promise<boolean> {
      const { release } = rollout;
      if ((await read(release)) !== null) return false;
      const { order, locations } = await composed(deps, rollout, partitions);
      const lines = locations.map(({ id, members }) => `${members} ${id}`);
      await runScript(client, 'write-order', {
        keys: { rollout: keys.rollout(release), locations: keys.locations(release) },
        args: [JSON.stringify(order), ...lines],
      });
      // They have been counted.
      if (rollout.plan.by !== 'child')
        await Promise.all(partitions.map((p) => client.unlink(keys.todo(p, release, OUTSIDE))));
      return true;
    },

    /** Forgets which children were still to come, once no more are. */
    async drop({ release, plan }: Rollout): Promise<void> {
      if (plan.direct) return;
      for (const p of partitions) {
        await client.zrem(keys.late(p), release);
        await client.unlink(keys.arrived(p, release), keys.order(p, release));
        if (plan.by !== 'child') await dropTodo(deps, p, release);
      }
    },
  };
}

async function dropTodo({ client, keys }: Deps, p: number, release: string): Promise<void> {
  let cursor = '0';
  do {
    const [next, rows] = await client.hscan(keys.sizes(p, release), cursor, 'MATCH', 'n:*', 'COUNT', SCANNED);
    cursor = next;
    const ids = rows.flatMap((field, i) => (i % 2 === 0 ? [field.slice(2)] : []));
    if (ids.length > 0) await client.unlink(...ids.map((id) => keys.todo(p, release, id)));
  } while (cursor !== '0');
}

/** Empty until the order is known; it never changes, so it's read once. */
function keptLocations({ client, keys }: Deps) {
  const kept = new Map<string, Promise<OrderedLocations>>();

  async function load(release: string): Promise<OrderedLocations> {
    const all = (await client.lrange(keys.locations(release), 0, -1)).map(parseLine);
    return { all, index: new Map(all.map(({ id }, i) => [id, i])) };
  }

  return ({
    release,
    epoch,
    startedAt,
  }: Pick<Rollout, 'release' | 'epoch' | 'startedAt'>): Promise<OrderedLocations> => {
    const key = `${release} ${epoch} ${startedAt}`;
    const known = kept.get(key) ?? load(release);
    kept.delete(key);
    kept.set(key, known);
    const [oldest] = kept.keys();
    if (kept.size > KEPT && oldest !== undefined) kept.delete(oldest);
    const forget = (): unknown => kept.delete(key);
    known.then(({ all }) => all.length === 0 && forget(), forget);
    return known;
  };
}

function parseLine(text: string): { id: string; members: number } {
  const space = text.indexOf(' ');
  return { id: text.slice(space + 1), members: Number(text.slice(0, space)) };
}

type Composed = { order: Order; locations: readonly LocationSize[] };

async function composed(deps: Deps, rollout: Rollout, partitions: readonly number[]): Promise<Composed> {
  const { client, keys, plans } = deps;
  const { release } = rollout;
  const known = await plans(rollout);
  const { by } = known.plan.locations;
  if (by === 'child') {
    const sizes = await Promise.all(partitions.map((p) => client.zcard(keys.order(p, release))));
    const children = sizes.reduce((sum, n) => sum + n, 0);
    return { order: { locations: children, children, outside: 0 }, locations: [] };
  }
  const sizes = await readSizes(deps, release, partitions);
  const fault = tooManyLocations(by, sizes.count, sizes.found === null);
  if (fault !== null || sizes.found === null)
    return { order: { locations: sizes.count, children: 0, outside: 0, ...(fault && { fault }) }, locations: [] };
  // All together they're a location also when there is nobody.
  const isEmpty = by === 'all' && sizes.count === 0;
  const found = isEmpty ? [{ id: ALL, members: 0, first: 0 }] : sizes.found;
  const children = found.reduce((sum, { members }) => sum + members, 0);
  const locations = await sorted(deps, release, known, found);
  return { order: { locations: locations.length, children, outside: sizes.outside }, locations };
}

/** `found` null: there are at least `count` locations, far too many to be read. */
type Sizes = { count: number; found: LocationSize[] | null; outside: number };

/** Locations with members, over all partitions. */
async function readSizes({ client, keys }: Deps, release: string, partitions: readonly number[]): Promise<Sizes> {
  const lengths = await Promise.all(partitions.map((p) => client.hlen(keys.sizes(p, release))));
  // Two fields for each.
  const least = Math.floor(Math.max(...lengths) / 2) - 1;
  if (least > 2 * MAX_LOCATIONS) return { count: least, found: null, outside: 0 };
  const merged = new Map<string, LocationSize>();
  for (const p of partitions)
    for (const [field, value] of Object.entries(await client.hgetall(keys.sizes(p, release)))) {
      const [kind, id] = [field.slice(0, 2), field.slice(2)];
      if (kind !== 'n:' && kind !== 'f:') continue;
      const location = merged.get(id) ?? { id, members: 0, first: Infinity };
      if (kind === 'n:') location.members += Number(value);
      else location.first = Math.min(location.first, Number(value));
      merged.set(id, location);
    }
  const outside = merged.get(OUTSIDE)?.members ?? 0;
  const found = [...merged.values()].filter(({ id, members }) => id !== OUTSIDE && members > 0);
  return { count: found.length, found, outside };
}

async function sorted(deps: Deps, release: string, { plan, assigner }: KnownPlan, found: readonly LocationSize[]) {
  const isByDistance = plan.order.by === 'distance';
  const { middle } = isByDistance ? assigner() : { middle: () => null };
  const own = isByDistance ? found.flatMap(({ id }) => (middle(id) === null ? [id] : [])) : [];
  return sortLocations(plan, found, { middle, kmOfOwn: await readKmOfOwn(deps, release, own) });
}

/** How far away the only child of a location is, by its own place in the order: km, under an order by distance. */
async function readKmOfOwn(
  { client, keys, children }: Deps,
  release: string,
  ids: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const byPartition = Map.groupBy(ids, (id) => children.partition(id.slice(OWN_LOCATION.length)));
  const found = new Map<string, number>();
  for (const [p, some] of byPartition) {
    const pipeline = client.pipeline();
    for (const id of some) pipeline.zrange(keys.todo(p, release, id), 0, '0', 'WITHSCORES');
    const rows = unwrap(await pipeline.exec()) as string[][];
    for (const [i, id] of some.entries()) found.set(id, Number(rows[i]?.[1] ?? Infinity));
  }
  return found;
}
