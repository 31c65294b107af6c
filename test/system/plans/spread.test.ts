/** Plans over locations, with simulated children over real HTTP: waves of regions, cells, cohorts, late joiners, rates, budgets. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Fleet, type FleetOptions, startFleet } from '#bin/simulate/fleet.ts';
import { insideRegion, regionName, regionSquares } from '#test/harness/plans/regions.ts';
import { countsAreTrue } from '#test/harness/plans/rollout.ts';
import { type Manager, startManager } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';
import type { ReleaseView } from '#wire/operator/responses.ts';

const NEW = 'fns/sample_f2';
const BASE = 'fns/sample_f1';

let stack: AsyncDisposableStack;
let m: Manager;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  m = await startManager(stack, { SEEN_PRECISION: '300ms' });
});
afterEach(() => stack.disposeAsync());

function withFleet(options: Omit<FleetOptions, 'url'>): Fleet {
  const fleet = startFleet({ url: m.url, factor: 20, ...options });
  stack.defer(() => fleet.stop());
  return fleet;
}

const known = (count: number) =>
  until('all are known', async () => (await m.operator.fleet()).length === count, 30_000);

async function begin(id: string, plan: string | object): Promise<void> {
  await m.operator.publish(id);
  await m.operator.start(id, plan);
}

/** Every view from now on until the last one is what is waited for. */
async function watched(id: string, isLast: (view: ReleaseView) => boolean, ms = 50_000): Promise<ReleaseView[]> {
  const seen: ReleaseView[] = [];
  await until(
    `${id} is there`,
    async () => {
      const view = await m.operator.show(id);
      seen.push(view);
      return isLast(view);
    },
    ms,
  ).catch((error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(seen.at(-1), null, 1)}`);
  });
  return seen;
}
const isCompleted = ({ state }: ReleaseView): boolean => state === 'completed';

const regions = (count: number, more: object = {}): object => ({
  locations: { regions: regionSquares(count) },
  order: 'listed',
  wave_soak: '0s',
  ...more,
});

describe('waves', () => {
  it('take 1, 2 and 4 regions, and nobody of a wave before the last one has completed', async () => {
    const fleets = Array.from({ length: 6 }, (_, i) => withFleet({ children: 3, area: insideRegion(i), seed: i + 1 }));
    await known(18);
    await begin('waves', { name: 'waves', ...regions(6) });
    const seen = await watched('waves', isCompleted);
    const waves = new Map<number, Set<string>>();
    for (const { progress } of seen)
      for (const { id } of progress.locations)
        waves.set(progress.waves_started, (waves.get(progress.waves_started) ?? new Set()).add(id));
    expect([...waves].map(([wave, ids]) => [wave, [...ids].sort()])).toEqual([
      [1, [regionName(0)]],
      [2, [regionName(1), regionName(2)]],
      [3, [regionName(3), regionName(4), regionName(5)]],
    ]);
    expect(seen.at(-1)?.progress).toMatchObject({ locations_through: 6, children: { Done: 18 } });
    for (const fleet of fleets) expect(fleet.stats().versions).toEqual({ [NEW]: 3 });
    await countsAreTrue(m.redis.url, 'waves', 4);
  });

  it('leave a failing region behind, take it back, and go on', async () => {
    const fleets = Array.from({ length: 4 }, (_, i) =>
      withFleet({
        children: 4,
        area: insideRegion(i),
        seed: i + 1,
        ...(i === 1 ? { faults: { 'fail-late': 1 } } : {}),
      }),
    );
    await known(16);
    const failure = { location: { then: 'revert' }, all: 'none' };
    await begin('failing', { name: 'waves', ...regions(4, { failure }) });
    const [last] = (await watched('failing', isCompleted)).slice(-1);
    expect(last?.progress.aside).toMatchObject([{ id: regionName(1), as: 'reverted', release: 'failing.revert-2' }]);
    expect(last?.progress.locations_through).toBe(3);
    await until('the failing region runs the version from before', () =>
      Promise.resolve(fleets[1]?.stats().versions[BASE] === 4),
    );
    for (const i of [0, 2, 3]) expect(fleets[i]?.stats().versions).toEqual({ [NEW]: 4 });
    for (const fleet of fleets) expect(fleet.stats().bad).toBe(0);
  });

  it('hold at a failing region until an operator decides, and then go on', async () => {
    for (let i = 0; i < 3; i++)
      withFleet({ children: 3, area: insideRegion(i), seed: i + 1, ...(i === 1 ? { faults: { fail: 1 } } : {}) });
    await known(9);
    await begin('held', { name: 'waves', ...regions(3) });
    const [held] = (
      await watched('held', ({ progress }) => progress.locations.some((each) => each.held !== null))
    ).slice(-1);
    expect(held?.state).toBe('running');
    expect(held?.waiting).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          location: regionName(1),
          for: expect.stringMatching(/^an operator: child/) as string,
        }),
      ]),
    );
    await m.operator.control('held', 'skip', { location: regionName(1), reason: 'looked at later' });
    const [last] = (await watched('held', isCompleted)).slice(-1);
    expect(last?.progress).toMatchObject({ locations_through: 2, aside: [{ id: regionName(1), as: 'skipped' }] });
  });
});

describe('other ways to spread', () => {
  it('location-parallel opens every cell at once, each at its own pace', async () => {
    for (let i = 0; i < 4; i++) withFleet({ children: 2, area: insideRegion(i * 3), seed: i + 1 });
    await known(8);
    await begin('parallel', 'location-parallel');
    const seen = await watched('parallel', isCompleted);
    expect(seen.at(-1)?.progress.waves_started).toBe(1);
    expect(seen.at(-1)?.progress.locations_through).toBeGreaterThan(1);
    expect(seen.at(-1)?.progress.children.Done).toBe(8);
  });

  it('all-at-once lets each child go on by itself', async () => {
    withFleet({ children: 12 });
    // A silent one keeps nobody else.
    withFleet({ children: 1, faults: { silent: 1 }, seed: 7 });
    await known(13);
    await begin('at-once', 'all-at-once');
    const [last] = (await watched('at-once', ({ progress }) => progress.children.Done === 12)).slice(-1);
    expect(last?.progress.children).toMatchObject({ Done: 12, Doing: 1 });
  });

  it('waves of children by percentage take so many of them', async () => {
    withFleet({ children: 20 });
    await known(20);
    await begin('percent', { locations: 'child', stages: 'lockstep', waves: { percent: [10, 50, 100] } });
    const seen = await watched('percent', isCompleted);
    const enrolled = ({ progress: { children } }: ReleaseView): number =>
      (children.Todo ?? 0) + (children.Doing ?? 0) + (children.Done ?? 0);
    const most = [1, 2, 3].map((wave) =>
      Math.max(...seen.filter(({ progress }) => progress.waves_started === wave).map(enrolled)),
    );
    expect(most).toEqual([2, 10, 20]);
  });

  it('a target by id leaves everybody else alone', async () => {
    withFleet({ children: 6 });
    await known(6);
    const ids = (await m.operator.fleet()).map(({ id }) => id).slice(0, 2);
    await begin('few', { target: { children: ids } });
    const [last] = (await watched('few', isCompleted)).slice(-1);
    expect(last?.progress.children).toEqual({ Todo: 0, Doing: 0, Done: 2, Failed: 0 });
  });

  it('a region that is no longer the child’s keeps it', async () => {
    const child = m.child('mover');
    const square = (longitude: number, latitude: number) => ({
      geographic_area: {
        type: 'Polygon',
        coordinates: [
          [
            [longitude, latitude],
            [longitude + 0.1, latitude],
            [longitude + 0.1, latitude + 0.1],
            [longitude, latitude],
          ],
        ],
      },
    });
    const [home, away] = [insideRegion(0), insideRegion(1)];
    await child.poll(square(home.longitude, home.latitude));
    await known(1);
    await begin('moves', { ...regions(2), stages: 'own-pace', waves: 'all' });
    await until(
      'it is offered',
      async () => (await child.poll(square(home.longitude, home.latitude))).new_release === 'moves',
    );
    await child.poll(square(away.longitude, away.latitude));
    await child.download('moves');
    expect((await m.operator.child('moves', 'mover')).location).toBe(regionName(0));
  });
});

describe('late joiners', () => {
  it('are taken in where the location is open, and hold nobody', async () => {
    withFleet({ children: 4 });
    withFleet({ children: 1, faults: { silent: 1 }, seed: 5 });
    await known(5);
    await begin('late', { late_joiners: 'join' });
    await watched('late', ({ progress }) => progress.stages[0]?.SuccessWaiting === 4);
    withFleet({ children: 3, seed: 9 });
    const [view] = (
      await watched('late', ({ waiting }) => waiting[0]?.for.startsWith('1 of 8 children') === true)
    ).slice(-1);
    // The silent one still holds the gate: three more are no replacement for it.
    expect(view?.progress.locations[0]).toMatchObject({ children: 5, enrolled: 8 });
    expect(view?.progress.locations[0]?.stages[0]?.gate).toBe('closed');
  });

  it('are left out where the plan says so', async () => {
    withFleet({ children: 2 });
    withFleet({ children: 1, faults: { silent: 1 }, seed: 5 });
    await known(3);
    await begin('closed', 'global-incremental');
    await watched('closed', ({ progress }) => progress.stages[0]?.SuccessWaiting === 2);
    withFleet({ children: 2, seed: 9 });
    await known(5);
    const { progress } = await m.operator.show('closed');
    expect((progress.children.Todo ?? 0) + (progress.children.Doing ?? 0)).toBe(3);
  });
});

describe('lost children', () => {
  it('hold a release beyond its budget, and not within it', async () => {
    withFleet({ children: 8 });
    withFleet({ children: 1, faults: { silent: 1 }, seed: 5 });
    await known(9);
    const failure = { all: { count: 1 } };
    await begin('lost', { lost_after: '2s', advance: { quorum: 85 }, failure });
    const [last] = (await watched('lost', isCompleted)).slice(-1);
    expect(last?.progress).toMatchObject({ lost: 1, children: { Done: 8, Doing: 1 } });
  });

  it('halt a release that allows for none', async () => {
    withFleet({ children: 3 });
    withFleet({ children: 1, faults: { silent: 1 }, seed: 5 });
    await known(4);
    await begin('strict', { lost_after: '2s' });
    const [last] = (await watched('strict', ({ state }) => state === 'halted')).slice(-1);
    expect(last?.reason).toBe('1 of 4 children lost, budget 0');
  });
});

describe('a rate', () => {
  it('is never gone over, and everybody gets a turn', async () => {
    withFleet({ children: 12, factor: 40 });
    await known(12);
    // One a second: the first at once.
    await begin('paced', { rate: { per_minute: 60 }, locations: 'child', stages: 'own-pace', waves: 'all' });
    const started = performance.now();
    const enrolled = ({ progress: { children } }: ReleaseView): number =>
      (children.Todo ?? 0) + (children.Doing ?? 0) + (children.Done ?? 0) + (children.Failed ?? 0);
    const over: string[] = [];
    await watched('paced', (view) => {
      const seconds = (performance.now() - started) / 1000;
      if (enrolled(view) > seconds + 2) over.push(`${enrolled(view)} after ${seconds} s`);
      return isCompleted(view);
    });
    expect(over).toEqual([]);
  });

  it('keeps at most so many underway', async () => {
    withFleet({ children: 9 });
    await known(9);
    await begin('few-at-once', { rate: { at_once: 3 }, locations: 'child', stages: 'own-pace', waves: 'all' });
    const seen = await watched('few-at-once', isCompleted);
    for (const { progress } of seen)
      expect((progress.children.Todo ?? 0) + (progress.children.Doing ?? 0)).toBeLessThanOrEqual(3);
  });
});
