/** Law 6: what requests and ticks cost Redis, by its own count of commands. */
import { createHash } from 'node:crypto';
import { globSync } from 'node:fs';
import { basename } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readScript } from '#store/connection/lua-source.ts';
import { commandsDuring } from '#test/harness/redis/monitor.ts';
import { type Manager, startManager } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';

const stack = new AsyncDisposableStack();
let m: Manager;

beforeAll(async () => {
  m = await startManager(stack, { PARTITIONS: '4' });
});
afterAll(() => stack.disposeAsync());

const LUA = 'shared/store/lua';
/** By the digest of what Redis gets. */
const SCRIPTS = new Map(
  globSync('*/*.lua', { cwd: LUA }).map((file) => [
    createHash('sha1')
      .update(readScript(file.replace('.lua', '')))
      .digest('hex'),
    basename(file, '.lua'),
  ]),
);

/** Names of the commands, or scripts, with a child's key in them that Redis gets while `work` runs. */
async function commandsOn(key: string, work: () => Promise<unknown>): Promise<string[]> {
  const commands = await commandsDuring(Number(new URL(m.redis.url).port), work);
  return commands
    .filter((args) => args.some((arg) => arg.includes(key)))
    .map(([name = '', sha = '']) => (/^evalsha$/i.test(name) ? (SCRIPTS.get(sha) ?? sha) : name.toLowerCase()));
}

describe('law 6: costs', () => {
  it('a poll in steady state is one read and no write', async () => {
    const child = m.child('steady');
    await child.poll();
    await until('it is known', async () => (await m.operator.raw('GET', '/children/steady')).status === 200);
    const commands = await commandsOn('c:steady', async () => {
      for (let i = 0; i < 10; i++) await child.poll();
    });
    expect(commands).toEqual(Array.from({ length: 10 }, () => 'read-children'));
  });

  it('what is counted as a read only reads', () => {
    const text = readScript('children/read-children');
    expect(new Set(text.match(/redis\.call\('\w+'/g))).toEqual(new Set(["redis.call('HMGET'"]));
  });

  it('/end_stage is at most one read and no write', async () => {
    const child = m.child('asking');
    await child.poll();
    await m.operator.publish('cost');
    await until('it is known', async () => (await m.operator.raw('GET', '/children/asking')).status === 200);
    await m.operator.start('cost');
    await until('an offer', async () => (await child.poll()).new_release === 'cost');
    await child.download('cost');
    const commands = await commandsOn('c:asking', async () => {
      for (let i = 0; i < 10; i++) await child.endStage('cost', 'Canary');
    });
    // What is asked again is answered from memory, until the child changes.
    expect(commands).toEqual(['read-children']);
  });

  it('a tick, and opening a gate, touch no child', async () => {
    for (let i = 0; i < 20; i++) await m.child(`many-${i}`).poll();
    await m.operator.publish('gates');
    await until('all are known', async () => (await m.operator.raw('GET', '/children/many-19')).status === 200);
    await m.operator.start('gates');
    await until(
      'all are enrolled',
      async () => (await m.operator.show('gates')).progress.locations[0]?.children === 22,
    );
    for (const id of ['steady', 'asking', ...Array.from({ length: 19 }, (_, i) => `many-${i}`)])
      await m.child(id).result('gates', 'Canary', 2, 'Test');
    await until(
      'one is missing',
      async () => (await m.operator.show('gates')).progress.stages[0]?.SuccessWaiting === 21,
    );
    const commands = await commandsOn(':c:many-', async () => {
      await m.child('many-19').result('gates', 'Canary', 2, 'Test');
      await until('the gate is open', () => m.child('many-0').endStage('gates', 'Canary'));
    });
    // The result's own check, its apply, the asking child's reads; nothing per child.
    expect(commands.filter((command) => command !== 'read-children')).toEqual(['apply-results']);
  });
});
