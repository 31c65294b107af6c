/** The pipeline between an accepted request and the child's state. */
import { untilReady } from '#store/connection/client.ts';
import { Queue } from 'bullmq';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decide } from '#domain/scheduling/decide.ts';
import { partitionOf } from '#domain/ids.ts';
import { QUEUES } from '#queue/catalogue.ts';
import { encodeMessage } from '#queue/message.ts';
import { createMetrics } from '#runtime/metrics.ts';
import { createLog } from '#runtime/log.ts';
import { createKeys } from '#store/layout/keys.ts';
import { connectRedis } from '#store/connection/redis.ts';
import { SCHEMA } from '#store/layout/schema.ts';
import { createStores } from '#store/stores.ts';
import { type Manager, startManager } from '#test/harness/manager/stack.ts';
import { startHangingWorker } from '#test/harness/manager/hanging-worker.ts';
import { until } from '#test/harness/until.ts';
import { createBatchApplier } from '#workers/apply/apply-batch.ts';
import { createTicker } from '#workers/scheduler/tick.ts';

const PARTITIONS = 4;
const stack = new AsyncDisposableStack();
let m: Manager;
let client: ReturnType<typeof connectRedis>;
const keys = createKeys('uc');

beforeAll(async () => {
  m = await startManager(stack, {}, []);
  client = connectRedis(m.redis.url, 'work', () => {});
  stack.defer(() => client.disconnect());
  await untilReady(client);
});
afterAll(() => stack.disposeAsync());

const pending = async (): Promise<number> => {
  const queues = Array.from(
    { length: PARTITIONS },
    (_, p) => new Queue(QUEUES.intake, { connection: client, prefix: keys.partition(p) }),
  );
  const counts = await Promise.all(queues.map((queue) => queue.getJobCounts('wait', 'active', 'delayed', 'failed')));
  await Promise.all(queues.map((queue) => queue.close()));
  return counts.reduce((sum, count) => sum + Object.values(count).reduce((a, b) => a + b, 0), 0);
};

async function enrolledChildren(release: string, ...ids: string[]): Promise<void> {
  await m.operator.publish(release);
  for (const id of ids) await m.child(id).poll();
  await using worker = await m.startWorker();
  await using scheduler = await m.startScheduler();
  await until('all have joined', async () => {
    const all = await Promise.all(ids.map((id) => m.operator.raw('GET', `/children/${id}`)));
    return all.every(({ status }) => status === 200);
  });
  await m.operator.start(release);
  for (const id of ids)
    await until(`${id} is enrolled`, async () => (await m.operator.child(release, id)).release_status === 'Todo');
  await until('the queues are empty', async () => (await pending()) === 0);
  void [worker, scheduler];
}

describe('an acknowledged message', () => {
  it('is in Redis before its answer, and is applied when a worker comes (law 1)', async () => {
    await enrolledChildren('durable', 'k1', 'k2');
    await m.child('k1').download('durable');
    expect((await m.child('k1').result('durable', 'Canary', 2, 'Test')).status).toBe(200);
    expect(await pending()).toBe(1);
    expect((await m.operator.child('durable', 'k1')).stages[0]?.status).toBe('InProgress');
    await m.redis.crash();
    await m.redis.restart();
    await using worker = await m.startWorker();
    void worker;
    await until(
      'it is applied',
      async () => (await m.operator.child('durable', 'k1').catch(() => null))?.stages[0]?.status === 'SuccessWaiting',
    );
  });

  it('goes to the dead letters alone when its child was deleted; the rest of its batch is applied', async () => {
    await enrolledChildren('buried', 'd1', 'd2');
    await m.child('d1').result('buried', 'Canary', 2, 'Test');
    await m.child('d2').result('buried', 'Canary', 2, 'Test');
    // As a delete leaves it: its record stays.
    await client.hdel(keys.child(partitionOf('d1', PARTITIONS), 'd1'), 'f');
    await using worker = await m.startWorker();
    void worker;
    await until(
      'd2 is applied',
      async () => (await m.operator.child('buried', 'd2')).stages[0]?.status === 'SuccessWaiting',
    );
    const { items } = await until('a dead letter', async () => {
      const letters = await m.operator.ok<{ items: { reason: string; message: { id: string } }[] }>(
        'GET',
        '/dead-letters',
      );
      return letters.items.length > 0 && letters;
    });
    expect(items).toMatchObject([{ reason: 'its child was deleted', message: { id: 'd1', release: 'buried' } }]);
    expect(await pending()).toBe(0);
  });
});

describe('a batch', () => {
  const applier = () =>
    createBatchApplier({
      ...createStores(client, keys, PARTITIONS),
      releases: { requestTick: () => Promise.resolve() },
      metrics: createMetrics('test'),
      log: createLog('test', 'silent'),
    });
  const join = (id: string) => encodeMessage({ kind: 'join', id, at: 1, area: 'A', digest: 'd', childCount: 0 });
  const lines = (...all: string[]): string => all.join('\n');
  const deadLetters = async (p: number) =>
    (await client.lrange(keys.deadLetters(p), 0, -1)).map(
      (text) => JSON.parse(text) as { reason: string; message: unknown },
    );
  const idsOf = (p: number, prefix: string): string[] =>
    Array.from({ length: 40 }, (_, i) => `${prefix}-${i}`)
      .filter((id) => partitionOf(id, PARTITIONS) === p)
      .slice(0, 3);

  it('survives its worker being killed three times, and is applied message by message then', async () => {
    await client.flushall();
    const [a = '', b = ''] = idsOf(1, 'x');
    const queue = new Queue(QUEUES.intake, { connection: client, prefix: keys.partition(1) });
    const job = await queue.add(
      'batch',
      { lines: lines(join(a), join(b)) },
      { attempts: 1_000_000, removeOnComplete: true },
    );
    // Each takes the batch over from the one before, and is killed with it in its hands.
    for (let kills = 1; kills <= 3; kills++) await (await startHangingWorker(m.redis.url, keys.partition(1))).kill();
    expect((await queue.getJob(job.id ?? ''))?.stalledCounter).toBe(2);
    await client.hset(keys.meta, { schema: SCHEMA, partitions: PARTITIONS });
    await using worker = await m.startWorker();
    void worker;
    await until('it is applied', async () => (await client.exists(keys.child(1, a), keys.child(1, b))) === 2);
    await until(
      'it is done',
      async () => (await queue.getJobCountByTypes('wait', 'active', 'delayed', 'failed')) === 0,
    );
    expect(await deadLetters(1)).toEqual([]);
    await queue.close();
  });

  it('gives up a message that its worker died of each time, and applies the others', async () => {
    await client.flushall();
    const [a = '', b = '', c = ''] = idsOf(2, 'y');
    await client.hset(keys.tried(2, 'job'), '1', 2);
    await applier()(2, { id: 'job', stalled: 3, lines: lines(join(a), join(b), join(c)) });
    expect(await client.exists(keys.child(2, a), keys.child(2, c))).toBe(2);
    expect(await client.exists(keys.child(2, b), keys.tried(2, 'job'))).toBe(0);
    expect(await deadLetters(2)).toMatchObject([
      { reason: 'its worker died each time it was tried', message: { id: b } },
    ]);
  });

  it('takes out a message that Redis refuses, or that is none, and applies the others', async () => {
    await client.flushall();
    const [a = '', b = ''] = idsOf(3, 'z');
    await client.set(keys.child(3, a), 'not a hash');
    await applier()(3, { id: 'job', stalled: 0, lines: lines(join(a), 'nonsense', join(b)) });
    expect(await client.exists(keys.child(3, b))).toBe(1);
    expect((await deadLetters(3)).map(({ reason }) => reason.replace(/:.*/, '')).sort()).toEqual([
      'Redis refused it',
      'it is no known message',
    ]);
  });

  it('is left whole for another try when Redis is in trouble', async () => {
    await client.flushall();
    const [a = ''] = idsOf(0, 'w');
    await client.config('SET', 'maxmemory', '1');
    try {
      await expect(applier()(0, { id: 'job', stalled: 0, lines: join(a) })).rejects.toThrow(/OOM/);
    } finally {
      await client.config('SET', 'maxmemory', '0');
    }
    expect(await deadLetters(0)).toEqual([]);
    await applier()(0, { id: 'job', stalled: 0, lines: join(a) });
    expect(await client.exists(keys.child(0, a))).toBe(1);
  });
});

describe('ticks', () => {
  it('may overlap: one of them writes, and nothing is done twice', async () => {
    await client.flushall();
    await client.hset(keys.meta, { schema: SCHEMA, partitions: PARTITIONS });
    await enrolledChildren('overlap', 'o1', 'o2');
    for (const id of ['o1', 'o2']) await m.child(id).download('overlap');
    for (const id of ['o1', 'o2']) await m.child(id).result('overlap', 'Canary', 2, 'Test');
    {
      await using worker = await m.startWorker();
      void worker;
      await until('both wait', async () => (await m.operator.show('overlap')).progress.stages[0]?.SuccessWaiting === 2);
    }
    const stores = createStores(client, keys, PARTITIONS);
    const jobs: unknown[] = [];
    const metrics = createMetrics('test');
    const tick = createTicker({
      ...stores,
      enrolmentJobs: { add: async (job) => void jobs.push(job) },
      ticks: { unschedule: () => Promise.resolve(), schedule: async () => {} },
      compensate: () => Promise.resolve(),
      clock: { now: () => Date.now() },
      metrics,
      log: createLog('test', 'silent'),
    });
    const before = await stores.releases.rollout('overlap');
    await Promise.all(Array.from({ length: 8 }, () => tick('overlap')));
    const after = await stores.releases.rollout('overlap');
    expect(after?.open[0]?.gates).toEqual([0]);
    expect(after?.version).toBe((before?.version ?? 0) + 1);
    expect(jobs).toEqual([]);
    if (after === null) throw new Error('gone');
    expect(decide(after, await stores.snapshots.aggregates(after), 1)).toBe(after);
  });

  it('stop enrolling when the rollout was aborted in the middle of it', async () => {
    await client.flushall();
    await client.hset(keys.meta, { schema: SCHEMA, partitions: PARTITIONS });
    const stores = createStores(client, keys, PARTITIONS);
    const at = Date.now();
    for (let i = 0; i < 5_000; i++)
      await stores.children.joinAll(partitionOf(`many-${i}`, PARTITIONS), [
        { id: `many-${i}`, at: at - 1, area: 'A', digest: 'd', childCount: 0 },
      ]);
    await m.operator.publish('halfway');
    await using scheduler = await m.startScheduler();
    await m.operator.start('halfway');
    await using worker = await m.startWorker();
    void [scheduler, worker];
    await until('it has begun', async () => ((await m.operator.show('halfway')).progress.children.Todo ?? 0) > 0);
    const view = await m.operator.abort('halfway');
    expect(view.state).toBe('aborted');
    const reads = async (): Promise<number> => (await m.operator.show('halfway')).progress.children.No ?? 0;
    await until('its jobs have ended', async () => {
      const queue = new Queue(QUEUES.enrolment, { connection: client, prefix: keys.ticks });
      const left = await queue.getJobCountByTypes('wait', 'active');
      await queue.close();
      return left === 0;
    });
    const enrolled = await reads();
    expect(await reads()).toBe(enrolled);
    expect((await m.child('many-0').poll()).new_release).toBe('');
    expect((await m.operator.show('halfway')).progress.children.Todo).toBe(0);
  });
});
