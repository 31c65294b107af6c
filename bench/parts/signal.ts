/**
 * From the last SuccessWaiting that is accepted to the first true of `/end_stage`, and one tick of the scheduler; in a small
 * fleet and in a large one. All children are enrolled; that all but one wait already is written into the counts, otherwise
 * each sample would take a million results.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createLog } from '#runtime/log.ts';
import { createMetrics } from '#runtime/metrics.ts';
import { createTicker } from '#workers/scheduler/tick.ts';
import { enrolAll, operator } from '../lib/fleet.ts';
import { keep } from '../lib/http.ts';
import { compared, type Part, type Row } from '../lib/part.ts';
import { countOf, downloadAll, keys, openRedis, populate, type Redis } from '../lib/populate.ts';
import { startManager, startNode, startRedis } from '../lib/processes.ts';
import { manyStagesForm } from '../lib/release.ts';
import { longId, resultBody } from '../load/bodies.ts';

const STAGES = 60;
const TICKS = 200;
const QUIET_MS = 50;
const ROUND_TRIPS = 500;

const quantile = (values: readonly number[], q: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))] ?? NaN;

/** Milliseconds of a round trip: a message to another process and its answer, both by publishing. */
async function pubSub(stack: AsyncDisposableStack, url: string): Promise<number[]> {
  const [{ client: publisher }, { client: subscriber }] = [await openRedis(stack, url), await openRedis(stack, url)];
  let arrived = (): void => {};
  subscriber.on('message', () => arrived());
  await subscriber.subscribe('back');
  await startNode(stack, 'rest', { file: 'bench/baselines/echo.ts', env: { REDIS_URL: url } });
  const times: number[] = [];
  for (let i = 0; i < ROUND_TRIPS; i++) {
    const start = performance.now();
    const arrival = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    await Promise.all([publisher.publish('there', '1'), arrival]);
    times.push(performance.now() - start);
  }
  return times.slice(ROUND_TRIPS / 5);
}

async function signals(redis: Redis, url: string, release: string, children: number): Promise<number[]> {
  const http = keep(url);
  const last = longId('s', 0);
  const times: number[] = [];
  for (let stage = 0; stage < STAGES; stage++) {
    const missing = children - 1 - (await countOf(redis, release, `s${stage}.2`));
    await redis.client.hincrby(keys.agg(0, release), `s${stage}.2`, missing);
    const body = resultBody(last, release, { stage: `Stage ${stage}`, status: 2, next: `Stage ${stage + 1}` });
    const asked = JSON.stringify({ id: last, strategy_id: release, stage_name: `Stage ${stage}` });
    await http.post('/result', body);
    const accepted = performance.now();
    while (!(await http.post('/end_stage', asked)).includes('true'));
    times.push(performance.now() - accepted);
    // It goes on to the next stage, and all is quiet again.
    await http.post(
      '/result',
      resultBody(last, release, { stage: `Stage ${stage}`, status: 4, next: `Stage ${stage + 1}` }),
    );
    await sleep(QUIET_MS);
  }
  http.close();
  return times.slice(STAGES / 6);
}

async function ticks(redis: Redis, release: string): Promise<number[]> {
  const tick = createTicker({
    ...redis,
    enrolmentJobs: { add: () => Promise.resolve() },
    ticks: { unschedule: () => Promise.resolve(), schedule: async () => {} },
    compensate: () => Promise.resolve(),
    clock: { now: () => Date.now() },
    metrics: createMetrics('bench'),
    log: createLog('bench', 'silent'),
  });
  const times: number[] = [];
  for (let i = 0; i < TICKS; i++) {
    const start = performance.now();
    await tick(release);
    times.push(performance.now() - start);
  }
  return times.slice(TICKS / 5);
}

type Measured = { signal: number[]; bare: number[]; tick: number[] };

async function measure(children: number): Promise<Measured> {
  await using stack = new AsyncDisposableStack();
  const url = await startRedis(stack);
  const redis = await openRedis(stack, url);
  await populate(redis, 's', 0, children);
  const manager = await startManager(stack, url, { FRESH_FOR: '1h' });
  await enrolAll(manager.url, 'signal', children, await manyStagesForm('signal', STAGES + 1));
  await downloadAll(redis, 's', 1, 'signal');
  const measured = {
    signal: await signals(redis, manager.url, 'signal', children),
    bare: await pubSub(stack, url),
    tick: await ticks(redis, 'signal'),
  };
  await operator(manager.url, 'POST', '/releases/signal/abort', {});
  return measured;
}

export const signal: Part = {
  name: 'signal',
  about: 'from the last SuccessWaiting to a true /end_stage; and a tick',
  async run({ quick, say, rounds }) {
    const large = quick ? 100_000 : 1_000_000;
    const [small, big]: [Measured[], Measured[]] = [[], []];
    // The large fleet is measured as often as its loading allows.
    for (let i = 0; i < Math.min(rounds, 2); i++) {
      say('  10,000 children');
      small.push(await measure(10_000));
      say(`  ${large.toLocaleString('en')} children`);
      big.push(await measure(large));
    }
    const at = (all: readonly Measured[], what: keyof Measured, q: number): number[] =>
      all.map((each) => quantile(each[what], q));
    const size = large.toLocaleString('en');
    const rows: Row[] = [];
    for (const [all, name] of [
      [small, '10,000'],
      [big, size],
    ] as const)
      for (const [q, label] of [
        [0.5, 'p50'],
        [0.99, 'p99'],
      ] as const)
        rows.push(
          compared(
            { part: 'signal', what: `${label} at ${name}`, unit: 'ms', target: q === 0.5 ? { atMost: 30 } : null },
            at(all, 'signal', q),
            { what: 'a bare publish/subscribe round trip', values: at(all, 'bare', q) },
          ),
        );
    const asSmall = { what: 'at 10,000', values: at(small, 'signal', 0.5) };
    rows.push(
      compared(
        { part: 'signal', what: `p50 at ${size}`, unit: 'ms', target: { atMost: 1.2 } },
        at(big, 'signal', 0.5),
        asSmall,
      ),
      compared({ part: 'tick', what: `at ${size}`, unit: 'ms', target: { atMost: 1.2 } }, at(big, 'tick', 0.5), {
        what: 'at 10,000',
        values: at(small, 'tick', 0.5),
      }),
    );
    return rows;
  },
};
