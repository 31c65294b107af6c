/** What version 0.1.0 left is all there after `choir migrate`, whatever happens to the run. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { migrate } from '../../bin/migrate/migrate.ts';
import { createKeys } from '#store/layout/keys.ts';
import { runChoir } from '#test/harness/manager/choir.ts';
import { createChildClient } from '#test/harness/manager/child-client.ts';
import { startManager } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';
import { childAnswers, openOldData, operatorAnswers, picture, SETTINGS } from './fixture.ts';

const keys = createKeys('uc');
const silently = { say: () => {}, step: () => {} };

/** Seconds of silence, and of soak, grow while nothing happens. */
const AGES = new Set(['details']);
const timeless = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (key, each: unknown) => (AGES.has(key) ? undefined : each)));
/** A key of plans that has another name now, and sentences that are plainer. */
const RENAMED = [
  ['"release_held":', '"open_gates_on_revert":'],
  ['it was taken out of the release', 'it was ejected from the release'],
  ['its location was left out', 'its location was withdrawn'],
  ['children who are held in a stage of release', 'children that wait at a closed gate of release'],
  ['(revert with release_held lets them through)', '(revert --open-gates lets them pass)'],
  ['children who may yet be Done', 'children that may still become Done'],
  ['partitions are through', 'partitions are done'],
] as const;
const renamed = (value: unknown): unknown =>
  JSON.parse(RENAMED.reduce((text, [old, now]) => text.replaceAll(old, now), JSON.stringify(value)));

let stack: AsyncDisposableStack;
beforeEach(() => {
  stack = new AsyncDisposableStack();
});
afterEach(() => stack.disposeAsync());

describe('a migration from schema 4', () => {
  it('leaves all that operators see as it was', async () => {
    const { redis, client } = await openOldData(stack);
    await migrate(client, 'uc', silently);
    const { operator } = await startManager(stack, SETTINGS, [], redis);
    const before = operatorAnswers();
    const list = await operator.ok<{ items: { id: string }[] }>('GET', '/releases?limit=1000');
    expect(list.items).toEqual(before.list);
    for (const { id } of before.list) {
      expect(timeless(await operator.show(id)), id).toEqual(renamed(timeless(before.releases[id])));
      const { items } = await operator.children(id);
      const children = items.sort((a, b) => (a.id < b.id ? -1 : 1));
      expect(timeless(children), id).toEqual(renamed(timeless(before.releaseChildren[id])));
    }
    const fleet = (await operator.fleet()).sort((a, b) => (a.id < b.id ? -1 : 1));
    expect(fleet).toEqual(before.children);
    const letters = await operator.ok<{ items: unknown[] }>('GET', '/dead-letters');
    expect(letters.items).toEqual(before.deadLetters);
  });

  it('answers children as before', async () => {
    const { redis, client } = await openOldData(stack);
    await migrate(client, 'uc', silently);
    const { url } = await startManager(stack, SETTINGS, [], redis);
    const { endStage } = childAnswers();
    const wrong: string[] = [];
    for (const [release, children] of Object.entries(endStage))
      for (const [id, stages] of Object.entries(children))
        for (const [stage, expected] of Object.entries(stages)) {
          const answer = await createChildClient(url, id)
            .endStage(release, stage)
            .catch((error: Error) => Number(/answered (\d+)/.exec(error.message)?.[1]));
          if (answer !== expected) wrong.push(`${release} ${id} ${stage}: ${answer}, was ${expected}`);
        }
    expect(wrong).toEqual([]);
  });

  it('keeps the work that waits: messages are applied, and children enrolled', async () => {
    const { redis, client } = await openOldData(stack);
    await migrate(client, 'uc', silently);
    const { operator } = await startManager(stack, SETTINGS, ['worker', 'scheduler'], redis);
    const known = async (id: string) =>
      (await operator.raw('GET', `/children/${encodeURIComponent(id)}`)).status === 200;
    await until(
      'children whose joins waited are known',
      async () => (await known('new:joiner.1')) && known('new:joiner.2'),
    );
    const childrenOf = async (id: string) => (await operator.show(id)).progress.children;
    await until('a release goes on enrolling', async () => {
      const { Todo = 0, Doing = 0 } = await childrenOf('v-direct');
      return Todo + Doing === 118;
    });
    await until('a release goes on assigning', async () => ((await childrenOf('u-ordering')).Todo ?? 0) === 10);
    await until('a retry is made', async () => (await operator.child('l-lost', 'l:1')).attempt === 2);
    await until('a result is applied', async () =>
      (await operator.child('e-all-at-once', 'e5')).stages.some(({ status }) =>
        /SuccessWaiting|ShouldEnd/.test(status),
      ),
    );
  });

  it('leaves no name of schema 4 behind', async () => {
    const { client } = await openOldData(stack);
    await migrate(client, 'uc', silently);
    const all = await picture(client);
    expect(Object.keys(all).filter((key) => /^uc:(?:places|tags|\{ticks\}:walks)/.test(key))).toEqual([]);
    for (const [key, value] of Object.entries(all))
      if (/:r:[^:]+:agg$/.test(key))
        for (const field of ['@mark', '@ordered', '@lost', '@due']) expect(value, key).not.toHaveProperty([field]);
    expect(await client.hgetall(keys.meta)).toMatchObject({ schema: '5', partitions: '4' });
    for (const field of ['repartitioning', 'step']) expect(await client.hexists(keys.meta, field)).toBe(0);
  });

  it('goes on where it was interrupted, wherever that was, and twice is nothing', async () => {
    const whole = await openOldData(stack);
    let steps = 0;
    await migrate(whole.client, 'uc', { say: () => {}, step: () => void steps++ });
    const { 'uc:meta': _, ...expected } = await picture(whole.client);
    const said: string[] = [];
    await migrate(whole.client, 'uc', { say: (line) => void said.push(line), step: () => {} });
    expect(said).toEqual(['the data has schema 5: nothing to do']);
    const { 'uc:meta': __, ...twice } = await picture(whole.client);
    expect(twice).toEqual(expected);

    const broken = await openOldData(stack);
    for (let after = 0; after < steps; after += 7) {
      let left = after;
      const step = (): void => {
        if (left-- === 0) throw new Error('interrupted');
      };
      await expect(migrate(broken.client, 'uc', { say: () => {}, step })).rejects.toThrow('interrupted');
      expect(await broken.client.hget(keys.meta, 'schema')).toBe('4');
    }
    await migrate(broken.client, 'uc', silently);
    const { 'uc:meta': ___, ...resumed } = await picture(broken.client);
    expect(resumed).toEqual(expected);
  });

  it('goes on after it was killed, as a command', async () => {
    const { redis, client } = await openOldData(stack);
    const env = { REDIS_URL: redis.url };
    let killed = 0;
    for (let i = 0; i < 3 && (await client.hget(keys.meta, 'schema')) === '4'; i++) {
      const { child, done, output } = runChoir(['migrate'], env, stack);
      await until('it has begun', async () => /from schema 4/.test(output()) || child.exitCode !== null);
      child.kill('SIGKILL');
      if ((await done).code === null) killed++;
    }
    expect(killed).toBeGreaterThan(0);
    expect(await runChoir(['migrate'], env, stack).done).toMatchObject({ code: 0, err: '' });
    expect(await client.hget(keys.meta, 'schema')).toBe('5');
    expect(await runChoir(['migrate'], env, stack).done).toMatchObject({
      code: 0,
      out: 'the data has schema 5: nothing to do\n',
    });
    const { operator } = await startManager(stack, SETTINGS, [], redis);
    expect((await operator.fleet()).length).toBe(operatorAnswers().children.length);
  });

  it('keeps managers out until it is done', async () => {
    const { redis, client } = await openOldData(stack);
    const start = () => startManager(stack, SETTINGS, [], redis);
    const advice = 'stop all processes and run "choir migrate"';
    await expect(start()).rejects.toThrow(advice);
    const interrupt = {
      say: () => {},
      step: () => {
        throw new Error('interrupted');
      },
    };
    await expect(migrate(client, 'uc', interrupt)).rejects.toThrow('interrupted');
    await expect(start()).rejects.toThrow(advice);
    // A manager, or a repartitioning, of the version before goes by this field.
    expect(await client.hget(keys.meta, 'repartitioning')).toBe('schema-5');
    await migrate(client, 'uc', silently);
    await start();
  });

  it('is refused while a manager is at work, and on data that it does not know', async () => {
    const { client } = await openOldData(stack);
    const time = Number((await client.time())[0]) * 1000;
    let leaseEnd = time + 60_000;
    await client.hset(keys.meta, 'alive:manager', leaseEnd);
    const growing = migrate(client, 'uc', {
      say: () => {
        leaseEnd += 3_000;
        void client.hset(keys.meta, 'alive:manager', leaseEnd);
      },
      step: () => {},
    });
    await expect(growing).rejects.toThrow('a manager is at work on this data: stop all of its processes first');
    await client.hdel(keys.meta, 'alive:manager');
    await client.hset(keys.meta, { repartitioning: 8, step: 'move' });
    await expect(migrate(client, 'uc', silently)).rejects.toThrow('run "choir repartition 8" of the version before');
    await client.hdel(keys.meta, 'repartitioning', 'step');
    await client.hset(keys.meta, 'schema', '3');
    await expect(migrate(client, 'uc', silently)).rejects.toThrow(
      'data of schema 3, and this version knows schema 5 only',
    );
    await expect(migrate(client, 'other', silently)).rejects.toThrow('there is nothing to migrate');
  });
});
