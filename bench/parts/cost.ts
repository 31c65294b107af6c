/** CPU time of each process for each kind of request: what docs/scale.md computes with. Linux only (/proc). */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { enrolAll } from '../lib/fleet.ts';
import { load } from '../lib/load.ts';
import type { Part, Row } from '../lib/part.ts';
import { countOf, downloadAll, openRedis, populate } from '../lib/populate.ts';
import { startManager, startRedisServer } from '../lib/processes.ts';
import { figure } from '../lib/stats.ts';

const CHILDREN = 20_000;
const CONNECTIONS = 200;
const TICKS_PER_SECOND = 100;
const CHECK_MS = 20;

/** Seconds of CPU that a process has used. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** The processes that are measured, by name. */
type Pids = Record<'API' | 'Redis' | 'worker', number>;
/** `prepare` isn't counted; `work` gives how many requests it made. */
type Work = { work(round: number): Promise<number>; prepare?(round: number): Promise<void> };

async function measure(pids: Pids, rounds: number, what: string, { work, prepare }: Work): Promise<Row[]> {
  const spent: Record<string, number[]> = { API: [], Redis: [], worker: [] };
  await prepare?.(0);
  await work(0);
  for (let round = 1; round <= rounds; round++) {
    await prepare?.(round);
    const before = Object.values(pids).map(cpuOf);
    const requests = await work(round);
    Object.entries(pids).forEach(([name, pid], i) =>
      spent[name]?.push(((cpuOf(pid) - (before[i] ?? 0)) / requests) * 1e6),
    );
  }
  return Object.entries(spent).map(([name, values]) => ({
    part: 'cost',
    what: `${what}: ${name}`,
    unit: 'µs',
    value: figure(values),
    baseline: null,
    ratio: null,
    target: null,
  }));
}

export const cost: Part = {
  name: 'cost',
  about: 'CPU time for each kind of request',
  async run({ rounds }) {
    await using stack = new AsyncDisposableStack();
    const server = await startRedisServer(stack);
    const redis = await openRedis(stack, server.url);
    await populate(redis, 'c', 0, CHILDREN);
    const manager = await startManager(stack, server.url, { FRESH_FOR: '1h' });
    const pids = { API: manager.pid, Redis: server.pid, worker: manager.worker };
    const fleet = { port: manager.port, connections: CONNECTIONS, prefix: 'c', longIds: true, children: CHILDREN };
    const enrol = async (release: string): Promise<void> => {
      await enrolAll(manager.url, release, CHILDREN);
      await downloadAll(redis, 'c', CHILDREN, release);
    };

    const polls = await measure(pids, rounds, 'poll', {
      async work() {
        await load({ ...fleet, path: '/poll', body: 'poll', count: 3 * CHILDREN });
        return 3 * CHILDREN;
      },
    });
    await enrol('cost');
    const asks = await measure(pids, rounds, 'end_stage', {
      async work() {
        const asked = { path: '/end_stage', body: 'end_stage', release: 'cost', stage: 'Canary' } as const;
        await load({ ...fleet, ...asked, count: 3 * CHILDREN });
        return 3 * CHILDREN;
      },
    });
    const results = await measure(pids, rounds, 'result', {
      async work(round) {
        const release = `cost-${round}`;
        const task = { ...fleet, path: '/result', body: 'result', release, stage: 'Canary', next: 'Test' } as const;
        await load({ ...task, count: CHILDREN });
        while ((await countOf(redis, release, 's0.2')) < CHILDREN) await sleep(CHECK_MS);
        return CHILDREN;
      },
      prepare: (round) => enrol(`cost-${round}`),
    });
    let known = CHILDREN;
    const joins = await measure(pids, rounds, 'join', {
      async work() {
        await load({ ...fleet, path: '/poll', body: 'join', count: CHILDREN });
        known += CHILDREN;
        while ((await redis.children.count()) < known) await sleep(CHECK_MS);
        return CHILDREN;
      },
    });
    return [...polls, ...asks, ...results, ...joins];
  },
};
