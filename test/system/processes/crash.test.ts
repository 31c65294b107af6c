/** Any process may die at any time (law 7): roles as processes, killed in mid-release. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startFleet } from '#bin/simulate/fleet.ts';
import { startFront } from '#test/harness/manager/front.ts';
import { createOperator } from '#test/harness/manager/operator.ts';
import { type RoleProcess, startRole } from '#test/harness/manager/processes.ts';
import { freePort } from '#test/harness/free-port.ts';
import { startRedis } from '#test/harness/redis/redis.ts';
import { atWork, countsAreTrue, finished } from '#test/harness/plans/rollout.ts';
import { TOKEN } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';

const PARTITIONS = 4;
const CHILDREN = 30;

let stack: AsyncDisposableStack;
beforeEach(() => {
  stack = new AsyncDisposableStack();
});
afterEach(() => stack.disposeAsync());

type Roles = Record<'api' | 'worker' | 'scheduler', RoleProcess>;

async function givenRoles() {
  const redis = await startRedis(stack);
  const settings = { REDIS_URL: redis.url };
  const port = String(await freePort());
  const start = {
    api: () => startRole('api', { ...settings, PORT: port }, stack),
    worker: () => startRole('worker', settings, stack),
    scheduler: () => startRole('scheduler', settings, stack),
  };
  const roles: Roles = { api: await start.api(), worker: await start.worker(), scheduler: await start.scheduler() };
  return { redis, roles, start, operator: createOperator(roles.api.url, TOKEN) };
}

async function givenRelease(id: string) {
  const { redis, roles, start, operator } = await givenRoles();
  const fleet = startFleet({ url: roles.api.url, children: CHILDREN, factor: 3 });
  stack.defer(() => fleet.stop());
  await until('all have joined', () => Promise.resolve(fleet.stats().states.polling === CHILDREN));
  await operator.publish(id);
  await operator.start(id);
  return { redis, roles, start, operator, fleet };
}

describe('in mid-release', () => {
  it.each(['worker', 'scheduler'] as const)('a killed %s costs nothing when another takes over', async (role) => {
    const { redis, roles, start, operator, fleet } = await givenRelease(`kill-${role}`);
    await atWork(operator, `kill-${role}`);
    await roles[role].end('SIGKILL');
    const second = await start[role]();
    const view = await finished(operator, `kill-${role}`);
    expect(view.progress.children.Done).toBe(CHILDREN);
    expect(fleet.stats().bad).toBe(0);
    await countsAreTrue(redis.url, `kill-${role}`, PARTITIONS);
    expect(await second.end('SIGTERM')).toBe(0);
  });

  it('a killed API costs no result that was acknowledged', async () => {
    const { redis, roles, start, operator, fleet } = await givenRelease('kill-api');
    await atWork(operator, 'kill-api');
    await until('all wait in their stage', async () => {
      const { progress } = await operator.show('kill-api');
      return (progress.stages[0]?.SuccessWaiting ?? 0) + (progress.stages[0]?.Completed ?? 0) > 0;
    });
    // Only asking is under way then: a final result that no manager is there to take would be lost by any manager.
    await roles.scheduler.end('SIGKILL');
    await until('all wait', async () => {
      const [canary] = (await operator.show('kill-api')).progress.stages;
      return (canary?.SuccessWaiting ?? 0) === CHILDREN;
    }).catch(() => {});
    await roles.api.end('SIGKILL');
    await start.api();
    await start.scheduler();
    const view = await finished(operator, 'kill-api');
    expect(view.progress.children.Done).toBe(CHILDREN);
    expect(fleet.stats().ended).toEqual([]);
    await countsAreTrue(redis.url, 'kill-api', PARTITIONS);
  });

  it('a killed Redis costs nothing: results wait until it is back', async () => {
    const { redis, operator, fleet } = await givenRelease('kill-redis');
    await atWork(operator, 'kill-redis');
    await redis.crash();
    await redis.restart();
    const view = await finished(operator, 'kill-redis');
    expect(view.progress.children.Done).toBe(CHILDREN);
    expect(fleet.stats().ended).toEqual([]);
    // What was refused meanwhile were polls and questions, which are asked again; results and downloads never.
    for (const answer of Object.keys(fleet.stats().answers))
      expect(answer).not.toMatch(/^\/(result|release).* (?!200)/);
    await countsAreTrue(redis.url, 'kill-redis', PARTITIONS);
  });
});

describe('restarted in mid-release, with SIGTERM', () => {
  it.each(['worker', 'scheduler'] as const)('a %s loses nothing, and no request is refused', async (role) => {
    const { redis, roles, start, operator, fleet } = await givenRelease(`restart-${role}`);
    await atWork(operator, `restart-${role}`);
    for (let times = 0; times < 2; times++) {
      expect(await roles[role].end('SIGTERM')).toBe(0);
      roles[role] = await start[role]();
    }
    const view = await finished(operator, `restart-${role}`);
    expect(view.progress.children.Done).toBe(CHILDREN);
    expect([fleet.stats().bad, fleet.stats().ended]).toEqual([0, []]);
    await countsAreTrue(redis.url, `restart-${role}`, PARTITIONS);
  });

  it('two APIs, one after the other, lose nothing, and refuse no request', async () => {
    const { redis, roles, operator } = await givenRoles();
    const ports = [Number(new URL(roles.api.url).port), await freePort()];
    const startOn = (port = 0) => startRole('api', { REDIS_URL: redis.url, PORT: String(port) }, stack);
    const apis = [roles.api, await startOn(ports[1])];
    const front = await startFront(ports, stack);
    const fleet = startFleet({ url: front, children: CHILDREN, factor: 3 });
    stack.defer(() => fleet.stop());
    const behind = createOperator(front, TOKEN);
    await until('all have joined', () => Promise.resolve(fleet.stats().states.polling === CHILDREN));
    await operator.publish('restart-api');
    await operator.start('restart-api');
    await atWork(behind, 'restart-api');
    for (const [i, port] of ports.entries()) {
      expect(await apis[i]?.end('SIGTERM')).toBe(0);
      apis[i] = await startOn(port);
    }
    const view = await finished(behind, 'restart-api');
    expect(view.progress.children.Done).toBe(CHILDREN);
    const { answers, ended } = fleet.stats();
    expect(ended).toEqual([]);
    // An API that is just starting refuses polls and questions, which are asked again; nothing else is refused or lost.
    expect(Object.keys(answers).filter((answer) => !/ 200$|^\/(poll|end_stage) 503$/.test(answer))).toEqual([]);
    await countsAreTrue(redis.url, 'restart-api', PARTITIONS);
  });
});

describe('a role', () => {
  it('drains on SIGTERM: requests in hand are answered, and it exits 0', async () => {
    const { roles, fleet } = await givenRelease('drain');
    for (const role of ['scheduler', 'worker', 'api'] as const)
      expect([role, await roles[role].end('SIGTERM')]).toEqual([role, 0]);
    expect(fleet.stats().requests).toBeGreaterThan(0);
  });

  it('does not wait for connections that clients keep alive', async () => {
    const { roles } = await givenRelease('keep-alive');
    const many = startFleet({ url: roles.api.url, children: 300, factor: 30, seed: 9 });
    stack.defer(() => many.stop());
    await until('all have joined', () => Promise.resolve(many.stats().states.polling === 300));
    const began = performance.now();
    expect(await roles.api.end('SIGTERM')).toBe(0);
    // Far from the 10 s after which a process is ended by force.
    expect(performance.now() - began).toBeLessThan(6_000);
  });

  it.each<[string, Parameters<typeof startRole>[0], Record<string, string>, RegExp]>([
    ['alone without REDIS_URL', 'worker', {}, /REDIS_URL is needed to run the worker alone/],
    ['with a wrong port', 'api', { PORT: 'x', REDIS_URL: 'redis://127.0.0.1:1' }, /PORT is a whole number; it is "x"/],
    [
      'with a wrong duration',
      'scheduler',
      { FRESH_FOR: 'soon', REDIS_URL: 'redis://127.0.0.1:1' },
      /FRESH_FOR is a duration/,
    ],
    [
      'without a token beside REDIS_URL',
      'api',
      { OPERATOR_TOKEN: '', REDIS_URL: 'redis://127.0.0.1:1' },
      /OPERATOR_TOKEN is needed/,
    ],
  ])('refuses to run %s, in a sentence', async (_, role, settings, message) => {
    const refused = await startRole(role, { ...settings, PORT: settings['PORT'] ?? '0' }, stack, false);
    expect(await refused.ended).toBe(1);
    expect(refused.output()).toMatch(message);
  });

  it.each(['api', 'worker', 'scheduler'] as const)(
    'refuses to run (%s) on a port in use, in a sentence',
    async (role) => {
      const redis = await startRedis(stack);
      const taken = createServer().listen(0, '127.0.0.1');
      stack.defer(() => void taken.close());
      await once(taken, 'listening');
      const port = String((taken.address() as AddressInfo).port);
      const refused = await startRole(role, { REDIS_URL: redis.url, PORT: port }, stack, false);
      expect(await refused.ended).toBe(1);
      expect(refused.output()).toBe(`PORT ${port} is in use by another process: stop it, or set PORT to a free one\n`);
    },
  );

  it.each(['999.9.9.9', '192.0.2.1'])('refuses to run on the HOST %s, in a sentence', async (host) => {
    const settings = { HOST: host, PORT: '0', REDIS_URL: 'redis://127.0.0.1:1' };
    const refused = await startRole('api', settings, stack, false);
    expect(await refused.ended).toBe(1);
    expect(refused.output()).toBe(`HOST ${host} is no address of this machine: 0.0.0.0 stands for all of them\n`);
  });

  it('refuses another number of partitions than the data has', async () => {
    const redis = await startRedis(stack);
    const first = await startRole('worker', { REDIS_URL: redis.url }, stack);
    await first.end('SIGTERM');
    const second = await startRole('worker', { REDIS_URL: redis.url, PARTITIONS: '5' }, stack, false);
    expect(await second.ended).toBe(1);
    expect(second.output()).toMatch(/PARTITIONS is 5, but the data was laid out with 4/);
  });
});
