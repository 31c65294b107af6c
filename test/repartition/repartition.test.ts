/** `choir repartition`: the number of partitions changes, and nothing else does. */
import { untilReady, type Client } from '#store/connection/client.ts';
import { createIntakeProducer } from '#queue/intake-producer.ts';
import { foldContributions } from '#domain/counts/contribution.ts';
import { PRESETS, type PresetName } from '#domain/plan/presets.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Rollout } from '#domain/rollout/rollout.ts';
import { repartition } from '#bin/repartition/repartition.ts';
import { AGG, isCount } from '#store/layout/agg-fields.ts';
import { toFields } from '#store/layout/counts-codec.ts';
import { createKeys } from '#store/layout/keys.ts';
import { createRepartitionStore } from '#store/layout/repartition-store.ts';
import { openSchema } from '#store/layout/meta.ts';
import { connectRedis } from '#store/connection/redis.ts';
import { SCHEMA } from '#store/layout/schema.ts';
import { runScript } from '#store/connection/script.ts';
import { createStores } from '#store/stores.ts';
import { namedReport, STAGES } from '#test/harness/plans/arbitraries.ts';
import { runChoir } from '#test/harness/manager/choir.ts';
import { createChildClient } from '#test/harness/manager/child-client.ts';
import { createOperator } from '#test/harness/manager/operator.ts';
import { startRole } from '#test/harness/manager/processes.ts';
import { givenEnrolled, runningRollout } from '#test/harness/plans/records.ts';
import { startRedis } from '#test/harness/redis/redis.ts';
import { TOKEN } from '#test/harness/manager/stack.ts';
import { openStores } from '#test/harness/redis/stores.ts';
import { until } from '#test/harness/until.ts';

let stack: AsyncDisposableStack;
beforeEach(() => {
  stack = new AsyncDisposableStack();
});
afterEach(() => stack.disposeAsync());

const keys = createKeys('uc');
const stages = Array.from({ length: STAGES }, (_, i) => ({ name: `s${i}`, type: 'WaitForSignal' as const }));
const silently = { say: () => {}, moved: () => {} };

const choir = (args: string[], env: Record<string, string>) => runChoir(args, env, stack);

/** All that operators could be shown, read from the data itself. */
async function picture(client: Client, partitions: number) {
  const { children, releases } = createStores(client, keys, partitions);
  const all = Array.from({ length: partitions }, (_, p) => p);
  const over = async (keyOf: (p: number) => string): Promise<string[]> =>
    (await Promise.all(all.map((p) => client.zrange(keyOf(p), 0, '-1', 'WITHSCORES'))))
      .flatMap((rows) => rows.flatMap((id, i) => (i % 2 === 0 ? [`${id} ${rows[i + 1]}`] : [])))
      .sort();
  const fleet = await over(keys.seen);
  const ids = fleet.map((row) => row.replace(/ .*/, ''));
  const told = [];
  for (const release of await client.zrange(keys.releaseList, 0, '-1')) {
    const rollout = (await releases.rollout(release)) as Rollout;
    const index = await over((p) => keys.index(p, release));
    const members = index.map((row) => row.replace(/ .*/, ''));
    const counts = await Promise.all(all.map((p) => client.hgetall(keys.agg(p, release))));
    const complete = [AGG.enrolled, AGG.assigned].filter((field) => counts.every((each) => each[field] !== undefined));
    const sums: Record<string, number> = {};
    for (const [field, n] of counts.flatMap((each) => Object.entries(each)))
      if (field !== AGG.cursor) sums[field] = (sums[field] ?? 0) + Number(n);
    told.push({
      release,
      sums,
      complete,
      index,
      order: await over((p) => keys.order(p, release)),
      records: await Promise.all(members.map(async (id) => [id, await children.record(rollout.shortId, id)])),
    });
  }
  const dead = await Promise.all(all.map((p) => client.lrange(keys.deadLetters(p), 0, -1)));
  return { fleet, details: await children.details(ids), told, dead: dead.flat().sort() };
}

/** Law 3, partition by partition: no count but those of the children in it; `rest`: what has no children any more. */
async function recounted(client: Client, partitions: number, release: string): Promise<Record<string, number>> {
  const { children, releases } = createStores(client, keys, partitions);
  const shortId = (await releases.rollout(release))?.shortId ?? '';
  let rest: Record<string, number> = {};
  for (let p = 0; p < partitions; p++) {
    const ids = await client.zrange(keys.index(p, release), 0, '-1');
    const records = await Promise.all(ids.map((id) => children.record(shortId, id)));
    const recount = foldContributions(records.filter((record) => record !== null));
    const counts = Object.entries(await client.hgetall(keys.agg(p, release))).filter(([field]) => isCount(field));
    const more = new Map(counts.map(([field, n]) => [field, Number(n)]));
    for (const [field, n] of toFields(recount)) more.set(field, (more.get(field) ?? 0) - n);
    const left = Object.fromEntries([...more].filter(([, n]) => n !== 0));
    if (p === 0) rest = left;
    else expect(left).toEqual({});
  }
  return rest;
}

async function partitionKeys(client: Client): Promise<string[]> {
  return (await client.keys('uc:*')).filter((key) => /^uc:\{\d+\}:/.test(key));
}

/** Every key where its child belongs, and none beside. */
async function isTidy(client: Client, partitions: number): Promise<void> {
  const { children } = createStores(client, keys, partitions);
  for (const key of await partitionKeys(client)) {
    const [, p = '', id] = /^uc:\{(\d+)\}:(?:c:(.*))?/.exec(key) ?? [];
    expect(Number(p), key).toBeLessThan(partitions);
    if (id !== undefined) expect(children.partition(id), key).toBe(Number(p));
  }
  const others = (await client.keys('uc:*')).filter((key) => /uc:(sums|recounts)|dead-taken/.test(key));
  expect(others).toEqual([]);
  const meta = await client.hgetall(keys.meta);
  expect(meta).toEqual({ partitions: String(partitions), schema: SCHEMA });
}

/** Data such as managers leave behind: releases in the middle, results in random states, what was deleted and forgotten. */
async function givenData(children = 60, partitions = 4, seed = 1) {
  const s = await openStores(stack, partitions);
  await openSchema(s.client, keys, partitions, false);
  const ids = Array.from({ length: children }, (_, i) => `child-${i}`);
  const joined = (id: string) => ({ id, at: 1_000 + ids.indexOf(id), area: 'AAAA', digest: 'd', childCount: 2 });
  for (let p = 0; p < partitions; p++)
    await s.children.joinAll(p, ids.filter((id) => s.children.partition(id) === p).map(joined));

  async function release(id: string, planName: PresetName, state: Rollout['state']) {
    const shortId = await s.releases.nextShortId();
    const rollout = { ...runningRollout(id, shortId, stages, PRESETS[planName], { at: 9_000 }), state, effects: [] };
    await s.client.hset(keys.rollout(id), 'v', 1, 'doc', JSON.stringify(rollout));
    await s.client.zadd(keys.releaseList, Number(shortId), id);
    return rollout;
  }
  /** As a job over the fleet, or over an order of children, leaves it. */
  async function enrolled(rollout: Rollout, members: readonly string[], order: readonly string[] = []): Promise<void> {
    for (const id of members) await givenEnrolled(s, rollout, id, rollout.plan.direct ? 'all' : '', joined(id).at);
    for (const id of order)
      await s.client.zadd(keys.order(s.children.partition(id), rollout.release), joined(id).at, id);
    for (let p = 0; p < partitions; p++) {
      const agg = keys.agg(p, rollout.release);
      const complete = rollout.plan.direct
        ? { [AGG.enrolled]: (await s.client.hget(agg, 'n')) ?? 0 }
        : { [AGG.assigned]: 1 };
      await s.client.hset(agg, { [AGG.cursor]: 5_000, [AGG.silent]: p, ...complete });
    }
  }
  async function results(rollout: Rollout, share: number): Promise<void> {
    const ref = { release: rollout.release, shortId: rollout.shortId };
    const some = ids.filter((_, i) => i % 10 < share);
    const samples = fc.sample(fc.array(namedReport, { minLength: 1, maxLength: 4 }), { numRuns: some.length, seed });
    for (const [i, id] of some.entries())
      for (const report of samples[i] ?? [])
        await s.children.applyNow({
          kind: 'result',
          id,
          ...ref,
          at: report.at,
          attempt: 1,
          reports: [report],
        });
  }

  const global = await release('global', 'global-incremental', 'running');
  const old = await release('old', 'global-incremental', 'completed');
  const order = await release('order', 'location-sequential', 'running');
  await release('untouched', 'global-incremental', 'published');
  await enrolled(global, ids.slice(10));
  await enrolled(old, ids);
  await enrolled(order, ids.slice(5, 9), ids.slice(9));
  await results(global, 7);
  await results(old, 10);
  await results(order, 10);
  // Records of the old release are forgotten, its counts stay; then some children leave the fleet.
  for (const id of ids.slice(0, 12)) {
    const p = s.children.partition(id);
    await runScript(s.client, 'forget-records', {
      keys: { index: keys.index(p, 'old'), due: keys.due(p, 'old') },
      more: [keys.child(p, id)],
      args: ['old', old.shortId, STAGES, id],
    });
  }
  for (const id of ids.slice(0, 20)) await s.children.delete(id, Date.now(), ['global', 'old', 'order']);
  await givenLetters(s.client, partitions);
  return s;
}

/** Dead letters in each partition, more than are moved at a time, in the place of those that are there. */
async function givenLetters(client: Client, partitions: number): Promise<string[]> {
  const all: string[] = [];
  for (let p = 0; p < partitions; p++) {
    const letters = Array.from({ length: 250 }, (_, i) => `letter ${p}-${i}`);
    await client.del(keys.deadLetters(p));
    await client.rpush(keys.deadLetters(p), ...letters);
    all.push(...letters);
  }
  return all.sort();
}

describe('the data under another number of partitions', () => {
  it('reads just as before, through 4, 7, 2, 1 and 64 partitions; law 3 holds in each', async () => {
    const { client } = await givenData();
    const before = await picture(client, 4);
    expect(before.told.map(({ complete }) => complete)).toEqual([[AGG.enrolled], [AGG.enrolled], [AGG.assigned], []]);
    expect(await recounted(client, 4, 'global')).toEqual({});
    // What a run may leave that was killed before it had changed anything.
    await client.hset(keys.sums('global'), 's9.9', 7);
    await client.sadd(keys.recounts, 'untouched');
    let forgotten: Record<string, number> | null = null;
    for (const to of [7, 2, 1, 64, 8]) {
      await repartition(client, 'uc', to, silently);
      expect(await picture(client, to)).toEqual(before);
      await isTidy(client, to);
      for (const release of ['global', 'order']) expect(await recounted(client, to, release)).toEqual({});
      const kept = await recounted(client, to, 'old');
      expect(kept['n']).toBe(12);
      forgotten ??= kept;
      expect(kept).toEqual(forgotten);
      const noted = await Promise.all(
        Array.from({ length: to }, (_, p) => client.hmget(keys.agg(p, 'global'), AGG.enrolled, 'n')),
      );
      for (const [enrolled, n] of noted) expect(Number(enrolled)).toBe(Number(n ?? 0));
    }
    const said: string[] = [];
    await repartition(client, 'uc', 8, { ...silently, say: (line) => said.push(line) });
    expect(said).toEqual(['the data has 8 partitions: nothing to do']);
  });

  it('comes out the same wherever it was stopped, however often', async () => {
    const { client } = await givenData(40);
    const before = await picture(client, 4);
    let layouts = [4, 7];
    let stops = 0;
    for (let after = 0; ; after++) {
      const [from = 0, to = 0] = layouts;
      before.dead = await givenLetters(client, from);
      let pulses = 0;
      const stopping = {
        ...silently,
        moved: () => {
          if (pulses++ >= after) throw new Error('stopped');
        },
      };
      const stopped = await repartition(client, 'uc', to, stopping).catch((error: Error) => error.message);
      if (stopped === undefined) break;
      expect(stopped).toBe('stopped');
      stops++;
      expect(await client.hmget(keys.meta, 'partitions', 'repartitioning')).toEqual([String(from), String(to)]);
      await expect(openSchema(client, keys, undefined, false)).rejects.toThrow(`run "choir repartition ${to}" again`);
      await expect(repartition(client, 'uc', 5, silently)).rejects.toThrow(`run "choir repartition ${to}" again`);
      await repartition(client, 'uc', to, silently);
      expect(await picture(client, to)).toEqual(before);
      await isTidy(client, to);
      layouts = [to, from];
    }
    expect(stops).toBeGreaterThan(10);
  }, 120_000);

  it('is refused while messages wait, while a release is enrolling, and where there is no manager’s data', async () => {
    const { client, releases } = await givenData(40);
    const producer = await createIntakeProducer({ connection: client, keys, partitions: 4, replicas: 0 }, stack);
    await producer.add(3, ['s\tchild-1\t5\t\t\tpoll'], 5);
    await expect(repartition(client, 'uc', 7, silently)).rejects.toThrow(
      /^messages still wait to be applied \(batches: 1\)/,
    );
    await client.del('uc:{3}:intake:wait');
    const rollout = (await releases.rollout('global')) as Rollout;
    const again = { ...rollout, release: 'again', shortId: '99' };
    await client.hset(keys.rollout('again'), 'v', 1, 'doc', JSON.stringify(again));
    await client.hset(keys.agg(2, 'again'), { [AGG.cursor]: 5_000, [AGG.enrolled]: 0 });
    await expect(repartition(client, 'uc', 7, silently)).rejects.toThrow(/^release again is just enrolling/);
    await expect(repartition(client, 'nobody', 7, silently)).rejects.toThrow(/^no manager has kept data here yet/);
    await client.set('uc:{1}:novelty', 'x');
    await expect(repartition(client, 'uc', 7, silently)).rejects.toThrow(
      /doesn't know what the key uc:\{1\}:novelty is/,
    );
    // Nothing has been changed, and managers may start.
    expect(await openSchema(client, keys, undefined, false)).toBe(4);
    expect(await client.exists(keys.recounts)).toBe(0);
  });
});

describe('two at a time', () => {
  it('is refused', async () => {
    const { client } = await givenData(10);
    const first = createRepartitionStore(client, keys, 7);
    await first.begin();
    await expect(repartition(client, 'uc', 7, silently)).rejects.toThrow(
      'another "choir repartition" or "choir migrate" is at work on this data',
    );
    await first.leave(false);
    await repartition(client, 'uc', 7, silently);
    await isTidy(client, 7);
  });

  it('one that stood still while another took over writes nothing any more', async () => {
    const { client } = await givenData(10);
    const first = createRepartitionStore(client, keys, 7);
    await first.begin();
    for (const field of await client.hkeys(keys.meta))
      if (field.startsWith('mover:')) await client.hdel(keys.meta, field);
    await first.reach('count');
    expect(first.isOvertaken()).toBe(true);
    await first.finish();
    expect(await client.hmget(keys.meta, 'partitions', 'step', 'repartitioning')).toEqual(['4', null, '7']);
  });
});

describe('choir repartition', () => {
  async function givenRelease() {
    const redis = await startRedis(stack);
    const env = { REDIS_URL: redis.url };
    const start = () => startRole('all', { ...env, PARTITIONS: '' }, stack);
    const first = await startRole('all', { ...env, PARTITIONS: '4' }, stack);
    const client = connectRedis(redis.url, 'work', () => {});
    stack.defer(() => client.disconnect());
    await untilReady(client);
    const ids = Array.from({ length: 24 }, (_, i) => `edge:${i}`);
    const childrenOf = (url: string) => ids.map((id) => createChildClient(url, id));
    const operator = createOperator(first.url, TOKEN);
    const fleet = childrenOf(first.url);
    for (const child of fleet) await child.poll();
    await until('all are known', async () => (await operator.fleet()).length === ids.length);
    await operator.publish('mid');
    await operator.start('mid');
    await until('all are enrolled', async () => (await operator.show('mid')).progress.locations[0]?.children === 24);
    for (const [i, child] of fleet.entries()) {
      if (i % 4 > 0) await child.download('mid');
      if (i % 4 > 1) await child.result('mid', 'Canary', i % 4 === 2 ? 2 : 4, 'Test');
      if (i % 8 === 3) await child.result('mid', 'Test', 4, 'Gradual');
    }
    await until('all are counted', async () => (await operator.show('mid')).progress.stages[1]?.Completed === 3);
    return { first, start, env, client, ids, childrenOf, operator };
  }
  type Operator = ReturnType<typeof createOperator>;
  const views = async (operator: Operator) => {
    const byId = <T extends { id: string }>(items: T[]): T[] => items.sort((a, b) => (a.id < b.id ? -1 : 1));
    const { waiting: _, ...release } = await operator.show('mid');
    const fleet = byId(await operator.fleet());
    return { release, fleet, children: byId((await operator.children('mid')).items) };
  };

  it('is refused while a manager runs; then the release runs on to its end in 7 partitions', async () => {
    const { first, start, env, client, childrenOf, operator } = await givenRelease();
    const before = await views(operator);
    const refused = await choir(['repartition', '7'], env).done;
    expect(refused).toMatchObject({
      code: 4,
      err: 'a manager is at work on this data: stop all of its processes first\n',
    });
    expect((await choir(['repartition', '4'], env).done).code).toBe(0);
    for (const wrong of ['0', '1025', 'x', '2.5']) expect((await choir(['repartition', wrong], env).done).code).toBe(4);
    expect(await first.end('SIGTERM')).toBe(0);

    const done = await choir(['repartition', '7'], env).done;
    expect(done).toMatchObject({ code: 0, err: '' });
    expect(done.out).toMatch(
      /^from 4 to 7 partitions: \d+ of 24 children move\n(?:.*\n)*done: 24 children in 7 partitions\n$/,
    );
    expect(await recounted(client, 7, 'mid')).toEqual({});
    const second = await start();
    const after = createOperator(second.url, TOKEN);
    expect(await views(after)).toEqual(before);
    const fleet = childrenOf(second.url);
    for (const child of fleet) {
      const stage = before.children.find(({ id }) => id === child.id)?.stages ?? [];
      if (stage[0]?.status === 'Pending') await child.download('mid');
      if (stage[0]?.status !== 'Completed') await child.result('mid', 'Canary', 2, 'Test');
    }
    await until('the gate opens', () => (fleet[0] as (typeof fleet)[0]).endStage('mid', 'Canary'));
    for (const child of fleet) {
      await child.result('mid', 'Canary', 4, 'Test');
      await child.result('mid', 'Test', 4, 'Gradual');
      await child.result('mid', 'Gradual', 4, null);
    }
    await until('completed', async () => (await after.show('mid')).state === 'completed');
    expect(await second.end('SIGTERM')).toBe(0);
    expect(await recounted(client, 7, 'mid')).toEqual({});
  });

  it('goes on after kills; managers don’t start half-way', async () => {
    const { client } = await givenData(3_000);
    const { options } = client as Extract<Client, { options: { port?: number } }>;
    const env = { REDIS_URL: `redis://127.0.0.1:${options.port}` };
    const before = await picture(client, 4);
    let killed = 0;
    const interrupted = choir(['repartition', '7'], env);
    await until('it has begun', () => Promise.resolve(/children move/.test(interrupted.output())));
    interrupted.child.kill('SIGINT');
    expect(await interrupted.done).toMatchObject({
      code: 4,
      err: 'interrupted: run "choir repartition 7" again to go on\n',
    });
    for (let i = 0; i < 3; i++) {
      const { child, done, output } = choir(['repartition', '7'], env);
      await until('it has begun', async () => /children move/.test(output()) || child.exitCode !== null);
      child.kill('SIGKILL');
      if ((await done).code === null) killed++;
      const [to] = await client.hmget(keys.meta, 'repartitioning');
      if (to === null) break;
      const manager = await startRole('all', { ...env, PARTITIONS: '' }, stack, false);
      expect(await manager.ended).toBe(1);
      expect(manager.output()).toMatch(/run "choir repartition 7" again until it says that it is done/);
      expect((await choir(['repartition', '5'], env).done).err).toMatch(/is being moved to 7 partitions/);
    }
    expect(killed).toBeGreaterThan(0);
    expect(await choir(['repartition', '7'], env).done).toMatchObject({ code: 0, err: '' });
    expect(await picture(client, 7)).toEqual(before);
    for (const release of ['global', 'order']) expect(await recounted(client, 7, release)).toEqual({});
    await isTidy(client, 7);
  }, 120_000);

  it('takes a manager for dead that says nothing any more; it ends when it wakes up', async () => {
    const { first, env } = await givenRelease();
    process.kill(first.pid, 'SIGSTOP');
    const { code, out } = await choir(['repartition', '2'], env).done;
    expect(out).toMatch(
      /^a process was at work here moments ago[^\n]*\nfrom 4 to 2[^]*done: 24 children in 2 partitions\n$/,
    );
    expect(code).toBe(0);
    process.kill(first.pid, 'SIGCONT');
    expect(await first.ended).toBe(1);
    expect(first.output()).toMatch(/was moved to another number of partitions under a manager/);
  });

  it('works on the embedded Redis of DATA_DIR', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'choir-data-'));
    stack.defer(() => rmSync(dir, { recursive: true, force: true }));
    const manager = await startRole('all', { DATA_DIR: dir }, stack);
    await createChildClient(manager.url, 'c1').poll();
    await until('known', async () => (await createOperator(manager.url, TOKEN).fleet()).length === 1);
    const refused = await choir(['repartition', '3'], { DATA_DIR: dir }).done;
    expect(refused).toMatchObject({ code: 4, err: expect.stringMatching(/is in use by another manager/) as string });
    expect(await manager.end('SIGTERM')).toBe(0);
    const done = await choir(['repartition', '3'], { DATA_DIR: dir }).done;
    expect(done).toMatchObject({
      code: 0,
      out: expect.stringMatching(/done: 1 children in 3 partitions\n$/) as string,
    });
    const again = await startRole('all', { DATA_DIR: dir, PARTITIONS: '3' }, stack);
    expect((await createOperator(again.url, TOKEN).fleet()).map(({ id }) => id)).toEqual(['c1']);
    expect(await again.end('SIGTERM')).toBe(0);
    expect((await choir(['repartition', '3'], { DATA_DIR: join(dir, 'nowhere') }).done).err).toMatch(/doesn't exist/);
  });
});
