/** Several processes of a role on one port: one may die, all may be drained, and no request is lost. */
import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BERLIN_AREA } from '#test/harness/manager/child-client.ts';
import { type RoleProcess, startRole } from '#test/harness/manager/processes.ts';
import { startRedis, type TestRedis } from '#test/harness/redis/redis.ts';
import { until } from '#test/harness/until.ts';

const stack = new AsyncDisposableStack();
let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis(stack);
});
afterAll(() => stack.disposeAsync());

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);

type Outcome = { answered: number; refused: number; broken: string[] };

/** Polls in a closed loop on eight connections until told to stop; a connection that is refused is no request. */
function pollAlways(url: string): { outcome: Outcome; stop(): Promise<void> } {
  const outcome: Outcome = { answered: 0, refused: 0, broken: [] };
  let stopped = false;
  const loops = Array.from({ length: 8 }, async (_, i) => {
    const own = new Agent({ connections: 1 });
    const body = JSON.stringify({ id: `p-${i}`, geographic_area: BERLIN_AREA, number_of_children: 0 });
    while (!stopped)
      try {
        const answer = await request(`${url}/poll`, {
          method: 'POST',
          dispatcher: own,
          headers: { 'content-type': 'application/json' },
          body,
        });
        await answer.body.text();
        outcome.answered++;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') {
          outcome.refused++;
          await setImmediate();
        } else outcome.broken.push(String(error));
      }
    await own.destroy();
  });
  return {
    outcome,
    async stop() {
      stopped = true;
      await Promise.all(loops);
    },
  };
}

const start = (processes: string): Promise<RoleProcess> =>
  startRole('api', { REDIS_URL: redis.url, API_PROCESSES: processes, LOG_LEVEL: 'error' }, stack);

describe('several API processes', () => {
  beforeAll(async () => {
    // So that those who poll become known: otherwise each poll is a join, and the backlog grows.
    const [api, worker] = [await start('1'), await startRole('worker', { REDIS_URL: redis.url }, stack)];
    const load = pollAlways(api.url);
    await until('all are known', async () => {
      const headers = { authorization: 'Bearer test-operator-token' };
      const fleet = await fetch(`${api.url}/api/v1/children`, { headers });
      return ((await fleet.json()) as { items: unknown[] }).items.length === 8;
    });
    await load.stop();
    await Promise.all([api.end('SIGTERM'), worker.end('SIGTERM')]);
  });

  it('share a port and their metrics, and one that dies is replaced', async () => {
    const api = await start('2');
    const before = await until('there are two', async () => {
      const pids = childrenOf(api.pid);
      return pids.length === 2 && pids;
    });
    const load = pollAlways(api.url);
    await until('answers', () => Promise.resolve(load.outcome.answered > 50));
    process.kill(before[0] ?? 0, 'SIGKILL');
    await until('it is replaced', async () => {
      const pids = childrenOf(api.pid);
      return pids.length === 2 && !pids.includes(before[0] ?? 0);
    });
    const answered = load.outcome.answered;
    await until(`more answers than ${answered}`, () => Promise.resolve(load.outcome.answered > answered + 50)).catch(
      (error: Error) => {
        throw new Error(`${error.message}: ${JSON.stringify(load.outcome)}`, { cause: error });
      },
    );
    await load.stop();
    // Those in the hands of the one that was killed, and those who just came to it.
    expect(load.outcome.broken.length).toBeLessThanOrEqual(16);
    const metrics = await (await fetch(`${api.url}/metrics`)).text();
    const counted = Number(/choir_requests_total\{route="\/poll",status="2xx"[^}]*\} (\d+)/.exec(metrics)?.[1]);
    // The dead one has taken its own count with it.
    expect(counted, metrics).toBeGreaterThanOrEqual(load.outcome.answered - answered);
    expect(metrics.match(/# HELP choir_requests_total/g)).toHaveLength(1);
    expect(await api.end('SIGTERM')).toBe(0);
  });

  it.each(['1', '2'])('drain on SIGTERM: no request in flight is lost (%s processes)', async (processes) => {
    const api = await start(processes);
    const load = pollAlways(api.url);
    await until('answers', () => Promise.resolve(load.outcome.answered > 100));
    expect(await api.end('SIGTERM')).toBe(0);
    await load.stop();
    expect(load.outcome.broken).toEqual([]);
  });

  it('end when their parent is killed', async () => {
    const api = await start('2');
    const pids = childrenOf(api.pid);
    expect(pids).toHaveLength(2);
    await api.end('SIGKILL');
    await until('none is left', async () => pids.every((pid) => !isAlive(pid)));
  });

  it('refuse a wrong setting once, before any is started', async () => {
    const api = await startRole('api', { REDIS_URL: redis.url, API_PROCESSES: '0' }, stack, false);
    expect(await api.ended).toBe(1);
    expect(api.output().match(/API_PROCESSES/g)).toHaveLength(1);
  });
});

describe('several workers', () => {
  it('apply what children send, and one that dies is replaced', async () => {
    const api = await start('1');
    const worker = await startRole(
      'worker',
      { REDIS_URL: redis.url, WORKER_PROCESSES: '2', LOG_LEVEL: 'error' },
      stack,
    );
    const before = childrenOf(worker.pid);
    expect(before).toHaveLength(2);
    for (const [i, victim] of before.entries()) {
      process.kill(victim, 'SIGKILL');
      const id = `late-${i}`;
      await request(`${api.url}/poll`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ id, geographic_area: BERLIN_AREA, number_of_children: 0 }),
      }).then((answer) => answer.body.text());
      await until(`${id} is known`, async () => {
        const headers = { authorization: 'Bearer test-operator-token' };
        return (await fetch(`${api.url}/api/v1/children/${id}`, { headers })).ok;
      });
    }
    await until('both are replaced', async () => {
      const now = childrenOf(worker.pid);
      return now.length === 2 && now.every((pid) => !before.includes(pid));
    });
    expect(await worker.end('SIGTERM')).toBe(0);
    await api.end('SIGTERM');
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
