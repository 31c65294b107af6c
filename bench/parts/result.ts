/** Results, accepted and applied, beside the naive pipeline: one BullMQ job per result, concurrency 50, the same Lua. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Outcome } from '../load/task.ts';
import { enrolAll } from '../lib/fleet.ts';
import { load } from '../lib/load.ts';
import { alternate, compared, type Part } from '../lib/part.ts';
import { countOf, downloadAll, openRedis, populate, type Redis } from '../lib/populate.ts';
import { type Roles, spawnAt, startManager, startNode, startRedis } from '../lib/processes.ts';

const CHILDREN = 20_000;
const SUBMIT = fileURLToPath(new URL('../load/submit.ts', import.meta.url));
const CHECK_MS = 5;
const IN_FLIGHT = 1_000;

type Bed = { manager: Roles; redis: Redis; naive: { port: number } };

async function makeBed(stack: AsyncDisposableStack, fsync: 'always' | 'everysec', withNaive: boolean): Promise<Bed> {
  const url = await startRedis(stack, fsync);
  const redis = await openRedis(stack, url);
  await populate(redis, 'r', 0, CHILDREN);
  // What is applied is measured; nobody is to be found silent meanwhile.
  const manager = await startManager(stack, url, { FRESH_FOR: '1h' });
  const env = { REDIS_URL: url };
  if (!withNaive) return { manager, redis, naive: { port: 0 } };
  const naive = await startNode(stack, 'subject', { file: 'bench/baselines/naive-api.ts', env });
  await startNode(stack, 'rest', { file: 'bench/baselines/naive-worker.ts', env });
  return { manager, redis, naive };
}

let serial = 0;

/** A new release with the whole fleet in its first stage. */
async function underway({ manager, redis }: Pick<Bed, 'manager' | 'redis'>): Promise<string> {
  const release = `res-${serial++}`;
  await enrolAll(manager.url, release, CHILDREN);
  await downloadAll(redis, 'r', CHILDREN, release);
  return release;
}

/** How many a second: from the first request until every child's first result is applied. */
async function timed({ manager, redis }: Bed, send: (release: string) => Promise<Outcome>): Promise<number> {
  const release = await underway({ manager, redis });
  const { startedAt } = await send(release);
  while ((await countOf(redis, release, 's0.2')) < CHILDREN) await sleep(CHECK_MS);
  return CHILDREN / ((Date.now() - startedAt) / 1000);
}

const overHttp =
  (port: number) =>
  (release: string): Promise<Outcome> =>
    load({
      port,
      path: '/result',
      body: 'result',
      prefix: 'r',
      longIds: true,
      children: CHILDREN,
      count: CHILDREN,
      connections: 1_000,
      release,
      stage: 'Canary',
      next: 'Test',
    });

const fromMessages =
  ({ manager, redis }: Bed, kind: 'naive' | 'ours') =>
  async (release: string): Promise<number> => {
    const shortId = (await redis.releases.rollout(release))?.shortId ?? '';
    const task = { prefix: 'r', from: 0, count: CHILDREN, release, shortId, inFlight: IN_FLIGHT };
    const child = spawnAt('subject', process.execPath, [SUBMIT, kind, JSON.stringify(task)], {
      env: { PATH: process.env['PATH'] ?? '', REDIS_URL: manager.redis },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    if (child.stdout === null || child.stdin === null) throw new Error('no pipes');
    const ended = once(child, 'exit');
    await once(child.stdout, 'data');
    const start = performance.now();
    child.stdin.write('go\n');
    while ((await countOf(redis, release, 's0.2')) < CHILDREN) await sleep(CHECK_MS);
    const perSecond = CHILDREN / ((performance.now() - start) / 1000);
    await ended;
    return perSecond;
  };

export const result: Part = {
  name: 'result',
  about: 'accepted and applied, beside one job per result',
  async run({ rounds }) {
    await using stack = new AsyncDisposableStack();
    const bed = await makeBed(stack, 'everysec', true);
    const durable = await makeBed(stack, 'always', false);
    const http = await alternate(rounds, {
      ours: () => timed(bed, overHttp(bed.manager.port)),
      always: () => timed(durable, overHttp(durable.manager.port)),
      naive: () => timed(bed, overHttp(bed.naive.port)),
    });
    const message = async (kind: 'naive' | 'ours'): Promise<number> => fromMessages(bed, kind)(await underway(bed));
    const messages = await alternate(rounds, { ours: () => message('ours'), naive: () => message('naive') });
    const row = { part: 'result', unit: '/s' };
    const naive = 'a job per result';
    return [
      compared({ ...row, what: 'over HTTP, everysec', target: { atLeast: 3 } }, http.ours, {
        what: naive,
        values: http.naive,
      }),
      compared({ ...row, what: 'from the message, everysec', target: { atLeast: 8 } }, messages.ours, {
        what: naive,
        values: messages.naive,
      }),
      compared({ ...row, what: 'over HTTP, always', target: { atLeast: 0.7 } }, http.always, {
        what: 'everysec',
        values: http.ours,
      }),
    ];
  },
};
