/** `choir repartition`, of what plans keep beside the records: it changes partitions, and nothing else. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { partitionOf } from '#domain/ids.ts';
import type { StageReport } from '#domain/child/report.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';
import { repartition } from '#bin/repartition/repartition.ts';
import { AGG } from '#store/layout/agg-fields.ts';
import { createKeys } from '#store/layout/keys.ts';
import { openSchema } from '#store/layout/meta.ts';
import type { Client } from '#store/connection/client.ts';
import { SCHEMA } from '#store/layout/schema.ts';
import { createStores } from '#store/stores.ts';
import { namedReport, STAGES } from '#test/harness/plans/arbitraries.ts';
import { addsUp, givenEnrolled, runningRollout } from '#test/harness/plans/records.ts';
import { openStores } from '#test/harness/redis/stores.ts';

const stack = new AsyncDisposableStack();
let s: Awaited<ReturnType<typeof openStores>>;
const FROM = 4;
beforeAll(async () => {
  s = await openStores(stack, FROM);
});
afterAll(() => stack.disposeAsync());

const keys = createKeys('uc');
const silently = { say: () => {}, moved: () => {} };
const stages = Array.from({ length: STAGES }, (_, i) => ({ name: `s${i}`, type: 'WaitForSignal' as const }));
const MEMBERSHIPS = ['1/a', '+1/a', '2/Île: la “2/b” {3}:agg', ''];
const LOCATIONS = ['a', 'Île: la “2/b” {3}:agg', 'todo:sizes'];
const ids = Array.from({ length: 60 }, (_, i) => `child-${i}`);

const over = (partitions: number): number[] => Array.from({ length: partitions }, (_, p) => p);

const result = ({ release, shortId }: Rollout, id: string, at: number, reports: readonly StageReport[]) =>
  s.children.applyNow({ kind: 'result', id, release, shortId, at, attempt: 1, reports });

/** Children in random states, some of whose records were forgotten; and all that a plan with locations keeps. */
async function givenData(): Promise<Rollout> {
  const { client } = s;
  await client.flushall();
  await openSchema(client, keys, FROM, false);
  const started = runningRollout('rel', '1', stages, {
    locations: { by: 'grid', cellKm: 1 },
    lostAfterMs: 1,
    deadline: { afterMs: 1, then: 'hold' },
  });
  const rollout = { ...started, effects: [] };
  await client.hset(keys.rollout('rel'), 'v', 1, 'doc', JSON.stringify(rollout));
  await client.zadd(keys.releaseList, 1, 'rel');
  await s.flags.watch(rollout);
  const reports = fc.sample(fc.array(namedReport, { minLength: 1, maxLength: 3 }), { numRuns: ids.length, seed: 1 });
  for (const [i, id] of ids.entries()) {
    await givenEnrolled(s, rollout, id, MEMBERSHIPS[i % MEMBERSHIPS.length], 1_000 + i);
    if (i % 3 > 0) await result(rollout, id, 2_000 + i, []);
    if (i % 3 > 1) for (const report of reports[i] ?? []) await result(rollout, id, report.at, [report]);
  }
  for (const p of over(FROM)) {
    await s.flags.flagLost(
      p,
      rollout,
      ids.filter((id, i) => i % 5 === 0 && s.children.partition(id) === p),
      1_500,
    );
    await s.children.forgetRecords(p, { release: 'rel', shortId: '1', stages: STAGES }, 3);
    await client.hset(keys.agg(p, 'rel'), AGG.assigned, 3, AGG.silent, p);
    await client.zadd(keys.late(p), 900, 'rel', 800, 'another');
    await client.hset(keys.sizes(p, 'rel'), { 'n:a': 10 + p, 'f:a': 1_000 - p, '@late': p });
    await client.hset(keys.sizes(p, 'rel'), { [`n:${LOCATIONS[1]}`]: p, [`f:${LOCATIONS[1]}`]: 500 + p });
    for (const [i, id] of ids.entries())
      if (s.children.partition(id) === p) {
        await client.zadd(keys.todo(p, 'rel', LOCATIONS[i % 3] ?? ''), i, `to-come-${id}`);
        await client.rpush(keys.arrived(p, 'rel'), id);
      }
  }
  // Those to come are in the partitions of their own names.
  for (const p of over(FROM))
    for (const location of LOCATIONS)
      for (const id of await client.zrange(keys.todo(p, 'rel', location), 0, '-1'))
        if (s.children.partition(id) !== p) {
          const score = await client.zscore(keys.todo(p, 'rel', location), id);
          await client.zrem(keys.todo(p, 'rel', location), id);
          await client.zadd(keys.todo(s.children.partition(id), 'rel', location), score ?? 0, id);
        }
  return rollout;
}

/** All of it, over all partitions. */
async function picture(client: Client, partitions: number) {
  const members = async (keyOf: (p: number) => string): Promise<string[]> => {
    const rows = await Promise.all(over(partitions).map((p) => client.zrange(keyOf(p), 0, '-1', 'WITHSCORES')));
    return rows.flatMap((row) => row.flatMap((id, i) => (i % 2 === 0 ? [`${id} ${row[i + 1]}`] : []))).sort();
  };
  const sums = async (keyOf: (p: number) => string): Promise<Record<string, number>> => {
    const all = await Promise.all(over(partitions).map((p) => client.hgetall(keyOf(p))));
    const sum: Record<string, number> = {};
    for (const [field, n] of all.flatMap((hash) => Object.entries(hash)))
      sum[field] = field.startsWith('f:') ? Math.min(sum[field] ?? Infinity, Number(n)) : (sum[field] ?? 0) + Number(n);
    for (const note of [AGG.watchLost, AGG.watchOverdue])
      if (note in sum) {
        expect(sum[note]).toBe(partitions);
        sum[note] = 1;
      }
    return sum;
  };
  const { children } = createStores(client, keys, partitions);
  const lists = await Promise.all(over(partitions).map((p) => client.lrange(keys.arrived(p, 'rel'), 0, -1)));
  const late = await Promise.all(over(partitions).map((p) => client.zrange(keys.late(p), 0, '-1', 'WITHSCORES')));
  return {
    totals: await sums((p) => keys.agg(p, 'rel')),
    memberships: await Promise.all(MEMBERSHIPS.map((each) => sums((p) => keys.aggOf(p, 'rel', each)))),
    sizes: await sums((p) => keys.sizes(p, 'rel')),
    due: await members((p) => keys.due(p, 'rel')),
    todo: await Promise.all(LOCATIONS.map((location) => members((p) => keys.todo(p, 'rel', location)))),
    arrived: [...new Set(lists.flat())].sort(),
    late: late.every((each) => JSON.stringify(each) === JSON.stringify(late[0])) ? late[0] : late,
    records: await Promise.all(ids.map((id) => children.record('1', id))),
  };
}

/** Every key in a partition that there is, and every child where it belongs. */
async function isTidy(client: Client, partitions: number): Promise<void> {
  for (const key of await client.keys('uc:{*')) {
    const [, p = '', rest = ''] = /^uc:\{(\d+)\}:(.*)$/s.exec(key) ?? [];
    expect(Number(p), key).toBeLessThan(partitions);
    const names = /:(?:due|idx|todo:.*)$/s.test(rest)
      ? await client.zrange(key, 0, '-1')
      : rest.endsWith(':arrived')
        ? await client.lrange(key, 0, -1)
        : [];
    for (const id of names) expect(partitionOf(id, partitions), `${id} in ${key}`).toBe(Number(p));
  }
  expect(await client.hgetall(keys.meta)).toEqual({ partitions: String(partitions), schema: SCHEMA });
}

describe('what a plan keeps, under another number of partitions', () => {
  it('reads just as before, through 7, 2, 1 and 16', async () => {
    const rollout = await givenData();
    const { client } = s;
    const before = await picture(client, FROM);
    expect(before.due.length).toBeGreaterThan(0);
    expect(before.totals['m1']).toBeGreaterThan(0);
    expect(Object.keys(before.memberships[2] ?? {}).length).toBeGreaterThan(2);
    for (const to of [7, 2, 1, 16]) {
      await repartition(client, 'uc', to, silently);
      expect(await picture(client, to)).toEqual(before);
      await isTidy(client, to);
      // What no child accounts for any more is in partition 0, in all and by location.
      await addsUp({ ...s, ...createStores(client, keys, to), partitions: to }, rollout, 1);
    }
  });

  it('comes out the same wherever it was stopped', async () => {
    await givenData();
    const { client } = s;
    const before = await picture(client, FROM);
    let [from, to] = [FROM, 7];
    let stops = 0;
    for (let after = 0; ; after += 3) {
      let pulses = 0;
      const stopping = {
        ...silently,
        moved: () => {
          if (pulses++ >= after) throw new Error('stopped');
        },
      };
      const stopped = await repartition(client, 'uc', to, stopping).catch((error: Error) => error.message);
      if (stopped !== undefined) expect(stopped).toBe('stopped');
      await repartition(client, 'uc', to, silently);
      expect(await picture(client, to)).toEqual(before);
      await isTidy(client, to);
      if (stopped === undefined) break;
      stops++;
      [from, to] = [to, from];
    }
    expect(stops).toBeGreaterThan(10);
  }, 120_000);

  it('is refused while children are just being assigned', async () => {
    await givenData();
    await s.client.hdel(keys.agg(2, 'rel'), AGG.assigned);
    await expect(repartition(s.client, 'uc', 7, silently)).rejects.toThrow(/^release rel is just enrolling/);
  });
});
