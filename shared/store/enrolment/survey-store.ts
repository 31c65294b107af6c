/** Which children would get a release under a plan, found by looking at the fleet as it is. Reads only. */
import { type Assigner, type Assignment, createAssigner, OUTSIDE } from '#domain/plan/assigner.ts';
import { type LocationSize, sortLocations } from '#domain/plan/location-order.ts';
import type { Plan } from '#domain/plan/plan.ts';
import type { ChildStore } from '#store/children/child-store.ts';
import { type Client, unwrap } from '#store/connection/client.ts';
import type { Keys } from '#store/layout/keys.ts';
import { candidateOf } from './assignment-store.ts';

const BATCH = 500;
/** Children that are read, about: of a larger fleet some partitions, which hold an even sample of it. */
const SAMPLE = 100_000;

export type Survey = {
  /** All children that are known, and those of them that were silent lately. Both exact. */
  known: number;
  silent: number;
  untargeted: number;
  outside: number;
  enrolled: number;
  /** In their order; where each child is a location, the children. */
  locations: { id: string; members: number }[];
  /** The share of the fleet that the other numbers are drawn from. */
  lookedAt: number;
};

type Found = LocationSize & { score: number };
type Adder = (joined: number, id: string, assigned: Assignment | null) => void;
type Deps = { client: Client; keys: Keys; children: Pick<ChildStore, 'bySeen' | 'partitions'> };

export function createSurveyStore(deps: Deps) {
  const { client, keys, children } = deps;
  const partitions = Array.from({ length: children.partitions }, (_, p) => p);
  return {
    async survey(plan: Plan, freshSince: number): Promise<Survey> {
      const sizes = await Promise.all(partitions.map((p) => client.zcard(keys.seen(p))));
      const stale = await Promise.all(partitions.map((p) => client.zcount(keys.seen(p), '-inf', `(${freshSince}`)));
      const known = sum(sizes);
      const some = sampleOf(sizes);
      const assigner = createAssigner(plan);
      const tally = createTally(plan);
      for (const p of some) await readPartition(deps, p, { freshSince, assigner }, tally.add);
      const lookedAt = known === 0 ? 1 : sum(some.map((p) => sizes[p] ?? 0)) / known;
      const whole = (n: number): number => Math.round(n / lookedAt);
      const isByChild = plan.locations.by === 'child';
      return {
        known,
        silent: sum(stale),
        untargeted: whole(tally.untargeted()),
        outside: whole(tally.outside()),
        enrolled: whole(sum(tally.locations().map(({ members }) => members))),
        locations: sorted(plan, assigner, tally.locations()).map(({ id, members }) => ({
          id,
          members: isByChild ? members : whole(members),
        })),
        lookedAt,
      };
    },
  };
}

type Reading = { freshSince: number; assigner: Assigner };

async function readPartition({ client, keys, children }: Deps, p: number, reading: Reading, add: Adder): Promise<void> {
  for (let cursor = reading.freshSince - 1, isLast = false; !isLast;) {
    const batch = await children.bySeen(p, cursor, BATCH);
    const pipeline = client.pipeline();
    for (const id of batch.ids) pipeline.hmget(keys.child(p, id), 'f', 'a', 'n');
    const rows = (batch.ids.length === 0 ? [] : unwrap(await pipeline.exec())) as (string | null)[][];
    for (const [i, id] of batch.ids.entries()) {
      const [first, area, count] = rows[i] ?? [];
      if (first == null) continue;
      const child = candidateOf(id, { first, area, count });
      add(child.firstSeen, id, reading.assigner.assign(child));
    }
    cursor = batch.cursor;
    isLast = batch.last;
  }
}

/** What the children that were read add up to. */
function createTally(plan: Plan) {
  const isByChild = plan.locations.by === 'child';
  const found = new Map<string, Found>();
  // Seen twice on the way along last heartbeats, which grow meanwhile.
  const met = new Set<string>();
  let [untargeted, outside] = [0, 0];
  const add: Adder = (joined, id, assigned) => {
    if (met.has(id)) return;
    met.add(id);
    if (assigned === null) untargeted++;
    else if (assigned.location === OUTSIDE) outside++;
    else {
      const key = isByChild ? id : assigned.location;
      const location = found.get(key) ?? { id: key, members: 0, first: Infinity, score: assigned.score };
      location.members++;
      location.first = Math.min(location.first, joined);
      found.set(key, location);
    }
  };
  return { add, untargeted: () => untargeted, outside: () => outside, locations: () => [...found.values()] };
}

function sorted(plan: Plan, { middle }: Assigner, locations: readonly Found[]): Found[] {
  if (plan.locations.by === 'child') return locations.toSorted((a, b) => a.score - b.score || (a.id < b.id ? -1 : 1));
  const kmOfOwn = new Map(locations.map(({ id, score }) => [id, score]));
  return sortLocations(plan, locations, { middle, kmOfOwn });
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, n) => all + n, 0);

/** Partitions that hold about as many children as are read; one at least. */
function sampleOf(sizes: readonly number[]): number[] {
  const some: number[] = [];
  let count = 0;
  for (const [p, size] of sizes.entries()) {
    if (some.length > 0 && count + size > SAMPLE) break;
    some.push(p);
    count += size;
  }
  return some;
}
