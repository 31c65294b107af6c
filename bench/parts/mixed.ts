/**
 * The real pace: half of the fleet polls every 3 s, half is in a stage, asks each second and sends a result twice a minute.
 * The largest fleet that is held without an error and with p99 below 100 ms, beside what `poll` and `end_stage` alone, each
 * measured in a closed loop in the same round, allow at that pace.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { enrolAll } from '../lib/fleet.ts';
import { load, pace } from '../lib/load.ts';
import { compared, type Part } from '../lib/part.ts';
import { downloadAll, openRedis, populate } from '../lib/populate.ts';
import { startManager, startRedis } from '../lib/processes.ts';
import type { Outcome } from '../load/task.ts';

/** As many as the generator keeps requests for; a larger fleet is these at a faster pace. */
const CHILDREN = 20_000;
const CONNECTIONS = 1_000;
/** Requests a second of one child, on average over the fleet. */
const RATE = { poll: 0.5 / 3, ask: 0.5, result: 0.5 / 30 } as const;
const P99_MS = 100;
/** Shares of what poll and end_stage alone allow that are tried, upwards. */
const STEPS = [0.5, 0.6, 0.7, 0.8, 0.9, 1];

export const mixed: Part = {
  name: 'mixed',
  about: 'a fleet at its real pace',
  async run({ rounds, seconds, say }) {
    await using stack = new AsyncDisposableStack();
    const url = await startRedis(stack);
    const redis = await openRedis(stack, url);
    await populate(redis, 'x', 0, CHILDREN);
    const { url: at, port } = await startManager(stack, url, { FRESH_FOR: '1h' });
    await enrolAll(at, 'mixed', CHILDREN);
    await downloadAll(redis, 'x', CHILDREN, 'mixed');
    const fleet = { prefix: 'x', longIds: true, children: CHILDREN, release: 'mixed', stage: 'Canary', next: 'Test' };
    const polls = { ...fleet, path: '/poll', body: 'poll' } as const;
    const asks = { ...fleet, path: '/end_stage', body: 'end_stage' } as const;
    const results = { ...fleet, path: '/result', body: 'result' } as const;

    const hold = (children: number): Promise<Outcome> =>
      pace({
        port,
        connections: CONNECTIONS,
        seconds: seconds * 2,
        streams: [
          { ...polls, perSecond: children * RATE.poll },
          { ...asks, perSecond: children * RATE.ask },
          { ...results, perSecond: children * RATE.result },
        ],
      });
    async function round(): Promise<{ held: number; alone: number }> {
      const poll = (await load({ ...polls, port, seconds })).perSecond;
      const ask = (await load({ ...asks, port, seconds })).perSecond;
      const alone = 1 / (RATE.poll / poll + RATE.ask / ask);
      let held = 0;
      for (const step of STEPS) {
        const children = Math.floor(alone * step);
        const { failed, firstFailure, p99, perSecond } = await hold(children);
        const due = children * (RATE.poll + RATE.ask + RATE.result);
        say(`  ${children.toLocaleString('en')} children: p99 ${p99.toFixed(1)} ms, ${failed} errors ${firstFailure}`);
        // A generator that is itself behind has not tried that fleet.
        if (failed > 0 || p99 > P99_MS || perSecond < 0.98 * due) break;
        held = alone * step;
        await sleep(100);
      }
      return { held, alone };
    }
    await round();
    const all: { held: number; alone: number }[] = [];
    for (let i = 0; i < Math.min(rounds, 3); i++) all.push(await round());
    return [
      compared(
        { part: 'mixed', what: 'held at the real pace', unit: 'children', target: { atLeast: 0.8 } },
        all.map(({ held }) => held),
        { what: 'poll and end_stage alone', values: all.map(({ alone }) => alone) },
      ),
    ];
  },
};
