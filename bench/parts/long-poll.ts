/**
 * Long polls: requests a second that they save, what a parked request costs in memory, and the time from a gate that opens
 * to the last of its children's answers.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { enrolAll, operator } from '../lib/fleet.ts';
import { parkMany } from '../lib/long-poll.ts';
import { type Part, type Row } from '../lib/part.ts';
import { countOf, downloadAll, keys, openRedis, populate } from '../lib/populate.ts';
import { startManager, startRedis } from '../lib/processes.ts';
import { figure, ratio } from '../lib/stats.ts';
import { longId, resultBody } from '../load/bodies.ts';

const LONG_POLL_MS = 30_000;
const PACE_MS = 1_000;
const COUNTED_S = 10;
const HELD = 15_000;

const rssOf = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;

type Measured = { perSecond: number; bytes: number; all: number; median: number };

async function measure(longPollMs: number, children: number): Promise<Measured> {
  await using stack = new AsyncDisposableStack();
  const url = await startRedis(stack);
  const redis = await openRedis(stack, url);
  await populate(redis, 'h', 0, children);
  const manager = await startManager(stack, url, { FRESH_FOR: '1h', LONG_POLL_MS: String(longPollMs) });
  await enrolAll(manager.url, 'parked', children);
  await downloadAll(redis, 'h', children, 'parked');
  // All but the first one wait already.
  await redis.client.hincrby(keys.agg(0, 'parked'), 's0.2', children - 1 - (await countOf(redis, 'parked', 's0.2')));
  for (let i = 1; i < children; i += 500)
    await Promise.all(
      Array.from({ length: Math.min(500, children - i) }, (_, n) => {
        const id = longId('h', i + n);
        const p = redis.children.partition(id);
        return redis.client.hset(keys.child(p, id), '1', '2 1 1 0 200 000 all');
      }),
    );
  const before = rssOf(manager.pid);
  const fleet = parkMany({
    port: manager.port,
    children,
    prefix: 'h',
    release: 'parked',
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
  const last = resultBody(longId('h', 0), 'parked', { stage: 'Canary', status: 2, next: 'Test' });
  const opened = performance.now();
  await fetch(`${manager.url}/result`, { method: 'POST', body: last, headers: { 'content-type': 'application/json' } });
  const times = (await fleet.through).map((at) => at - opened).sort((a, b) => a - b);
  await operator(manager.url, 'POST', '/releases/parked/abort', {});
  return { perSecond, bytes, all: times.at(-1) ?? NaN, median: times[Math.floor(times.length / 2)] ?? NaN };
}

export const longPoll: Part = {
  name: 'long-poll',
  about: 'long polls (LONG_POLL_MS)',
  async run({ quick, say }) {
    const children = quick ? 2_000 : HELD;
    say(`  ${children.toLocaleString('en')} children ask each second, and are parked`);
    const asking = await measure(0, children);
    const parked = await measure(LONG_POLL_MS, children);
    const row = (what: string, unit: string, value: number, other: number | null): Row => ({
      part: 'long-poll',
      what,
      unit,
      value: figure([value]),
      baseline: other === null ? null : { what: 'without', value: figure([other]) },
      ratio: other === null ? null : ratio([value], [other]),
      target: null,
    });
    return [
      row(`${children.toLocaleString('en')} children in a stage`, 'requests/s', parked.perSecond, asking.perSecond),
      row('memory of the API per parked request', 'bytes', parked.bytes, asking.bytes),
      row('from the last result to the median child', 'ms', parked.median, asking.median),
      row('from the last result to the last child', 'ms', parked.all, asking.all),
    ];
  },
};
