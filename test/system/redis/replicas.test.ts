/** ACK_REPLICAS: nothing is acknowledged before replicas have it. A replica that is paused never has. */
import { untilReady } from '#store/connection/client.ts';
import { NotReplicated } from '#store/connection/errors.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createKeys } from '#store/layout/keys.ts';
import { connectRedis } from '#store/connection/redis.ts';
import { createReplicated } from '#store/connection/replicated.ts';
import { noLocalServer } from '#test/harness/redis/local-servers.ts';
import { startFaultProxy } from '#test/harness/redis/fault-proxy.ts';
import { type Pair, startPair } from '#test/harness/redis/sentinel.ts';
import { type Manager, startManager } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';
import { post, type Reply } from '#test/harness/manager/child-client.ts';

const RETRY_MS = 2_500;
const missing = noLocalServer();
if (missing !== null) process.stdout.write(`${missing}\n`);

const stack = new AsyncDisposableStack();
let pair: Pair;
let m: Manager;
/** Tries again for long, over the same Redis. */
let patient: Manager;

beforeAll(async () => {
  if (missing !== null) return;
  pair = await startPair(stack);
  const redis = {
    url: `redis://127.0.0.1:${pair.master.port}`,
    crash: pair.master.crash,
    restart: pair.master.restart,
  };
  const settings = { ACK_REPLICAS: '1' };
  m = await startManager(stack, { ...settings, REDIS_RETRY_MS: String(RETRY_MS) }, undefined, redis);
  patient = await startManager(stack, settings, [], redis);
});
afterEach(() => pair.replica.signal('SIGCONT'));
afterAll(() => stack.disposeAsync());

async function enrolled(release: string, ...ids: string[]): Promise<void> {
  await m.operator.publish(release);
  for (const id of ids) await m.child(id).poll();
  for (const id of ids)
    await until(`${id} is known`, async () => (await m.operator.raw('GET', `/children/${id}`)).status === 200);
  await m.operator.start(release);
  for (const id of ids) await until('an offer', async () => (await m.child(id).poll()).new_release === release);
}

const T = { Median: 1, Minimum: 1, Maximum: 2 };
/** A result that names no stage: applied in the request itself. */
const unnamed = (by: Manager, id: string, release: string): Promise<Reply> =>
  post(`${by.url}/result`, {
    id,
    release_id: release,
    stage_summaries: [
      { status: 'Completed', ProxyTimes: T, F1TimesSummary: T, F2TimesSummary: T, F1ErrRate: 0, F2ErrRate: 0 },
    ],
    next_stage: 'Test',
  });

describe.skipIf(missing !== null)('while the replica is paused', () => {
  it('no result and no download is answered 200, and all of them once it is back', async () => {
    await enrolled('paused', 'n1', 'n2', 'u1', 'u2', 'd1', 'd2');
    for (const id of ['n1', 'n2', 'u1', 'u2']) expect((await m.child(id).download('paused')).status).toBe(200);
    pair.replica.signal('SIGSTOP');
    const requests = (by: Manager, i: number): Promise<Reply>[] => [
      by.child(`n${i}`).result('paused', 'Canary', 4, 'Test'),
      unnamed(by, `u${i}`, 'paused'),
      by.child(`d${i}`).download('paused'),
    ];
    const waiting = requests(patient, 2);
    const refused = await Promise.all(requests(m, 1));
    expect(refused.map(({ status }) => status)).toEqual([503, 503, 503]);
    expect(await Promise.race([...waiting, sleep(0, 'still waiting')])).toBe('still waiting');
    pair.replica.signal('SIGCONT');
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200, 200]);
    // What was refused was written all the same, more than once, and counts once.
    const view = await until('all are applied', async () => {
      const shown = await m.operator.show('paused');
      return shown.progress.stages[0]?.Completed === 4 && shown;
    });
    expect(view.progress.stages[1]).toMatchObject({ InProgress: 4 });
    expect(view.progress.children).toMatchObject({ Doing: 6 });
    expect(await m.operator.ok<{ items: unknown[] }>('GET', '/dead-letters')).toEqual({ items: [] });
  });

  it('polls are answered as ever', async () => {
    await enrolled('polls', 'p1', 'p2');
    pair.replica.signal('SIGSTOP');
    const download = m.child('p1').download('polls');
    expect((await m.child('p2').poll()).new_release).toBe('polls');
    pair.replica.signal('SIGCONT');
    expect((await download).status).toBe(200);
  });
});

describe.skipIf(missing !== null)('a write that replicas have', () => {
  const { seen } = createKeys('w');
  it('counts as not written when its connection was lost before they said so', async () => {
    const proxy = await startFaultProxy(pair.master.port, stack);
    const client = connectRedis(`redis://127.0.0.1:${proxy.port}`, 'work', () => {});
    stack.defer(() => client.disconnect());
    await untilReady(client);
    const replicated = createReplicated(client, 1);
    expect(await replicated(seen(0), (on) => on.zadd(seen(0), 1, 'a'))).toBe(1);
    const lost = replicated(seen(0), async (on) => {
      const added = await on.zadd(seen(0), 1, 'b');
      proxy.cut();
      // By then WAIT would answer that the replica has all that this connection has written: nothing.
      await until('it is connected again', () => Promise.resolve(on.status !== 'ready'));
      await untilReady(on);
      return added;
    });
    await expect(lost).rejects.toThrow(NotReplicated);
    expect(await replicated(seen(0), (on) => on.zadd(seen(0), 1, 'c'))).toBe(1);
  });

  it('fails, and can be tried again, when there are fewer replicas than asked', async () => {
    const client = connectRedis(`redis://127.0.0.1:${pair.master.port}`, 'work', () => {});
    stack.defer(() => client.disconnect());
    await untilReady(client);
    await expect(createReplicated(client, 2)(seen(0), (on) => on.zadd(seen(0), 1, 'd'))).rejects.toThrow(
      '1 of 2 replicas (ACK_REPLICAS) have it',
    );
  });

  it('shares one WAIT among those that ask together', async () => {
    const client = connectRedis(`redis://127.0.0.1:${pair.master.port}`, 'work', () => {});
    stack.defer(() => client.disconnect());
    await untilReady(client);
    const waits = async (): Promise<number> =>
      Number(/cmdstat_wait:calls=(\d+)/.exec(await pair.master.client.info('commandstats'))?.[1] ?? 0);
    const before = await waits();
    const replicated = createReplicated(client, 1);
    await Promise.all(Array.from({ length: 100 }, (_, i) => replicated(seen(0), (on) => on.zadd(seen(0), 1, `e${i}`))));
    expect((await waits()) - before).toBeLessThan(20);
  });
});
