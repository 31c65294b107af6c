/**
 * Held answers: requests a second that they save, what a held request costs in memory, and the time from a gate that opens
 * to the last of its children's answers.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { enrolAll, operator } from '../lib/fleet.ts';
import { holdMany } from '../lib/hold.ts';
import { type Part, type Row } from '../lib/part.ts';
import { countOf, downloadAll, keys, openRedis, populate } from '../lib/populate.ts';
import { startManager, startRedis } from '../lib/processes.ts';
import { figure, ratio } from '../lib/stats.ts';
import { longId, resultBody } from '../load/bodies.ts';

const HOLD_MS = 30_000;
const PACE_MS = 1_000;
const COUNTED_S = 10;
const HELD = 15_000;

const rssOf = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;

type Measured = { perSecond: number; bytes: number; all: number; median: number };

async function measure(holdMs: number, children: number): Promise<Measured> {
  await using stack = new AsyncDisposableStack();
  const url = await startRedis(stack);
  const redis = await openRedis(stack, url);
  await populate(redis, 'h', 0, children);
  const manager = await startManager(stack, url, { FRESH_FOR: '1h', HOLD_MS: String(holdMs) });
  await enrolAll(manager.url, 'held', children);
  await downloadAll(redis, 'h', children, 'held');
  // All but the first one wait already.
  await redis.client.hincrby(keys.agg(0, 'held'), 's0.2', children - 1 - (await countOf(redis, 'held', 's0.2')));
  for (let i = 1; i < children; i += 500)
    await Promise.all(
      Array.from({ length: Math.min(500, children - i) }, (_, n) => {
        const id = longId('h', i + n);
        const p = redis.children.partition(id);
        return redis.client.hset(keys.child(p, id), '1', '2 1 1 0 200 000 all');
      }),
    );
  const before = rssOf(manager.pid);
  const fleet = holdMany({
    port: manager.port,
    children,
    prefix: 'h',
    release: 'held',
    stage: 'Canary',
    paceMs: PACE_MS,
  });
  stack.defer(fleet.stop);
  await fleet.connected;
  await sleep(2_000);
  const counted = fleet.asked();
  await sleep(COUNTED_S * 1_000);
  const perSecond = (fleet.asked() - counted) / COUNTED_S;
  const bytes = (rssOf(manager.pid) - before) / children;
  const last = resultBody(longId('h', 0), 'held', 'Canary', 2, 'Test');
  const opened = performance.now();
  await fetch(`${manager.url}/result`, { method: 'POST', body: last, headers: { 'content-type': 'application/json' } });
  const times = (await fleet.through).map((at) => at - opened).sort((a, b) => a - b);
  await operator(manager.url, 'POST', '/releases/held/abort', {});
  return { perSecond, bytes, all: times.at(-1) ?? NaN, median: times[Math.floor(times.length / 2)] ?? NaN };
}

export const hold: Part = {
  name: 'hold',
  about: 'held answers (HOLD_MS)',
  async run({ quick, say }) {
    const children = quick ? 2_000 : HELD;
    say(`  ${children.toLocaleString('en')} children ask each second, and are held`);
    const asking = await measure(0, children);
    const held = await measure(HOLD_MS, children);
    const row = (what: string, unit: string, value: number, other: number | null): Row => ({
      part: 'hold',
      what,
      unit,
      value: figure([value]),
      baseline: other === null ? null : { what: 'not held', value: figure([other]) },
      ratio: other === null ? null : ratio([value], [other]),
      target: null,
    });
    return [
      row(`${children.toLocaleString('en')} children in a stage`, 'requests/s', held.perSecond, asking.perSecond),
      row('memory of the API per held request', 'bytes', held.bytes, asking.bytes),
      row('from the last result to the median child', 'ms', held.median, asking.median),
      row('from the last result to the last child', 'ms', held.all, asking.all),
    ];
  },
};
