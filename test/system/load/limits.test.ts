/** Where the manager says no, and to whom: new children before known ones, polls before results. */
import { untilReady } from '#store/connection/client.ts';
import { abortRollout, revertRollout } from '#domain/rollout/stop.ts';
import { PRESETS } from '#domain/plan/presets.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { publishedRollout, type Rollout, startRollout } from '#domain/rollout/rollout.ts';
import { createLog } from '#runtime/log.ts';
import { createKeys } from '#store/layout/keys.ts';
import { connectRedis } from '#store/connection/redis.ts';
import { createStores } from '#store/stores.ts';
import { BERLIN_AREA, post } from '#test/harness/manager/child-client.ts';
import { startManager } from '#test/harness/manager/stack.ts';
import { openStores } from '#test/harness/redis/stores.ts';
import { until } from '#test/harness/until.ts';
import { createSweeper } from '#workers/maintenance/sweep.ts';

let stack: AsyncDisposableStack;
beforeEach(() => {
  stack = new AsyncDisposableStack();
});
afterEach(() => stack.disposeAsync());

const STAGES = [{ name: 'A', type: 'A/B' }] as const;

const poll = (url: string, id: string) =>
  post(`${url}/poll`, { id, geographic_area: BERLIN_AREA, number_of_children: 0 });

describe('MAX_CHILDREN', () => {
  it('refuses joins above it; known children go on', async () => {
    const m = await startManager(stack, { MAX_CHILDREN: '3' });
    for (const id of ['a', 'b', 'c']) expect((await poll(m.url, id)).status).toBe(200);
    await until('a join is refused', async () => (await poll(m.url, `late-${Math.random()}`)).status === 503);
    const refused = await poll(m.url, 'd');
    expect([refused.status, refused.text]).toEqual([503, 'the manager takes no more children\n']);
    expect((await poll(m.url, 'a')).status).toBe(200);
    expect((await m.operator.raw('GET', '/children/d')).status).toBe(404);
  });
});

describe('a Redis that is nearly full', () => {
  it('refuses joins above 80 % of maxmemory; known children go on', async () => {
    const m = await startManager(stack);
    expect((await poll(m.url, 'known')).status).toBe(200);
    await until('it is known', async () => (await m.operator.raw('GET', '/children/known')).status === 200);
    const client = connectRedis(m.redis.url, 'work', () => {});
    stack.defer(() => client.disconnect());
    await untilReady(client);
    const used = Number(/^used_memory:(\d+)/m.exec(await client.info('memory'))?.[1]);
    await client.config('SET', 'maxmemory', Math.round(used / 0.9));
    await until('a join is refused', async () => (await poll(m.url, `new-${Math.random()}`)).status === 503);
    expect((await poll(m.url, 'known')).status).toBe(200);
  });
});

describe('BACKLOG_LIMIT', () => {
  it('sheds polls above it, and still takes results', async () => {
    const m = await startManager(stack, { BACKLOG_LIMIT: '2', PARTITIONS: '1' });
    await m.operator.publish('busy');
    await poll(m.url, 'worker-less');
    await until('it is known', async () => (await m.operator.raw('GET', '/children/worker-less')).status === 200);
    await m.operator.start('busy');
    await until('an offer', async () => (await m.child('worker-less').poll()).new_release === 'busy');
    await m.stopWorkers();
    // Each a batch of its own: one after the other.
    for (let i = 0; i < 4; i++)
      expect((await m.child('worker-less').result('busy', 'Canary', 2, 'Test')).status).toBe(200);
    await until('polls are shed', async () => (await poll(m.url, 'worker-less')).status === 503);
    expect((await m.child('worker-less').result('busy', 'Canary', 4, 'Test')).status).toBe(200);
    await m.startWorker();
    await until('all is caught up', async () => (await poll(m.url, 'worker-less')).status === 200);
    await until(
      'the results are applied',
      async () => (await m.operator.child('busy', 'worker-less')).stages[0]?.status === 'Completed',
    );
  });
});

describe('the sweep', () => {
  it('forgets children who were silent for FORGET_AFTER, but none who takes part in an unfinished release', async () => {
    const s = await openStores(stack);
    const now = 10_000_000;
    const plan = PRESETS['global-incremental'];
    const rollout = startRollout(publishedRollout({ release: 'on', shortId: '1', stages: STAGES, plan }), plan, now, 0);
    await s.client.hset(s.keys.rollout('on'), { v: 1, doc: JSON.stringify(rollout) });
    // More who have to stay than a batch holds, and all of them silent for longer than the others.
    const join = (id: string, at: number) => s.join({ id, at, area: 'A', digest: 'd', childCount: 0 });
    for (let i = 0; i < 1_100; i++) {
      await join(`staying-${i}`, 1_000 + i);
      await s.enrolment.enrolChild(s.children.partition(`staying-${i}`), rollout, `staying-${i}`);
    }
    for (let i = 0; i < 600; i++) await join(`gone-${i}`, 5_000 + i);
    await join('fresh', now - 10);
    const sweep = createSweeper({
      children: s.children,
      releases: s.releases,
      clock: { now: () => now },
      forgetAfterMs: 1_000_000,
      keepReleasesMs: 100_000_000,
      log: createLog('test', 'silent'),
    });
    expect(await sweep()).toBe(600);
    expect(await s.children.count()).toBe(1_101);
    expect(await s.children.forPoll('gone-0')).toBeNull();
    expect(await s.children.forPoll('fresh')).not.toBeNull();
    await s.client.hset(s.keys.rollout('on'), { v: 2, doc: JSON.stringify(abortRollout(rollout, now, 'over')) });
    expect(await sweep()).toBe(1_100);
    // Its release record stays.
    expect(await s.children.record('1', 'staying-0')).not.toBeNull();
  });

  it('forgets what children did in a release that ended KEEP_RELEASES ago, and keeps its counts', async () => {
    const s = await openStores(stack);
    const now = 10_000_000;
    const plan = PRESETS['global-incremental'];
    const running = (release: string, shortId: string): Rollout =>
      startRollout(publishedRollout({ release, shortId, stages: STAGES, plan }), plan, now, 0);
    const [old, young] = [running('old', '1'), running('young', '2')];
    for (let i = 0; i < 700; i++) {
      await s.join({ id: `c-${i}`, at: now - 10, area: 'A', digest: 'd', childCount: 0 });
      for (const rollout of [old, young])
        await s.enrolment.enrolChild(s.children.partition(`c-${i}`), rollout, `c-${i}`);
    }
    for (const [rollout, ended] of [
      [old, now - 5_000],
      [young, now - 1_000],
    ] as const) {
      await s.client.zadd(s.keys.releaseList, 1, rollout.release);
      const doc = JSON.stringify({ ...abortRollout(rollout, ended, 'over'), version: 2 });
      await s.client.hset(s.keys.rollout(rollout.release), { v: 2, doc });
    }
    const sweep = createSweeper({
      children: s.children,
      releases: s.releases,
      clock: { now: () => now },
      forgetAfterMs: 1_000_000,
      keepReleasesMs: 2_000,
      log: createLog('test', 'silent'),
    });
    await sweep();
    for (const id of ['c-0', 'c-699']) {
      expect(await s.children.record('1', id)).toBeNull();
      expect(await s.children.record('2', id)).not.toBeNull();
      expect(await s.children.forPoll(id)).not.toBeNull();
    }
    expect((await s.snapshots.aggregates(old)).totals.enrolled).toBe(700);
    expect(await s.snapshots.byRank(old, [0, 2_000_000], { limit: 1 })).toEqual([]);
    expect([await s.releases.isForgotten('old'), await s.releases.isForgotten('young')]).toEqual([true, false]);
    const { version } = (await s.releases.rollout('old')) as Rollout;
    await sweep();
    expect((await s.releases.rollout('old'))?.version).toBe(version);
  });

  it('forgets nothing of a release that is taken back at the same moment', async () => {
    const s = await openStores(stack);
    const now = 10_000_000;
    const plan = PRESETS['global-incremental'];
    const rollout = startRollout(
      publishedRollout({ release: 'old', shortId: '1', stages: STAGES, plan }),
      plan,
      now,
      0,
    );
    await s.join({ id: 'c', at: now - 10, area: 'A', digest: 'd', childCount: 0 });
    await s.enrolment.enrolChild(s.children.partition('c'), rollout, 'c');
    await s.client.zadd(s.keys.releaseList, 1, 'old');
    const over = { ...abortRollout(rollout, now - 5_000, 'over'), version: 2 };
    await s.client.hset(s.keys.rollout('old'), { v: 2, doc: JSON.stringify(over) });
    const sweep = createSweeper({
      children: s.children,
      releases: {
        ...s.releases,
        async endedBefore(before: number) {
          const found = await s.releases.endedBefore(before);
          await s.releases.write(over, revertRollout(over, now, 'back', false));
          return found;
        },
      },
      clock: { now: () => now },
      forgetAfterMs: 1_000_000,
      keepReleasesMs: 2_000,
      log: createLog('test', 'silent'),
    });
    await sweep();
    expect(await s.children.record('1', 'c')).not.toBeNull();
    expect(await s.releases.isForgotten('old')).toBe(false);
  });

  it('lets nobody take a release back whose records are gone', async () => {
    const m = await startManager(stack, {}, []);
    const client = connectRedis(m.redis.url, 'work', () => {});
    stack.defer(() => client.disconnect());
    await untilReady(client);
    const keys = createKeys('uc');
    const { children, releases } = createStores(client, keys, 4);
    for (const id of ['old', 'young']) {
      await m.operator.publish(id);
      await m.operator.start(id);
      await m.operator.abort(id);
    }
    const sweep = createSweeper({
      children,
      releases: {
        ...releases,
        endedBefore: async (before) => (await releases.endedBefore(before)).filter(({ release }) => release === 'old'),
      },
      clock: { now: () => Date.now() + 60_000 },
      forgetAfterMs: 1_000_000,
      keepReleasesMs: 2_000,
      log: createLog('test', 'silent'),
    });
    await sweep();
    expect(await m.operator.problem('POST', '/releases/old/revert', {})).toMatchObject({
      status: 409,
      type: 'urn:umbilical-choir:problem:wrong-state',
      detail:
        "release old can't be reverted: what its children did was forgotten after KEEP_RELEASES: publish the version from before as a release of its own",
    });
    expect((await m.operator.show('old')).state).toBe('aborted');
    expect((await m.operator.control('young', 'revert')).state).toBe('reverting');
  });
});
