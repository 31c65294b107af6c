/** A plan's course doesn't depend on who is there to carry it out: schedulers and workers come and go in the middle. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startFleet } from '#bin/simulate/fleet.ts';
import { insideRegion, regionName, regionSquares } from '#test/harness/plans/regions.ts';
import { countsAreTrue } from '#test/harness/plans/rollout.ts';
import { type Manager, startManager } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';

let stack: AsyncDisposableStack;
let m: Manager;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  m = await startManager(stack, {}, []);
});
afterEach(() => stack.disposeAsync());

const REGIONS = 4;
const EACH = 3;

/** Roles that live for a moment, again and again, until it's over. */
async function comingAndGoing(isOver: () => boolean): Promise<void> {
  for (let round = 0; !isOver(); round++) {
    const life = [await m.startScheduler(), await m.startWorker()];
    await sleep(300 + ((round * 397) % 900));
    for (const each of life) await each[Symbol.asyncDispose]();
  }
}

describe('waves over regions, at a rate', () => {
  it('come to the same end whenever the scheduler and the worker are restarted', async () => {
    const fleets = Array.from({ length: REGIONS }, (_, i) =>
      startFleet({ url: m.url, factor: 20, children: EACH, area: insideRegion(i), seed: i + 1 }),
    );
    for (const fleet of fleets) stack.defer(() => fleet.stop());
    const first = await m.startWorker();
    await until('all are known', async () => (await m.operator.fleet()).length === REGIONS * EACH);
    await first[Symbol.asyncDispose]();
    await m.operator.publish('shaken');
    await m.operator.start('shaken', {
      name: 'waves',
      locations: { regions: regionSquares(REGIONS) },
      order: 'listed',
      wave_soak: '0s',
      rate: { per_minute: 600 },
    });
    let isOver = false;
    const roles = comingAndGoing(() => isOver);
    const opened: string[] = [];
    try {
      await until(
        'completed',
        async () => {
          const { state, progress } = await m.operator.show('shaken');
          for (const { id } of progress.locations) if (!opened.includes(id)) opened.push(id);
          // Nobody of the next wave before the last one has completed.
          const [completed, open] = [progress.locations_through, progress.locations.map(({ id }) => id)];
          if (open.includes(regionName(1))) expect(completed).toBeGreaterThanOrEqual(1);
          if (open.includes(regionName(3))) expect(completed).toBe(3);
          return state === 'completed';
        },
        100_000,
      );
    } finally {
      isOver = true;
      await roles;
    }
    expect(opened.sort()).toEqual(Array.from({ length: REGIONS }, (_, i) => regionName(i)));
    for (const fleet of fleets) {
      expect(fleet.stats().versions).toEqual({ 'fns/sample_f2': EACH });
      expect(fleet.stats().bad).toBe(0);
    }
    await countsAreTrue(m.redis.url, 'shaken', 4);
  }, 150_000);
});
