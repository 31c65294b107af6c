/** More than it can serve: polls are shed first and cheaply, results last, and all is caught up afterwards. */
import { untilReady } from '#store/connection/client.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectRedis } from '#store/connection/redis.ts';
import { BERLIN_AREA, post } from '#test/harness/manager/child-client.ts';
import { type Manager, startManager } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';

const IN_FLIGHT_LIMIT = 20;
const stack = new AsyncDisposableStack();
let m: Manager;
beforeAll(async () => {
  m = await startManager(stack, { IN_FLIGHT_LIMIT: String(IN_FLIGHT_LIMIT) });
});
afterAll(() => stack.disposeAsync());

const ids = Array.from({ length: 30 }, (_, i) => `b-${i}`);
const poll = (id: string) => post(`${m.url}/poll`, { id, geographic_area: BERLIN_AREA, number_of_children: 0 });
const gauge = async (name: string): Promise<number> =>
  Number(new RegExp(`^${name}\\S* (\\S+)`, 'm').exec(await (await fetch(`${m.url}/metrics`)).text())?.[1]);

/** A Redis that answers nobody until `work` is done. */
async function withSlowRedis(work: () => Promise<void>): Promise<void> {
  const client = connectRedis(m.redis.url, 'work', () => {});
  await untilReady(client);
  await client.call('CLIENT', 'PAUSE', '4000', 'ALL');
  try {
    await work();
  } finally {
    await client.call('CLIENT', 'UNPAUSE');
    client.disconnect();
  }
}

describe('with Redis slow', () => {
  it('sheds polls beyond the limit at once, takes all results, and serves everybody when it is over', async () => {
    for (const id of ids) await poll(id);
    await until('all are known', async () => (await m.operator.fleet()).length === ids.length);
    await m.operator.publish('slow');
    await m.operator.start('slow');
    await until('enrolled', async () => (await m.operator.show('slow')).progress.children.Todo === ids.length);
    for (const id of ids) await m.child(id).download('slow');

    let results: Promise<number[]> = Promise.resolve([]);
    await withSlowRedis(async () => {
      const waiting = Array.from({ length: IN_FLIGHT_LIMIT + 1 }, (_, i) => poll(ids[i] ?? ''));
      await until('as many are in hand as may be', async () => {
        const reply = await Promise.race([poll('b-0'), new Promise<null>((resolve) => setTimeout(resolve, 200, null))]);
        return reply?.status === 503;
      });
      const shed = await Promise.all(Array.from({ length: 200 }, () => poll('b-1')));
      for (const reply of shed) {
        expect(reply.status).toBe(503);
        expect(reply.headers.get('content-type')).toMatch(/^text\/plain/);
        expect(Number(reply.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      }
      results = Promise.all(ids.map(async (id) => (await m.child(id).result('slow', 'Canary', 2, 'Test')).status));
      void waiting.map((reply) => reply.catch(() => {}));
    });
    expect(await results).toEqual(ids.map(() => 200));
    await until('polls are served again', async () => (await poll('b-2')).status === 200);
    await until(
      'all results are applied',
      async () => ((await m.operator.show('slow')).progress.stages[0]?.ShouldEnd ?? 0) === ids.length,
    );
    await until('nothing is in hand', async () => (await gauge('choir_requests_in_flight')) === 0);
    expect(await gauge('choir_pressure')).toBeLessThan(1);
  });
});

describe('a saturated core', () => {
  it('is no overload: 50 connections in a closed loop are all answered 200', async () => {
    await using own = new AsyncDisposableStack();
    const usual = await startManager(own);
    const statuses = new Map<number, number>();
    await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        for (let n = 0; n < 60; n++) {
          const body = { id: `loop-${i}`, geographic_area: BERLIN_AREA, number_of_children: 0 };
          const { status } = await post(`${usual.url}/poll`, body);
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
        }
      }),
    );
    expect([...statuses]).toEqual([[200, 3_000]]);
  });
});
