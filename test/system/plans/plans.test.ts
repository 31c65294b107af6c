/** Whole releases, with simulated children over real HTTP: given a fleet, when a release starts, then… */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Fleet, type FleetOptions, startFleet } from '#bin/simulate/fleet.ts';
import { type Manager, startManager } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';
import type { ReleaseView } from '#wire/operator/responses.ts';

let stack: AsyncDisposableStack;
let m: Manager;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  m = await startManager(stack);
});
afterEach(() => stack.disposeAsync());

async function givenFleet(options: Omit<FleetOptions, 'url'>): Promise<Fleet> {
  const known = (await m.operator.fleet()).length;
  const fleet = startFleet({ url: m.url, factor: 10, ...options });
  stack.defer(() => fleet.stop());
  await until('all are known', async () => (await m.operator.fleet()).length === known + options.children);
  return fleet;
}

async function whenStarted(id: string, plan?: string): Promise<void> {
  await m.operator.publish(id);
  await m.operator.start(id, plan);
}

const reads = (id: string, what: string, test: (view: ReleaseView) => boolean, ms = 45_000): Promise<ReleaseView> =>
  until(
    `${id}: ${what}`,
    async () => {
      const view = await m.operator.show(id);
      return test(view) && view;
    },
    ms,
  );

describe('global-incremental', () => {
  it('takes every child through every stage, in lockstep', async () => {
    const fleet = await givenFleet({ children: 40 });
    await whenStarted('lockstep');
    const seen: ReleaseView[] = [];
    const view = await until(
      'completed',
      async () => {
        seen.push(await m.operator.show('lockstep'));
        const last = seen.at(-1);
        return last?.state === 'completed' && last;
      },
      45_000,
    );
    expect(view.progress.children).toEqual({ Todo: 0, Doing: 0, Done: 40, Failed: 0 });
    for (const stage of view.progress.stages) expect(stage.Completed).toBe(40);
    // Lockstep: nobody was let out of Canary while somebody was not yet SuccessWaiting in it.
    for (const each of seen) {
      const [canary, test] = each.progress.stages;
      if ((test?.InProgress ?? 0) + (test?.Completed ?? 0) > 0) expect(canary?.InProgress ?? 0).toBe(0);
    }
    expect(fleet.stats().bad).toBe(0);
    expect(fleet.stats().ended).toEqual([]);
  });

  it('halts when a child fails; the others stay as they are', async () => {
    const fleet = await givenFleet({ children: 10, faults: { fail: 1 } });
    await whenStarted('failing');
    const view = await reads('failing', 'halted', ({ state }) => state === 'halted');
    expect(view.reason).toMatch(/^child [0-9a-f-]{36} reported Failure in stage "Canary"$/);
    // Who hadn't downloaded when it was halted is no longer told of it; the others wait in their stage.
    const others = await reads(
      'failing',
      'the others wait',
      ({ progress: { children, stages } }) => stages[0]?.SuccessWaiting === children.Doing,
    );
    expect((others.progress.children.Doing ?? 0) + (others.progress.children.Todo ?? 0)).toBe(9);
    expect(others.progress.children).toMatchObject({ Done: 0, Failed: 1 });
    expect(others.waiting[0]?.for).toMatch(/^an operator: child/);
    const failed = await m.operator.ok<{ items: { id: string; release_status: string }[] }>(
      'GET',
      '/releases/failing/children?status=Failed',
    );
    expect(view.reason).toContain(failed.items[0]?.id);
    expect(fleet.stats().bad).toBe(0);
  });

  it('waits for a silent child, and names it', async () => {
    const fleet = await givenFleet({ children: 6, faults: { silent: 1 } });
    await whenStarted('silence');
    const view = await reads('silence', 'five wait', ({ progress }) => progress.stages[0]?.SuccessWaiting === 5);
    expect(view.waiting).toMatchObject([{ location: 'all', stage: 'Canary', for: '1 of 6 children' }]);
    expect(view.waiting[0]?.children).toHaveLength(1);
    expect(view.progress.locations[0]?.stages[0]?.gate).toBe('closed');
    expect(fleet.stats().states.silent).toBe(1);
  });

  it('waits for a child that dropped the release, and says that it left', async () => {
    await givenFleet({ children: 4, faults: { drop: 1 } });
    await whenStarted('dropped');
    const view = await reads('dropped', 'one has left', ({ waiting }) => waiting[0]?.details[0]?.left_release === true);
    expect(view.waiting[0]?.for).toBe('1 of 4 children');
    expect((await m.operator.child('dropped', view.waiting[0]?.children[0] ?? '')).left_release).toBe(true);
    expect(view.state).toBe('running');
  });

  it('waits for the old id of a child that restarted, and leaves the new one out', async () => {
    await givenFleet({ children: 4, faults: { restart: 1 } });
    await whenStarted('restarted');
    const view = await reads('restarted', 'three wait', ({ progress }) => progress.stages[0]?.SuccessWaiting === 3);
    expect(view.waiting[0]?.for).toBe('1 of 4 children');
    expect(view.progress.children).toMatchObject({ Todo: 0, Doing: 4 });
  });

  it('leaves silent children out of a start, and counts them', async () => {
    m = await startManager(stack, { SEEN_PRECISION: '500ms', FRESH_FOR: '3s' });
    for (const id of ['gone-1', 'gone-2']) await m.child(id).poll();
    await until('they have been silent for longer than FRESH_FOR', async () => {
      const gone = await m.operator.fleet();
      return gone.length === 2 && gone.every(({ last_seen: seen }) => Date.now() - Date.parse(seen) > 3_100);
    });
    await givenFleet({ children: 5 });
    await whenStarted('fresh-only');
    const view = await reads('fresh-only', 'completed', ({ state }) => state === 'completed');
    expect(view.progress.children.Done).toBe(5);
    expect(view.progress.not_enrolled.silent).toBe(2);
  });

  it('stays running and says so when there is nobody to enrol', async () => {
    await whenStarted('nobody');
    const view = await reads('nobody', 'it knows', ({ progress }) => progress.locations[0]?.children === 0);
    expect(view.state).toBe('running');
    expect(view.waiting[0]?.for).toMatch(/the plan targets none that was seen within FRESH_FOR before the start/);
  });
});

describe('location-sequential', () => {
  it('takes one child after the other, in order of joining', async () => {
    const fleet = await givenFleet({ children: 5, factor: 20 });
    await whenStarted('one-by-one', 'location-sequential');
    const order: string[] = [];
    const view = await until(
      'completed',
      async () => {
        const each = await m.operator.show('one-by-one');
        expect(each.progress.children.Doing ?? 0).toBeLessThanOrEqual(1);
        const open = each.progress.locations[0]?.id;
        if (open !== undefined && order.at(-1) !== open) order.push(open);
        return each.state === 'completed' && each;
      },
      45_000,
    );
    expect(view.progress.children).toEqual({ Todo: 0, Doing: 0, Done: 5, Failed: 0 });
    expect(view.progress.locations_through).toBe(5);
    const mine = (await m.operator.fleet()).filter(({ id }) => fleet.ids().includes(id));
    mine.sort((a, b) =>
      a.first_seen === b.first_seen ? (a.id < b.id ? -1 : 1) : a.first_seen < b.first_seen ? -1 : 1,
    );
    expect(order).toEqual(mine.map(({ id }) => id));
  });

  it('goes no further after a failure', async () => {
    // The failing child is one of two, so the other one got it before, or never gets it.
    await givenFleet({ children: 2, faults: { fail: 2 }, factor: 20 });
    await whenStarted('stops', 'location-sequential');
    const view = await reads('stops', 'halted', ({ state }) => state === 'halted');
    expect(view.progress.children).toMatchObject({ Failed: 1, Doing: 0, Done: 0 });
    expect(view.progress.locations_to_come).toBe(1);
  });
});

describe('abort', () => {
  it('is one write: whoever has not downloaded reads No, whoever has stays in its stage', async () => {
    const [early, late] = [m.child('abort-early'), m.child('abort-late')];
    await early.poll();
    await late.poll();
    await until('both are known', async () => (await m.operator.fleet()).length === 2);
    await whenStarted('aborted');
    await until('an offer', async () => (await late.poll()).new_release === 'aborted');
    await until('an offer', async () => (await early.poll()).new_release === 'aborted');
    await early.download('aborted');
    const view = await m.operator.abort('aborted');
    expect([view.state, view.progress.children]).toEqual(['aborted', { Todo: 0, No: 1, Doing: 1, Done: 0, Failed: 0 }]);
    await until('no more offers', async () => (await late.poll()).new_release === '');
    expect((await m.operator.child('aborted', 'abort-late')).release_status).toBe('No');
    expect(await m.operator.child('aborted', 'abort-early')).toMatchObject({
      release_status: 'Doing',
      stages: [{ status: 'InProgress' }, {}, {}],
    });
    await early.result('aborted', 'Canary', 2, 'Test');
    expect(await early.endStage('aborted', 'Canary')).toBe(false);
    // An offer is honoured: the child that was told of it must not be ended by a 404.
    expect((await late.download('aborted')).status).toBe(200);
  });
});
