/** Starting: what is refused leaves nothing behind, and of two that are in one another's way one runs. */
import { untilReady, type Client } from '#store/connection/client.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createKeys } from '#store/layout/keys.ts';
import { underLock } from '#store/connection/lock.ts';
import { connectRedis } from '#store/connection/redis.ts';
import { createOperator } from '#test/harness/manager/operator.ts';
import { type Manager, startManager, TOKEN } from '#test/harness/manager/stack.ts';

const stack = new AsyncDisposableStack();
const keys = createKeys('uc');
let m: Manager;
let client: Client;
beforeAll(async () => {
  m = await startManager(stack, {}, []);
  client = connectRedis(m.redis.url, 'work', () => {});
  stack.defer(() => client.disconnect());
  await untilReady(client);
});
afterAll(() => stack.disposeAsync());

const start = (id: string, operator = m.operator) => operator.raw('POST', `/releases/${id}/start`, {});

describe('starting', () => {
  it('that is refused leaves nothing behind', async () => {
    for (const id of ['first', 'second']) await m.operator.publish(id, 'shared');
    await m.operator.publish('over');
    await m.operator.abort('over');
    expect((await start('first')).status).toBe(200);
    expect((await start('second')).status).toBe(409);
    expect((await start('over')).status).toBe(409);
    expect(await client.smembers(keys.unfinished)).toEqual(['first']);
    expect(await client.exists(keys.starts)).toBe(0);
  });

  it('of releases that are in one another’s way, at once and on two processes, lets exactly one run', async () => {
    const other = createOperator(await m.startApi(), TOKEN);
    for (let round = 0; round < 25; round++) {
      const ids = ['a', 'b', 'c'].map((letter) => `${letter}-${round}`);
      for (const id of ids) await m.operator.publish(id, `f-${round}`);
      const replies = await Promise.all(ids.map((id, i) => start(id, i % 2 === 0 ? m.operator : other)));
      expect(replies.map(({ status }) => status).sort((a, b) => a - b)).toEqual([200, 409, 409]);
      for (const { status, text } of replies) if (status === 409) expect(text).toContain('conflicting-release');
      const states = await Promise.all(ids.map(async (id) => (await m.operator.show(id)).state));
      expect(states.sort()).toEqual(['published', 'published', 'running']);
    }
  });

  it('waits for another start for a while, and no longer', async () => {
    await m.operator.publish('waits');
    await client.set(keys.starts, 'another', 'PX', 10_000);
    const refused = await start('waits');
    expect([refused.status, refused.text]).toEqual([409, expect.stringContaining('changed-meanwhile')]);
    // It was somebody else's, and is so still.
    expect(await client.get(keys.starts)).toBe('another');
    await client.set(keys.starts, 'another', 'PX', 300);
    expect((await start('waits')).status).toBe(200);
  });
});

describe('a lock', () => {
  it('that ran out is not taken from who has it then', async () => {
    await underLock(client, 'lock', () => client.set('lock', 'another'));
    expect(await client.get('lock')).toBe('another');
    await client.del('lock');
    await expect(underLock(client, 'lock', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await underLock(client, 'lock', (holds) => Promise.resolve(holds()))).toEqual({ value: true });
  });
});
