/** Who would get a release under a plan, found by looking at the fleet as it is. Reads only. */
import type { Plan } from '#domain/plan.ts';
import type { ChildStore } from './child-store.ts';
import type { Keys } from './keys.ts';
import { type Location, sortLocations } from './order-store.ts';
import { createPlacing, OUTSIDE, type Placing } from './placing.ts';
import { type Client, unwrap } from './redis.ts';

const BATCH = 500;
/** Children looked at, about: of a larger fleet some partitions, which hold an even sample of it. */
const LOOKED_AT = 100_000;

export type Survey = {
  /** All children that are known, and those of them not heard of lately. Both exact. */
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

type Found = Location & { score: number };

export function createSurveyStore(client: Client, keys: Keys, children: Pick<ChildStore, 'bySeen' | 'partitions'>) {
  const all = Array.from({ length: children.partitions }, (_, p) => p);

  async function lookAt(p: number, freshSince: number, { place }: Placing, add: Adder): Promise<void> {
    for (let cursor = freshSince - 1, isLast = false; !isLast;) {
      const batch = await children.bySeen(p, cursor, BATCH);
      const pipeline = client.pipeline();
      for (const id of batch.ids) pipeline.hmget(keys.child(p, id), 'f', 'a', 'n');
      const rows = (batch.ids.length === 0 ? [] : unwrap(await pipeline.exec())) as (string | null)[][];
      for (const [i, id] of batch.ids.entries()) {
        const [first, area, count] = rows[i] ?? [];
        if (first == null) continue;
        const child = { id, area: area ?? '', firstSeen: Number(first), childCount: Number(count ?? 0) };
        add(child.firstSeen, id, place(child));
      }
      cursor = batch.cursor;
      isLast = batch.last;
    }
  }

  return {
    async survey(plan: Plan, freshSince: number): Promise<Survey> {
      const sizes = await Promise.all(all.map((p) => client.zcard(keys.seen(p))));
      const stale = await Promise.all(all.map((p) => client.zcount(keys.seen(p), '-inf', `(${freshSince}`)));
      const known = sum(sizes);
      const some = sampleOf(sizes);
      const placing = createPlacing(plan);
      const found = new Map<string, Found>();
      // Seen twice by a walk along last sign of life, which grows meanwhile.
      const met = new Set<string>();
      let [untargeted, outside] = [0, 0];
      const isByChild = plan.locations.by === 'child';
      const add: Adder = (joined, id, placed) => {
        if (met.has(id)) return;
        met.add(id);
        if (placed === null) untargeted++;
        else if (placed.location === OUTSIDE) outside++;
        else {
          const key = isByChild ? id : placed.location;
          const location = found.get(key) ?? { id: key, members: 0, first: Infinity, score: placed.score };
          location.members++;
          location.first = Math.min(location.first, joined);
          found.set(key, location);
        }
      };
      for (const p of some) await lookAt(p, freshSince, placing, add);
      const lookedAt = known === 0 ? 1 : sum(some.map((p) => sizes[p] ?? 0)) / known;
      const whole = (n: number): number => Math.round(n / lookedAt);
      const places = [...found.values()];
      const sorted = isByChild
        ? places.toSorted((a, b) => a.score - b.score || (a.id < b.id ? -1 : 1))
        : sortLocations(plan, placing.middle, places, new Map(places.map(({ id, score }) => [id, score])));
      return {
        known,
        silent: sum(stale),
        untargeted: whole(untargeted),
        outside: whole(outside),
        enrolled: whole(sum(places.map(({ members }) => members))),
        locations: sorted.map(({ id, members }) => ({ id, members: isByChild ? members : whole(members) })),
        lookedAt,
      };
    },
  };
}

type Adder = (joined: number, id: string, placed: ReturnType<Placing['place']>) => void;

const sum = (numbers: readonly number[]): number => numbers.reduce((all, n) => all + n, 0);

/** Partitions that hold about as many children as are looked at; one at least. */
function sampleOf(sizes: readonly number[]): number[] {
  const some: number[] = [];
  let count = 0;
  for (const [p, size] of sizes.entries()) {
    if (some.length > 0 && count + size > LOOKED_AT) break;
    some.push(p);
    count += size;
  }
  return some;
}
