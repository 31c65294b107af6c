/** Redis' bytes per child: joined, and with one release of three stages finished. Areas of five points. */
import { PRESETS } from '#domain/plan/presets.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { partitionOf } from '#domain/ids.ts';
import { publishedRollout, type Rollout, startRollout } from '#domain/rollout/rollout.ts';
import { NO_NEXT } from '#domain/child/report.ts';
import { packNumbers } from '#domain/child/summary.ts';
import { longId } from '../load/bodies.ts';
import { compared, type Part, type Row } from '../lib/part.ts';
import { keys, openRedis, PARTITIONS, populate, type Redis } from '../lib/populate.ts';
import { startRedis } from '../lib/processes.ts';
import { STAGES } from '../lib/release.ts';

const AT_ONCE = 200;
const SETTLED_MS = 250;
const IDLE_MS = 3_500;
const NOISE_BYTES = 50_000;

/**
 * After Redis' tables have grown to their new size (while they do, it keeps both), and its buffers for the connection that
 * filled it have shrunk again, which they do after two idle seconds.
 */
async function usedMemory({ client }: Redis): Promise<number> {
  const used = async (): Promise<number> => Number(/^used_memory:(\d+)/m.exec(await client.info('memory'))?.[1]);
  await sleep(IDLE_MS);
  for (let before = await used(); ;) {
    await sleep(SETTLED_MS);
    const now = await used();
    if (Math.abs(now - before) < NOISE_BYTES) return now;
    before = now;
  }
}

function running(): Rollout {
  const plan = PRESETS['global-incremental'];
  const stages = STAGES.map((name) => ({ name, type: 'WaitForSignal' as const }));
  return startRollout(publishedRollout({ release: '21', shortId: '1', stages, plan }), plan, Date.now() + 60_000, 0);
}

async function finishAll(redis: Redis, children: number): Promise<void> {
  const rollout = running();
  for (let p = 0; p < PARTITIONS; p++) while (!(await redis.enrolment.enrolFleet(p, rollout)));
  const byPartition = Map.groupBy(
    Array.from({ length: children }, (_, n) => n),
    (n) => partitionOf(longId('m', n), PARTITIONS),
  );
  const summary = (n: number): string =>
    packNumbers([
      8.24175 + (n % 97),
      7.03625,
      21.592958,
      7.912958,
      6.979334,
      19.588959,
      8.200792,
      7.104208,
      21.5505,
      0.001,
      0.002,
    ]);
  const courses = [
    { stage: 0, status: 2, next: 1 },
    { stage: 0, status: 4, next: 1 },
    { stage: 1, status: 4, next: 2 },
    { stage: 2, status: 2, next: NO_NEXT },
    { stage: 2, status: 4, next: NO_NEXT },
  ] as const;
  for (const [p, numbers] of byPartition)
    for (let i = 0; i < numbers.length; i += AT_ONCE)
      await redis.children.applyAll(
        p,
        numbers.slice(i, i + AT_ONCE).map((n) => ({
          kind: 'result',
          release: rollout.release,
          shortId: rollout.shortId,
          id: longId('m', n),
          at: Date.now(),
          attempt: 1,
          reports: courses.map((course) => ({ ...course, digest: '0123456789ab', summary: summary(n) })),
        })),
      );
}

async function baselineBytes(stack: AsyncDisposableStack, children: number): Promise<number> {
  const redis = await openRedis(stack, await startRedis(stack, 'no'));
  const before = await usedMemory(redis);
  for (let n = 0; n < children; n += 1_000) {
    const pipeline = redis.client.pipeline();
    for (let i = n; i < Math.min(children, n + 1_000); i++) {
      const id = longId('m', i);
      pipeline.hset(keys.child(partitionOf(id, PARTITIONS), id), 'f', '1');
    }
    await pipeline.exec();
  }
  return ((await usedMemory(redis)) - before) / children;
}

export const memory: Part = {
  name: 'memory',
  about: 'bytes per child in Redis',
  async run({ quick, say }) {
    const rows: Row[] = [];
    const first = { joined: 0, finished: 0 };
    for (const children of quick ? [10_000, 100_000] : [10_000, 100_000, 1_000_000]) {
      await using stack = new AsyncDisposableStack();
      const size = children.toLocaleString('en');
      say(`  ${size} children`);
      const baseline = { what: 'a hash with one byte', values: [await baselineBytes(stack, children)] };
      const redis = await openRedis(stack, await startRedis(stack, 'no'));
      const empty = await usedMemory(redis);
      await populate(redis, 'm', 0, children);
      const joined = ((await usedMemory(redis)) - empty) / children;
      await finishAll(redis, children);
      const finished = ((await usedMemory(redis)) - empty) / children;
      first.joined ||= joined;
      first.finished ||= finished;
      const row = { part: 'memory', unit: 'bytes' };
      rows.push(
        compared({ ...row, what: `joined, at ${size}`, target: { atMostBytes: 400 } }, [joined], baseline),
        compared(
          { ...row, what: `a release finished, at ${size}`, target: { atMostBytes: 750 } },
          [finished],
          baseline,
        ),
      );
      if (joined === first.joined) continue;
      const same = { what: 'at 10,000', values: [first.finished] };
      rows.push(
        compared({ ...row, what: `a release finished, at ${size}`, target: { atMost: 1.05 } }, [finished], same),
      );
    }
    return rows;
  },
};
