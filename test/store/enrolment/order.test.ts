/** Which child belongs where, and in what order: assigning and composing, on a real Redis. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { partitionOf } from '#domain/ids.ts';
import type { Locations, Order, Plan } from '#domain/plan/plan.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';
import { StageStatus } from '#domain/child/status.ts';
import { AGG } from '#store/layout/agg-fields.ts';
import { openSpread, region, type Spread, square, START } from '#test/harness/plans/spread.ts';

const stack = new AsyncDisposableStack();
let s: Spread;
beforeAll(async () => {
  s = await openSpread(stack);
});
afterAll(() => stack.disposeAsync());

const ALL: Locations = { by: 'all' };
const REGIONS: Locations = {
  by: 'regions',
  // Each around one of the points below, a degree to every side.
  regions: [region('north', 10, 54), region('south', 10, 48), region('east of nowhere', 14, 51)],
  outside: 'refuse',
};

/** Joins children where they are, in this order, a second apart. */
async function givenChildren(points: Record<string, readonly [longitude: number, latitude: number]>): Promise<void> {
  await s.client.flushall();
  let at = 10_000;
  for (const [id, [longitude, latitude]] of Object.entries(points))
    await s.join(id, (at += 1000), square(longitude, latitude));
}

const locationsOf = async (rollout: Rollout) => (await s.orders.locations(rollout)).all;
const namesOf = async (rollout: Rollout): Promise<string[]> => (await locationsOf(rollout)).map(({ id }) => id);

/** All of a location in its order. */
async function inOrder(key: (p: number) => string): Promise<string[]> {
  const rows = await Promise.all(
    s.all.map(async (p) => {
      const all = await s.client.zrange(key(p), 0, '-1', 'WITHSCORES');
      return all.flatMap((id, i) => (i % 2 === 0 ? [{ id, score: Number(all[i + 1]) }] : []));
    }),
  );
  return rows
    .flat()
    .sort((a, b) => a.score - b.score || (a.id < b.id ? -1 : 1))
    .map(({ id }) => id);
}

async function whenOrdered(parts: Partial<Plan>): Promise<Rollout> {
  const rollout = await s.start(parts);
  await s.order(rollout);
  return rollout;
}

describe('assigning', () => {
  it('takes every child that is fresh and joined before the start, once, whatever jobs overlap and whichever are seen meanwhile', async () => {
    await s.client.flushall();
    const ids = Array.from({ length: 1_300 }, (_, i) => `a-${i}`);
    // 700 of them in the very same millisecond: more than a batch of a partition.
    await Promise.all(ids.map((id, i) => s.join(id, i < 700 ? 500_000 : 500_000 + i)));
    await s.join('silent', 10);
    await s.join('afterwards', START + 1);
    const rollout = await s.start({ locations: { by: 'grid', cellKm: 100 } }, { freshSince: 400_000 });
    const assign = async (): Promise<void> => {
      for (const p of s.all) while (!(await s.assignment.fleet(p, rollout)));
    };
    const twice = [assign(), assign()];
    await Promise.all(
      ids.slice(0, 200).map((id) => s.heartbeat({ id, at: START + 5, release: '', shortId: '', by: 'poll' })),
    );
    await Promise.all(twice);
    await assign();
    expect(await s.orders.compose(rollout)).toBe(true);
    const [location, ...others] = await locationsOf(rollout);
    expect(others).toEqual([]);
    expect(location?.members).toBe(1_300);
    expect(await s.todo(rollout.release, location?.id ?? '')).toEqual(ids.toSorted());
    expect(await s.sum(rollout.release, AGG.silent)).toBe(1);
  });

  it('goes on where it died: what is assigned stays, and no child is left out', async () => {
    await s.client.flushall();
    const ids = Array.from({ length: 900 }, (_, i) => `d-${i}`).filter((id) => partitionOf(id, s.partitions) === 0);
    for (const [i, id] of ids.entries()) await s.join(id, 500_000 + i);
    const rollout = await s.start({ locations: ALL, lateJoiners: 'join' });
    expect(ids.length).toBeGreaterThan(250);
    expect(await s.assignment.fleet(0, rollout)).toBe(false);
    expect(await s.todo(rollout.release, 'all')).toHaveLength(250);
    expect(await s.assignment.isAssigned(0, rollout)).toBe(false);
    while (!(await s.assignment.fleet(0, rollout)));
    expect(await s.assignment.isAssigned(0, rollout)).toBe(true);
    expect(await s.todo(rollout.release, 'all')).toEqual(ids.toSorted());
  });

  it('brings no child back that has had its turn, and leaves out one that was deleted meanwhile', async () => {
    await givenChildren({ a: [10, 54], b: [10, 54], c: [10, 54] });
    const rollout = await whenOrdered({ locations: { by: 'child' }, stages: 'own-pace' });
    await s.enrolment.enrolChild(s.children.partition('a'), rollout, 'a');
    for (const p of s.all) await s.assignment.fleet(p, rollout);
    expect(await inOrder((p) => s.keys.order(p, rollout.release))).toEqual(['b', 'c']);

    const other = await s.start({ locations: REGIONS });
    await s.children.delete('b', START, []);
    await s.order(other);
    expect(await s.todo(other.release, 'north')).toEqual(['a', 'c']);
  });

  it('leaves out children that the release is not meant for', async () => {
    await givenChildren({ a: [10, 54], b: [10, 48], c: [10, 54], d: [10, 48] });
    const meant = async (target: Plan['target']): Promise<string[]> =>
      s.todo((await whenOrdered({ target, locations: ALL })).release, 'all');
    expect(await meant({ kind: 'everyone' })).toEqual(['a', 'b', 'c', 'd']);
    const { area } = region('', 10, 54);
    expect(await meant({ kind: 'within', area })).toEqual(['a', 'c']);
    expect(await meant({ kind: 'children', ids: ['d', 'b', 'x'] })).toEqual(['b', 'd']);
    const shares = await Promise.all([0, 0.3, 0.6, 1].map((share) => meant({ kind: 'share', share, seed: 'here' })));
    expect([shares[0], shares[3]]).toEqual([[], ['a', 'b', 'c', 'd']]);
    // A greater share holds those of a smaller one.
    expect(shares[2]).toEqual(expect.arrayContaining(shares[1] ?? []));
  });

  it('puts a child across the antimeridian into one location, and into the same however it is spelled', async () => {
    await s.client.flushall();
    await s.join('east', 10_000, square(180, 0, 0.4));
    await s.join('west', 11_000, square(-180, 0, 0.4));
    const grid = await whenOrdered({ locations: { by: 'grid', cellKm: 200 } });
    expect((await locationsOf(grid)).map(({ members }) => members)).toEqual([2]);
    const both: Locations = {
      by: 'regions',
      regions: [region('west of it', 178, 0, 4), region('far east', -170, 0)],
      outside: 'refuse',
    };
    expect(await locationsOf(await whenOrdered({ locations: both }))).toEqual([{ id: 'west of it', members: 2 }]);
  });

  it('takes children that are Done with another release, in one of its locations, however long they have been silent', async () => {
    await givenChildren({ a: [10, 54], b: [10, 54], c: [10, 48], d: [10, 48] });
    const source = await s.start({ locations: REGIONS, waves: { kind: 'shares', shares: [1] } });
    await s.settle(source.release);
    for (const id of ['a', 'c', 'd']) await s.say(source, id, StageStatus.Completed);
    expect(await s.sum(source.release, 'r3')).toBe(3);
    const back = async (location: string | null): Promise<string[]> => {
      const target = { kind: 'done', release: source.release, location } as const;
      const rollout = await s.start({ target, compensates: source.release }, { freshSince: START + 1 });
      await s.settle(rollout.release);
      return s.enrolled(rollout.release);
    };
    expect(await back(null)).toEqual(['a', 'c', 'd']);
    expect(await back('south')).toEqual(['c', 'd']);
    expect(await back('east of nowhere')).toEqual([]);
  });
});

describe('the order of locations', () => {
  const spread = {
    s1: [10, 48],
    n1: [10, 54],
    s2: [10.1, 48],
    far: [-60, -30],
    n2: [10.1, 54],
    s3: [9.9, 48],
    e1: [14, 51],
  } as const;

  it.each<[string, Order, string[]]>([
    ['the first to join', { by: 'joining' }, ['south', 'north', 'east of nowhere']],
    ['the smallest', { by: 'size' }, ['east of nowhere', 'north', 'south']],
    ['as listed', { by: 'listed' }, ['north', 'south', 'east of nowhere']],
    ['the nearest', { by: 'distance', from: [14, 51] }, ['east of nowhere', 'north', 'south']],
    ['the nearest to another point', { by: 'distance', from: [10, 40] }, ['south', 'east of nowhere', 'north']],
  ])('%s', async (_name, order, expected) => {
    await givenChildren(spread);
    const rollout = await whenOrdered({ locations: REGIONS, order });
    expect(await namesOf(rollout)).toEqual(expected);
    expect(await s.orders.read(rollout.release)).toEqual({ locations: 3, children: 6, outside: 1 });
  });

  it('shuffled: the same for the same seed, another for another', async () => {
    await givenChildren(Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`g${i}`, [i * 5, i * 3] as const])));
    const shuffled = async (seed: string): Promise<string[]> =>
      namesOf(await whenOrdered({ locations: { by: 'grid', cellKm: 100 }, order: { by: 'shuffled', seed } }));
    const one = await shuffled('one');
    expect(one).toHaveLength(12);
    expect(await shuffled('one')).toEqual(one);
    const other = await shuffled('other');
    expect(other).not.toEqual(one);
    expect(other.toSorted()).toEqual(one.toSorted());
  });

  it('gives a child outside every region a location of its own, where it is, if the plan says so', async () => {
    await givenChildren({ ...spread, close: [14, 53] });
    const locations = { ...REGIONS, outside: 'own' as const };
    const near = await whenOrdered({ locations, order: { by: 'distance', from: [14, 53] } });
    expect(await locationsOf(near)).toEqual([
      { id: 'child:close', members: 1 },
      { id: 'east of nowhere', members: 1 },
      { id: 'north', members: 2 },
      { id: 'south', members: 3 },
      { id: 'child:far', members: 1 },
    ]);
    expect(await s.orders.read(near.release)).toEqual({ locations: 5, children: 8, outside: 0 });
    const listed = await whenOrdered({ locations, order: { by: 'listed' } });
    expect((await namesOf(listed)).slice(3)).toEqual(['child:far', 'child:close']);
  });

  it('is composed once, also where there are no children', async () => {
    await s.client.flushall();
    const rollout = await s.start({ locations: ALL, lateJoiners: 'join' });
    for (const p of s.all) await s.assignment.fleet(p, rollout);
    const all = await Promise.all([s.orders.compose(rollout), s.orders.compose(rollout), s.orders.compose(rollout)]);
    expect(all).toContain(true);
    expect(await s.orders.compose(rollout)).toBe(false);
    expect(await locationsOf(rollout)).toEqual([{ id: 'all', members: 0 }]);
  });

  it('halts a rollout that makes too many locations, and says what to do', async () => {
    await s.client.flushall();
    const rollout = await s.start({ locations: { by: 'grid', cellKm: 1 } });
    for (const p of s.all) await s.assignment.fleet(p, rollout);
    const fields = Array.from({ length: 4_115 }, (_, i) => [`n:cell-${i}`, '1', `f:cell-${i}`, '5']).flat();
    for (const p of s.all)
      await s.client.hset(s.keys.sizes(p, rollout.release), ...fields.map((f) => f.replace('cell', `${p}`)));
    const halted = await s.settle(rollout.release);
    expect(halted.state).toBe('halted');
    expect(halted.reason).toBe('the plan makes 12,345 locations, at most 10,000: take larger cells');
    expect(halted.open).toEqual([]);
  });
});

describe('the order of children', () => {
  const four = { c: [10, 48], a: [10, 50], d: [10, 49], b: [10, 51] } as const;

  it.each<[string, Order, string[]]>([
    ['the first to join', { by: 'joining' }, ['c', 'a', 'd', 'b']],
    ['the nearest', { by: 'distance', from: [10, 52] }, ['b', 'a', 'd', 'c']],
    ['as listed', { by: 'listed' }, ['d', 'c', 'b', 'a']],
  ])('%s, in a location and where each is one', async (_, order, expected) => {
    await givenChildren(four);
    const target = { kind: 'children' as const, ids: ['d', 'c', 'b', 'a'] };
    const together = await whenOrdered({ target, order, locations: ALL });
    const key = (p: number): string => s.keys.todo(p, together.release, 'all');
    expect(await inOrder(key)).toEqual(expected);
    const alone = await whenOrdered({ target, order, locations: { by: 'child' } });
    expect(await inOrder((p) => s.keys.order(p, alone.release))).toEqual(expected);
    expect(await s.orders.read(alone.release)).toEqual({ locations: 4, children: 4, outside: 0 });
  });

  it('the smallest first, where each is a location: by the children below it', async () => {
    await s.client.flushall();
    for (const [id, count] of Object.entries({ big: 9, none: 0, two: 2 }))
      await s.join(id, 10_000, square(0, 0), count);
    const rollout = await whenOrdered({ locations: { by: 'child' }, order: { by: 'size' } });
    expect(await inOrder((p) => s.keys.order(p, rollout.release))).toEqual(['none', 'two', 'big']);
  });
});
