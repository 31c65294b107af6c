/** Redis away from the API's point of view: its connections cut, or refused for a while. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '#runtime/config.ts';
import { createLog } from '#runtime/log.ts';
import { createMetrics } from '#runtime/metrics.ts';
import { startApi } from '#services/api/root.ts';
import { BERLIN_AREA, type ChildClient, createChildClient, post } from '#test/harness/manager/child-client.ts';
import { type FaultProxy, startFaultProxy } from '#test/harness/redis/fault-proxy.ts';
import { type Manager, startManager, TOKEN } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';

const stack = new AsyncDisposableStack();
let m: Manager;
let proxy: FaultProxy;
/** An API process whose Redis is behind the proxy; workers and scheduler have theirs directly. */
let url: string;
const childOf = (id: string): ChildClient => createChildClient(url, id);

beforeAll(async () => {
  m = await startManager(stack);
  proxy = await startFaultProxy(Number(new URL(m.redis.url).port), stack);
  const address = `redis://127.0.0.1:${proxy.port}`;
  const env = { PORT: '0', REDIS_URL: address, OPERATOR_TOKEN: TOKEN, PARTITIONS: '4', REDIS_RETRY_MS: '10000' };
  const config = loadConfig('api', env);
  const log = createLog('api', 'silent');
  const { port } = await startApi({ config, address, token: TOKEN, log, metrics: createMetrics('api') }, stack);
  url = `http://127.0.0.1:${port}`;
});
afterAll(() => stack.disposeAsync());

async function enrolled(release: string, ...ids: string[]): Promise<void> {
  await m.operator.publish(release);
  for (const id of ids) await childOf(id).poll();
  for (const id of ids)
    await until(`${id} is known`, async () => (await m.operator.raw('GET', `/children/${id}`)).status === 200);
  await m.operator.start(release);
  for (const id of ids) await until('an offer', async () => (await childOf(id).poll()).new_release === release);
}
const poll = () => post(`${url}/poll`, { id: 'poller', geographic_area: BERLIN_AREA, number_of_children: 0 });

describe('while Redis is away', () => {
  it('sheds polls and questions at once, in text, and lets results and downloads wait until it is back', async () => {
    await enrolled('away', 'h1', 'h2');
    await childOf('h1').download('away');
    await poll();
    proxy.refuse(true);
    const result = childOf('h1').result('away', 'Canary', 2, 'Test');
    const download = childOf('h2').download('away');
    const shed = await poll();
    expect([shed.status, shed.headers.get('content-type'), shed.headers.get('retry-after')]).toEqual([
      503,
      'text/plain; charset=utf-8',
      '5',
    ]);
    expect((await post(`${url}/end_stage`, { id: 'h1', strategy_id: 'away', stage_name: 'Canary' })).status).toBe(503);
    expect((await fetch(`${url}/release/functions/away`)).status).toBe(200);
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    const problem = await fetch(`${url}/api/v1/releases/away`, { headers: { authorization: `Bearer ${TOKEN}` } });
    expect([problem.status, problem.headers.get('content-type')]).toEqual([503, 'application/problem+json']);
    expect(await Promise.race([result, download, sleep(500, 'still waiting')])).toBe('still waiting');
    proxy.refuse(false);
    expect((await result).status).toBe(200);
    expect((await download).status).toBe(200);
    await until('it is ready again', async () => (await fetch(`${url}/readyz`)).status === 200);
    await until(
      'the result is applied',
      async () => (await m.operator.child('away', 'h1')).stages[0]?.status === 'SuccessWaiting',
    );
    expect((await m.operator.child('away', 'h2')).release_status).toBe('Doing');
  });

  it('loses and doubles nothing when connections are cut again and again under load', async () => {
    const ids = Array.from({ length: 20 }, (_, i) => `cut-${i}`);
    await enrolled('cuts', ...ids);
    let cutting = true;
    const cutter = (async () => {
      while (cutting) {
        proxy.cut();
        await sleep(50 + 200 * Math.random());
      }
    })();
    try {
      // Results that name no stage as well: a repeated one must not run into the next stage.
      const unnamed = {
        status: 'Completed',
        ProxyTimes: T,
        F1TimesSummary: T,
        F2TimesSummary: T,
        F1ErrRate: 0,
        F2ErrRate: 0,
      };
      const replies = await Promise.all(
        ids.map(async (id, i) => {
          await childOf(id).download('cuts');
          if (i % 2 === 0) return childOf(id).result('cuts', 'Canary', 4, 'Test');
          return post(`${url}/result`, {
            id,
            release_id: 'cuts',
            stage_summaries: [{ ...unnamed, next_stage: 'Test' }],
          });
        }),
      );
      expect(replies.map(({ status }) => status)).toEqual(ids.map(() => 200));
    } finally {
      cutting = false;
      await cutter;
    }
    const view = await until('all are applied', async () => {
      const shown = await m.operator.show('cuts').catch(() => null);
      return shown?.progress.stages[0]?.Completed === ids.length && shown;
    });
    expect(view.progress.stages[1]).toMatchObject({ InProgress: ids.length });
    expect(view.progress.stages[1]?.Completed).toBeUndefined();
    expect(await m.operator.ok<{ items: unknown[] }>('GET', '/dead-letters')).toEqual({ items: [] });
  });
});

const T = { Median: 1, Minimum: 1, Maximum: 2 };
