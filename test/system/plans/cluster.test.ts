/** Plans over locations on a Redis Cluster: what belongs together lies together, whatever a plan asks for. */
import { revertRollout } from '#domain/rollout/stop.ts';
import { compensationId } from '#domain/rollout/compensation-id.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Plan } from '#domain/plan/plan.ts';
import { StageStatus } from '#domain/child/status.ts';
import { noLocalServer } from '#test/harness/redis/local-servers.ts';
import { startCluster } from '#test/harness/redis/cluster.ts';
import { openSpread, region, type Spread, square, START } from '#test/harness/plans/spread.ts';

const PARTITIONS = 8;
const OWN_PACE: Partial<Plan> = { stages: 'own-pace', failure: { location: null, all: null } };

const missing = noLocalServer();
const stack = new AsyncDisposableStack();
let s: Spread;

describe.skipIf(missing !== null)('on a Redis Cluster', () => {
  beforeAll(async () => {
    s = await openSpread(stack, PARTITIONS, (await startCluster(stack)).url);
    for (let i = 0; i < 60; i++) await s.join(`c-${i}`, 10_000 + i, square((i % 4) * 10, 50));
  }, 90_000);
  afterAll(() => stack.disposeAsync());

  /** Whoever is offered the release goes through it. */
  async function goThrough(release: string): Promise<string> {
    for (let round = 0; round < 20; round++) {
      const rollout = await s.settle(release);
      if (rollout.state !== 'running') return rollout.state;
      const heads = await Promise.all(
        (await s.enrolled(release)).map(async (id) => ({ id, head: await s.children.head(rollout.shortId, id) })),
      );
      for (const { id, head } of heads) {
        const [status] = head?.statuses ?? '';
        if (status === '0') await s.say(rollout, id, StageStatus.SuccessWaiting);
        if (status === '2') await s.say(rollout, id, StageStatus.Completed);
      }
    }
    return 'it never ends';
  }

  it.each<[string, Partial<Plan>, number]>([
    [
      'regions, the nearest first, and children of their own',
      {
        locations: { by: 'regions', regions: [region('A', 0, 50), region('B', 10, 50)], outside: 'own' },
        order: { by: 'distance', from: [20, 50] },
        waves: { kind: 'doubling' },
      },
      60,
    ],
    ['cells, all at once', { locations: { by: 'grid', cellKm: 100 }, waves: { kind: 'shares', shares: [1] } }, 60],
    ['waves of children', { locations: { by: 'child' }, waves: { kind: 'doubling' }, lateJoiners: 'join' }, 60],
    ['a target', { target: { kind: 'children', ids: ['c-1', 'c-2'] } }, 2],
  ])('goes through %s', async (_, plan, children) => {
    const { release } = await s.start({ ...OWN_PACE, ...plan });
    expect(await goThrough(release)).toBe('completed');
    expect(await s.sum(release, 'r3')).toBe(children);
  });

  it('takes late joiners in, and takes a release back', async () => {
    const plan: Partial<Plan> = { ...OWN_PACE, lateJoiners: 'join', openGatesOnRevert: true };
    const { release } = await s.start(plan, { freshSince: 5_000 });
    const open = await s.settle(release);
    await s.join('late', START + 5);
    await s.settle(release);
    expect((await s.children.head(open.shortId, 'late'))?.token).toBe('+1/all');
    for (const id of ['late', 'c-3', 'c-4']) await s.say(open, id, StageStatus.Completed);
    const source = await s.change(release, revertRollout(await s.rollout(release), START, 'bad', false));
    const back = await s.start(
      { target: { kind: 'done', release, location: null }, compensates: release, lateJoiners: 'join' },
      { release: compensationId(source, null), freshSince: START },
    );
    await s.settle(back.release);
    expect(await s.enrolled(back.release)).toEqual(['c-3', 'c-4', 'late']);
    for (const id of ['late', 'c-3', 'c-4']) await s.say(await s.rollout(back.release), id, StageStatus.Completed);
    expect((await s.settle(back.release)).state).toBe('completed');
    expect((await s.settle(release)).state).toBe('reverted');
  });
});
