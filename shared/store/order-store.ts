/** The order of a rollout's locations: put together once everybody has been assigned, and gone through from then on. */
import { OWN_LOCATION } from '#domain/geo/locator.ts';
import { share01 } from '#domain/geo/hash.ts';
import { distanceKm } from '#domain/geo/sphere.ts';
import { ALL, type Plan } from '#domain/plan.ts';
import type { Rollout } from '#domain/rollout.ts';
import type { ChildStore } from './child-store.ts';
import type { Keys } from './keys.ts';
import { OUTSIDE, type Placing } from './placing.ts';
import type { KnownPlan, Plans } from './plans.ts';
import { type Client, unwrap } from './redis.ts';
import { runScript } from './script.ts';

/** A tick reads and writes every location that is open: this many take about a second. */
export const MAX_LOCATIONS = 10_000;
/** Rollouts whose orders are kept at hand. */
const KEPT = 8;
const SCANNED = 1_000;

/** What there is to go through. `fault`: why it can't be. */
export type Order = { locations: number; children: number; outside: number; fault?: string };

/** Locations in their order, with their members at the start; and the place of each, from 0. */
export type Places = { all: readonly { id: string; members: number }[]; index: ReadonlyMap<string, number> };

/** `first`: when the first of its members joined (ms). */
export type Location = { id: string; members: number; first: number };

export type OrderStore = ReturnType<typeof createOrderStore>;

export function createOrderStore(
  client: Client,
  keys: Keys,
  { partition, partitions }: Pick<ChildStore, 'partition' | 'partitions'>,
  plans: Plans,
) {
  const all = Array.from({ length: partitions }, (_, p) => p);
  const kept = new Map<string, Promise<Places>>();

  /** Children in order, where each is a location. */
  async function inOrder(release: string): Promise<number> {
    const sizes = await Promise.all(all.map((p) => client.zcard(keys.order(p, release))));
    return sizes.reduce((sum, n) => sum + n, 0);
  }

  /** Locations with members, over all partitions. A number: so many at least, far too many to be read. */
  async function locationsOf(release: string): Promise<{ found: Location[]; outside: number } | number> {
    const lengths = await Promise.all(all.map((p) => client.hlen(keys.sizes(p, release))));
    // Two fields for each.
    const least = Math.floor(Math.max(...lengths) / 2) - 1;
    if (least > 2 * MAX_LOCATIONS) return least;
    const merged = new Map<string, Location>();
    for (const p of all)
      for (const [field, value] of Object.entries(await client.hgetall(keys.sizes(p, release)))) {
        const [kind, id] = [field.slice(0, 2), field.slice(2)];
        if (kind !== 'n:' && kind !== 'f:') continue;
        const location = merged.get(id) ?? { id, members: 0, first: Infinity };
        if (kind === 'n:') location.members += Number(value);
        else location.first = Math.min(location.first, Number(value));
        merged.set(id, location);
      }
    const outside = merged.get(OUTSIDE)?.members ?? 0;
    return { found: [...merged.values()].filter(({ id, members }) => id !== OUTSIDE && members > 0), outside };
  }

  /** Where the only child of a location is, by its own place in the order: km, under an order by distance. */
  async function kmOfOwn(release: string, ids: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const byPartition = Map.groupBy(ids, (id) => partition(id.slice(OWN_LOCATION.length)));
    const found = new Map<string, number>();
    for (const [p, some] of byPartition) {
      const pipeline = client.pipeline();
      for (const id of some) pipeline.zrange(keys.todo(p, release, id), 0, '0', 'WITHSCORES');
      const rows = unwrap(await pipeline.exec()) as string[][];
      for (const [i, id] of some.entries()) found.set(id, Number(rows[i]?.[1] ?? Infinity));
    }
    return found;
  }

  async function sorted(release: string, { plan, placing }: KnownPlan, found: readonly Location[]) {
    const isByDistance = plan.order.by === 'distance';
    const { middle } = isByDistance ? placing() : { middle: () => null };
    const own = isByDistance ? found.flatMap(({ id }) => (middle(id) === null ? [id] : [])) : [];
    return sortLocations(plan, middle, found, await kmOfOwn(release, own));
  }

  async function composed(rollout: Rollout): Promise<{ order: Order; places: readonly Location[] }> {
    const { release } = rollout;
    const known = await plans(rollout);
    const { by } = known.plan.locations;
    if (by === 'child') {
      const children = await inOrder(release);
      return { order: { locations: children, children, outside: 0 }, places: [] };
    }
    const sizes = await locationsOf(release);
    const count = typeof sizes === 'number' ? sizes : sizes.found.length;
    if (typeof sizes === 'number' || count > MAX_LOCATIONS) {
      const advice = by === 'grid' ? 'take larger cells' : 'refuse children outside the regions';
      const number = `${typeof sizes === 'number' ? 'at least ' : ''}${count.toLocaleString('en-US')}`;
      const fault = `the plan makes ${number} locations, at most ${MAX_LOCATIONS.toLocaleString('en-US')}: ${advice}`;
      return { order: { locations: count, children: 0, outside: 0, fault }, places: [] };
    }
    const { outside } = sizes;
    // All together they're a location also when there is nobody.
    const found = by === 'all' && count === 0 ? [{ id: ALL, members: 0, first: 0 }] : sizes.found;
    const children = found.reduce((sum, { members }) => sum + members, 0);
    const places = await sorted(release, known, found);
    return { order: { locations: places.length, children, outside }, places };
  }

  async function readPlaces(release: string): Promise<Places> {
    const found = (await client.lrange(keys.places(release), 0, -1)).map(parsePlace);
    return { all: found, index: new Map(found.map(({ id }, i) => [id, i])) };
  }

  return {
    inOrder,

    /** Puts it together; true: it's there now. Every partition must have been walked over. */
    async compose(rollout: Rollout): Promise<boolean> {
      const { release } = rollout;
      if ((await this.read(release)) !== null) return false;
      const { order, places } = await composed(rollout);
      const both = { rollout: keys.rollout(release), places: keys.places(release) };
      const lines = places.map(({ id, members }) => `${members} ${id}`);
      await runScript(client, 'compose', both, [JSON.stringify(order), ...lines]);
      // They have been counted.
      if (rollout.plan.by !== 'child') await Promise.all(all.map((p) => client.unlink(keys.todo(p, release, OUTSIDE))));
      return true;
    },

    /** Null: it isn't known yet. */
    async read(release: string): Promise<Order | null> {
      const order = await client.hget(keys.rollout(release), 'order');
      return order === null ? null : (JSON.parse(order) as Order);
    },

    /** Empty until the order is known; it never changes, so it's read once. */
    places({ release, epoch, startedAt }: Pick<Rollout, 'release' | 'epoch' | 'startedAt'>): Promise<Places> {
      const key = `${release} ${epoch} ${startedAt}`;
      const known = kept.get(key) ?? readPlaces(release);
      kept.delete(key);
      kept.set(key, known);
      const [oldest] = kept.keys();
      if (kept.size > KEPT && oldest !== undefined) kept.delete(oldest);
      const forget = (): unknown => kept.delete(key);
      known.then(({ all: found }) => found.length === 0 && forget(), forget);
      return known;
    },

    /** Forgets who was still to come, once nobody more is. */
    async drop({ release, plan }: Rollout): Promise<void> {
      if (plan.direct) return;
      for (const p of all) {
        await client.zrem(keys.late(p), release);
        await client.unlink(keys.arrived(p, release), keys.order(p, release));
        if (plan.by === 'child') continue;
        let cursor = '0';
        do {
          const [next, rows] = await client.hscan(keys.sizes(p, release), cursor, 'MATCH', 'n:*', 'COUNT', SCANNED);
          cursor = next;
          const ids = rows.flatMap((field, i) => (i % 2 === 0 ? [field.slice(2)] : []));
          if (ids.length > 0) await client.unlink(...ids.map((id) => keys.todo(p, release, id)));
        } while (cursor !== '0');
      }
    },
  };
}

/** Locations in the order that a plan asks for. `kmOfOwn`: of those that are where their only child is. */
export function sortLocations<L extends Location>(
  { order, locations }: Pick<Plan, 'order' | 'locations'>,
  middle: Placing['middle'],
  found: readonly L[],
  kmOfOwn: ReadonlyMap<string, number>,
): L[] {
  const ranks = new Map<string, number>();
  if (order.by === 'distance')
    for (const { id } of found) {
      const point = middle(id);
      ranks.set(id, point === null ? (kmOfOwn.get(id) ?? Infinity) : distanceKm(order.from, point));
    }
  else if (order.by === 'shuffled') for (const { id } of found) ranks.set(id, share01(`${order.seed} ${id}`));
  else if (order.by === 'size') for (const { id, members } of found) ranks.set(id, members);
  else if (order.by === 'listed' && locations.by === 'regions')
    for (const [i, { name }] of locations.regions.entries()) ranks.set(name, i);
  const rank = (id: string): number => ranks.get(id) ?? (ranks.size === 0 ? 0 : Infinity);
  const compare = (a: number, b: number): number => (a < b ? -1 : a > b ? 1 : 0);
  const isByJoining = order.by === 'joining' || order.by === 'listed';
  return found.toSorted(
    (a, b) =>
      compare(rank(a.id), rank(b.id)) || (isByJoining ? compare(a.first, b.first) : 0) || (a.id < b.id ? -1 : 1),
  );
}

function parsePlace(text: string): { id: string; members: number } {
  const space = text.indexOf(' ');
  return { id: text.slice(space + 1), members: Number(text.slice(0, space)) };
}
