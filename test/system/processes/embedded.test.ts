/** `npm start` without REDIS_URL: a Redis of its own, state that survives anything, one manager per DATA_DIR. */
import { untilReady } from '#store/connection/client.ts';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createChildClient } from '#test/harness/manager/child-client.ts';
import { createOperator } from '#test/harness/manager/operator.ts';
import { startRole } from '#test/harness/manager/processes.ts';
import { connectRedis } from '#store/connection/redis.ts';
import { freePort } from '#test/harness/free-port.ts';
import { startLocalRedis } from '#test/harness/redis/redis.ts';
import { TOKEN } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';

let stack: AsyncDisposableStack;
let dir: string;
beforeEach(() => {
  stack = new AsyncDisposableStack();
  dir = mkdtempSync(join(tmpdir(), 'choir-data-'));
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  stack.defer(() => {
    const pid = redisPid();
    if (pid !== null) process.kill(pid, 'SIGKILL');
  });
});
afterEach(() => stack.disposeAsync());

function redisPid(): number | null {
  const file = join(dir, 'redis.pid');
  if (!existsSync(file)) return null;
  const pid = Number(readFileSync(file, 'utf8'));
  try {
    process.kill(pid, 0);
    return pid;
  } catch {
    return null;
  }
}

async function strangerPid(url: string): Promise<number> {
  const client = connectRedis(url, 'work', () => {});
  try {
    await untilReady(client);
    return Number(/process_id:(\d+)/.exec(await client.info('server'))?.[1]);
  } finally {
    client.disconnect();
  }
}

async function start(more: Record<string, string> = {}) {
  const port = String(await freePort());
  const manager = await startRole('all', { DATA_DIR: dir, PORT: port, ...more }, stack);
  return { manager, operator: createOperator(manager.url, TOKEN), child: createChildClient(manager.url, 'c1') };
}

describe('the embedded Redis', () => {
  it('keeps state over a clean stop, and is stopped last', async () => {
    const first = await start();
    await first.operator.publish('kept');
    await first.child.poll();
    await until('the child is known', async () => (await first.operator.raw('GET', '/children/c1')).status === 200);
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    expect(statSync(join(dir, 'redis.sock')).mode & 0o777).toBe(0o700);
    expect(await first.manager.end('SIGTERM')).toBe(0);
    await until('its Redis has ended', () => Promise.resolve(redisPid() === null));
    const second = await start();
    expect((await second.operator.show('kept')).state).toBe('published');
    expect((await second.operator.raw('GET', '/children/c1')).status).toBe(200);
    expect(await second.manager.end('SIGINT')).toBe(0);
  });

  it.each(['with', 'without'])('keeps state when everything is killed, %s the embedded server', async (mode) => {
    const first = await start();
    await first.child.poll();
    await until('the child is known', async () => (await first.operator.raw('GET', '/children/c1')).status === 200);
    await first.operator.publish('killed');
    await first.operator.start('killed');
    await until('an offer', async () => (await first.child.poll()).new_release === 'killed');
    await first.child.download('killed');
    expect((await first.child.result('killed', 'Canary', 2, 'Test')).status).toBe(200);
    const pid = redisPid();
    await first.manager.end('SIGKILL');
    if (mode === 'with' && pid !== null) process.kill(pid, 'SIGKILL');
    const second = await start();
    const child = createChildClient(second.manager.url, 'c1');
    await until('the gate opens', () => child.endStage('killed', 'Canary'));
    expect((await second.operator.show('killed')).progress.children.Doing).toBe(1);
    if (mode === 'without' && pid !== null) expect(redisPid()).not.toBe(pid);
  });

  it('leaves a stranger’s Redis alone whose pid stands in redis.pid', async () => {
    const stranger = await startLocalRedis(stack);
    const pid = await strangerPid(stranger.url);
    writeFileSync(join(dir, 'redis.pid'), `${pid}\n`);
    const { manager } = await start();
    expect((await fetch(`${manager.url}/readyz`)).status).toBe(200);
    expect(await strangerPid(stranger.url)).toBe(pid);
  });

  it('is started again when it dies', async () => {
    const { operator, child } = await start();
    await child.poll();
    const pid = redisPid();
    if (pid === null) throw new Error('no Redis');
    process.kill(pid, 'SIGKILL');
    await until('it is back', async () => {
      const reply = await operator.raw('GET', '/children/c1').catch(() => null);
      return reply?.status === 200 && redisPid() !== pid;
    });
  });

  it('takes a DATA_DIR whose path is too long for a socket', async () => {
    const deep = join(dir, 'a'.repeat(60), 'b'.repeat(60));
    const { manager } = await start({ DATA_DIR: deep });
    expect((await fetch(`${manager.url}/readyz`)).status).toBe(200);
    expect(await manager.end('SIGTERM')).toBe(0);
  });
});

describe('DATA_DIR', () => {
  it('is refused to a second manager, in a sentence', async () => {
    const first = await start();
    const second = await startRole('all', { DATA_DIR: dir, PORT: '0' }, stack, false);
    expect(await second.ended).toBe(1);
    expect(second.output()).toMatch(/DATA_DIR .* is in use by another manager/);
    expect((await fetch(`${first.manager.url}/readyz`)).status).toBe(200);
  });

  it('keeps the token that was made at the first start', async () => {
    const first = await start({ OPERATOR_TOKEN: '' });
    const token = readFileSync(join(dir, 'operator-token'), 'utf8').trim();
    expect(token.length).toBeGreaterThan(20);
    await until('it is printed', () => Promise.resolve(first.manager.output().includes(token)));
    expect((await createOperator(first.manager.url, token).raw('GET', '/releases')).status).toBe(200);
    await first.manager.end('SIGTERM');
    const second = await start({ OPERATOR_TOKEN: '' });
    await until('it is printed again', () => Promise.resolve(second.manager.output().includes(token)));
  });
});

describe('RELEASES_DIR', () => {
  it('is published at the start', async () => {
    const { operator } = await start({ RELEASES_DIR: 'examples/releases' });
    expect(await operator.show('sieve-2')).toMatchObject({ state: 'published', warnings: [] });
  });
});

describe('signals', () => {
  it('ignores the copy that a terminal sends right after, and drains', async () => {
    const { manager } = await start();
    process.kill(manager.pid, 'SIGINT');
    process.kill(manager.pid, 'SIGINT');
    expect(await manager.ended).toBe(0);
    await until('its Redis has ended', () => Promise.resolve(redisPid() === null));
  });
});
