/** What an operator may do to a release that runs, over HTTP and on children played request by request. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startFleet } from '#bin/simulate/fleet.ts';
import { type ChildClient, STATUS } from '#test/harness/manager/child-client.ts';
import { insideRegion, regionName, regionSquares } from '#test/harness/plans/regions.ts';
import { type Manager, startManager } from '#test/harness/manager/stack.ts';
import { until } from '#test/harness/until.ts';
import type { ReleaseView } from '#wire/operator/responses.ts';

let stack: AsyncDisposableStack;
let m: Manager;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  m = await startManager(stack, { SEEN_PRECISION: '300ms' });
});
afterEach(() => stack.disposeAsync());

const named = (count: number): ChildClient[] => Array.from({ length: count }, (_, i) => m.child(`c${i + 1}`));

/** Known children, offered the release and at work in its first stage. */
async function atWork(id: string, children: readonly ChildClient[], plan?: string | object): Promise<void> {
  for (const child of children) await child.poll();
  await until('all are known', async () => (await m.operator.fleet()).length === children.length);
  await m.operator.publish(id);
  await m.operator.start(id, plan);
  for (const child of children) {
    await until('an offer', async () => (await child.poll()).new_release === id);
    await child.download(id);
  }
}

const reads = (id: string, what: string, test: (view: ReleaseView) => boolean): Promise<ReleaseView> =>
  until(`${id}: ${what}`, async () => {
    const view = await m.operator.show(id);
    return test(view) && view;
  });

const waits = (child: ChildClient, id: string, stage = 'Canary', next = 'Test') =>
  child.result(id, stage, STATUS.SuccessWaiting, next);

const ends = (child: ChildClient, id: string, stage = 'Canary') =>
  until(`${child.id} may end ${stage}`, () => child.endStage(id, stage));

describe('pause and resume', () => {
  it('keep every gate closed and every child as it is, until it goes on', async () => {
    const children = named(2);
    await atWork('p1', children);
    const paused = await m.operator.control('p1', 'pause', { reason: 'lunch' });
    expect([paused.state, paused.reason]).toEqual(['paused', 'lunch']);
    for (const child of children) await waits(child, 'p1');
    await reads('p1', 'both wait', ({ progress }) => progress.stages[0]?.SuccessWaiting === 2);
    await m.operator.ok('POST', '/releases/p1/pause', {});
    expect(await children[0]?.endStage('p1', 'Canary')).toBe(false);
    expect((await m.operator.child('p1', 'c1')).waits_for).toMatch(/an operator: the release is paused/);
    expect((await m.operator.control('p1', 'resume')).state).toBe('running');
    for (const child of children) await ends(child, 'p1');
  });

  it('go on after a halt, looking past the failure', async () => {
    const [bad, good] = named(2) as [ChildClient, ChildClient];
    await atWork('p2', [bad, good], { advance: { quorum: 50 }, failure: { all: { share: 50 } } });
    await bad.result('p2', 'Canary', STATUS.Failure, null);
    await waits(good, 'p2');
    await ends(good, 'p2');

    const again = named(2).map(({ id }) => m.child(`again-${id}`)) as [ChildClient, ChildClient];
    for (const child of again) await child.poll();
    await until('all are known', async () => (await m.operator.fleet()).length === 4);
    await m.operator.publish('p3');
    await m.operator.start('p3', { target: { children: again.map(({ id }) => id) } });
    for (const child of again) {
      await until('an offer', async () => (await child.poll()).new_release === 'p3');
      await child.download('p3');
    }
    await again[0].result('p3', 'Canary', STATUS.Failure, null);
    await reads('p3', 'halted', ({ state }) => state === 'halted');
    await m.operator.control('p3', 'resume');
    await waits(again[1], 'p3');
    // Quorum 100 still wants both: going on isn't forgetting.
    const view = await reads(
      'p3',
      'running, and waiting',
      ({ state, waiting }) => state === 'running' && waiting.length > 0,
    );
    expect(view.waiting[0]?.for).toMatch(/^[12] of 2 children \(1 failed it\)/);
    expect(await again[1].endStage('p3', 'Canary')).toBe(false);
  });
});

describe('promote', () => {
  it('approves a stage, and only that', async () => {
    const children = named(2);
    await atWork('a1', children, { advance: { approval: { stages: ['Canary'] } } });
    for (const child of children) await waits(child, 'a1');
    const view = await reads('a1', 'it waits for approval', ({ waiting }) => /approve/.test(waiting[0]?.for ?? ''));
    expect(view.progress.locations[0]?.stages[0]?.gate).toBe('closed');
    await m.operator.control('a1', 'promote', { stage: 'Canary' });
    for (const child of children) await ends(child, 'a1');
  });

  it('ends a stage now for those who wait in it, and for whoever comes to wait', async () => {
    const [quick, slow] = named(2) as [ChildClient, ChildClient];
    await atWork('n1', [quick, slow]);
    await waits(quick, 'n1');
    await reads('n1', 'one waits', ({ progress }) => progress.stages[0]?.SuccessWaiting === 1);
    await m.operator.control('n1', 'promote', { stage: 'Canary', now: true });
    await ends(quick, 'n1');
    // Still InProgress: nobody rolls out what it hasn't tried.
    expect(await slow.endStage('n1', 'Canary')).toBe(false);
    await waits(slow, 'n1');
    await ends(slow, 'n1');
  });

  it('ends the stage of one child that is InProgress, named and confirmed', async () => {
    const [one, other] = named(2) as [ChildClient, ChildClient];
    await atWork('h1', [one, other]);
    const body = { child: 'c1', stage: 'Canary' };
    const refused = await m.operator.raw('POST', '/releases/h1/promote', body);
    expect([refused.status, refused.text]).toEqual([
      400,
      expect.stringMatching(/confirm: child c1 is still InProgress/),
    ]);
    expect(await one.endStage('h1', 'Canary')).toBe(false);
    await m.operator.control('h1', 'promote', { ...body, confirm: true });
    await m.operator.control('h1', 'promote', { ...body, confirm: true });
    await ends(one, 'h1');
    expect(await other.endStage('h1', 'Canary')).toBe(false);
  });
});

describe('retry', () => {
  it('offers it again to the child that failed, as a new attempt', async () => {
    const [bad, good] = named(2) as [ChildClient, ChildClient];
    await atWork('r1', [bad, good]);
    await bad.result('r1', 'Canary', STATUS.Failure, null);
    await reads('r1', 'halted', ({ state }) => state === 'halted');
    await m.operator.control('r1', 'retry');
    await reads(
      'r1',
      'one is to do it again',
      ({ progress }) => progress.children.Todo === 1 && progress.children.Failed === 0,
    );
    await m.operator.control('r1', 'resume');
    await until('an offer again', async () => (await bad.poll()).new_release === 'r1');
    await bad.download('r1');
    for (const child of [bad, good]) await waits(child, 'r1');
    for (const child of [bad, good]) await ends(child, 'r1');
    expect(await m.operator.child('r1', 'c1')).toMatchObject({ attempt: 2, release_status: 'Doing' });
    expect(await m.operator.child('r1', 'c2')).toMatchObject({ attempt: 1 });
  });

  it('of named children tells which are not enrolled, and leaves healthy ones alone', async () => {
    const children = named(1);
    await atWork('r2', children);
    const unknown = await m.operator.raw('POST', '/releases/r2/retry', { children: ['nobody'] });
    expect([unknown.status, unknown.text]).toEqual([404, expect.stringMatching(/nobody/)]);
    await m.operator.control('r2', 'retry', { children: ['c1'] });
    expect(await m.operator.child('r2', 'c1')).toMatchObject({ attempt: 1, release_status: 'Doing' });
  });
});

describe('eject', () => {
  it('takes a child out of the release: it counts no more, and the rest goes on', async () => {
    const [stuck, good] = named(2) as [ChildClient, ChildClient];
    await atWork('e1', [stuck, good]);
    await waits(good, 'e1');
    await reads('e1', 'it waits for one', ({ waiting }) => waiting[0]?.for === '1 of 2 children');
    const view = await m.operator.control('e1', 'eject', { child: 'c1' });
    expect(view.progress.ejected).toBe(1);
    await ends(good, 'e1');
    expect(await m.operator.child('e1', 'c1')).toMatchObject({
      ejected: true,
      waits_for: expect.stringMatching(/was ejected from the release/) as string,
    });
  });
});

describe('an expected version', () => {
  it('that is stale refuses the call, unless it has been done already', async () => {
    const children = named(1);
    await atWork('v1', children);
    const { version } = await reads('v1', 'at rest', ({ progress }) => progress.stages[0]?.InProgress === 1);
    const stale = await m.operator.raw('POST', '/releases/v1/pause', { version: version - 1 });
    expect([stale.status, JSON.parse(stale.text)]).toEqual([
      409,
      expect.objectContaining({
        type: 'urn:umbilical-choir:problem:stale-version',
        detail: expect.stringMatching(/read it again/) as string,
      }),
    ]);
    const paused = await m.operator.control('v1', 'pause', { version });
    // Its answer was lost, and it's sent again.
    expect((await m.operator.control('v1', 'pause', { version })).version).toBe(paused.version);
  });

  it('in the wrong state names the reason', async () => {
    await m.operator.publish('v2');
    for (const control of ['pause', 'resume', 'promote', 'retry', 'revert']) {
      const refused = await m.operator.raw('POST', `/releases/v2/${control}`, {});
      expect([control, refused.status, refused.text]).toEqual([
        control,
        409,
        expect.stringMatching(/was never started/),
      ]);
    }
    const bad = await m.operator.raw('POST', '/releases/v2/skip', {});
    expect([bad.status, bad.text]).toEqual([400, expect.stringMatching(/location/)]);
  });
});

describe('several releases', () => {
  it('that touch the same function in the same children are refused, unless the plan says otherwise', async () => {
    const children = named(1);
    for (const child of children) await child.poll();
    await until('all are known', async () => (await m.operator.fleet()).length === 1);
    for (const id of ['s1', 's2']) await m.operator.publish(id, 'sieve');
    await m.operator.start('s1');
    const refused = await m.operator.raw('POST', '/releases/s2/start', {});
    expect([refused.status, refused.text]).toEqual([409, expect.stringMatching(/release s1 touches sieve too/)]);
    expect((await m.operator.show('s2')).state).toBe('published');
    expect((await m.operator.start('s2', { conflicts: 'allow' })).state).toBe('running');
  });

  it('come one after the other, by priority', async () => {
    const [child] = named(1) as [ChildClient];
    await child.poll();
    await until('it is known', async () => (await m.operator.fleet()).length === 1);
    for (const [id, priority] of [
      ['low', 0],
      ['high', 5],
    ] as const) {
      await m.operator.publish(id);
      await m.operator.start(id, { priority });
      await reads(id, 'enrolled', ({ progress }) => progress.children.Todo === 1);
    }
    expect((await child.poll()).new_release).toBe('high');
    await child.download('high');
    expect((await m.operator.child('low', 'c1')).release_status).toBe('Todo');
    await child.result('high', 'Gradual', STATUS.Completed, 'rollout');
    await until('the other one is next', async () => (await child.poll()).new_release === 'low');
  });
});

describe('revert', () => {
  it('gives every child that is Done the version from before, in any state, and only once', async () => {
    const fleet = startFleet({ url: m.url, children: 10, factor: 20 });
    stack.defer(() => fleet.stop());
    await until('all are known', async () => (await m.operator.fleet()).length === 10);
    await m.operator.publish('back');
    await m.operator.start('back');
    await reads('back', 'completed', ({ state }) => state === 'completed');
    expect(fleet.stats().versions).toEqual({ 'fns/sample_f2': 10 });
    const view = await m.operator.control('back', 'revert', { reason: 'it leaks' });
    expect([view.state, view.reverted_by]).toEqual(['reverting', 'back.revert']);
    const last = await reads('back', 'reverted', ({ state }) => state === 'reverted');
    expect(last.reason).toBe('it leaks');
    expect(fleet.stats().versions).toEqual({ 'fns/sample_f1': 10 });
    expect((await m.operator.show('back.revert')).progress.children.Done).toBe(10);
    expect((await m.operator.control('back', 'revert')).state).toBe('reverted');
    expect(fleet.stats().bad).toBe(0);
    expect(fleet.stats().ended).toEqual([]);
  });

  it('leaves children that wait at a gate where they are, or opens it so that they can be reached', async () => {
    for (const [id, body, left] of [
      ['stay', {}, 1],
      ['reach', { open_gates: true }, 0],
    ] as const) {
      const own = await startManager(stack, { SEEN_PRECISION: '300ms' });
      const fleet = startFleet({ url: own.url, children: 6, factor: 20 });
      stack.defer(() => fleet.stop());
      const area = { longitude: 20, latitude: 50, radiusKm: 5 };
      const silent = startFleet({ url: own.url, children: 1, factor: 20, area, seed: 3, faults: { silent: 1 } });
      stack.defer(() => silent.stop());
      await until('all are known', async () => (await own.operator.fleet()).length === 7);
      await own.operator.publish(id);
      await own.operator.start(id);
      const show = () => own.operator.show(id);
      await until('six wait for the silent one', async () => (await show()).progress.stages[0]?.SuccessWaiting === 6);
      await own.operator.control(id, 'revert', body);
      if (left === 1) {
        await until('it is over: nobody was Done', async () => (await show()).state === 'reverted');
        expect(fleet.stats().states.waiting).toBe(6);
        expect(fleet.stats().versions).toEqual({});
        continue;
      }
      await until(
        'all six run the version from before',
        () => Promise.resolve(fleet.stats().versions['fns/sample_f1'] === 6),
        45_000,
      );
      await until(
        'and have said so',
        async () => (await own.operator.show(`${id}.revert`)).progress.children.Done === 6,
      );
    }
  });
});

describe('one location', () => {
  it('is aborted, taken back and left out alone', async () => {
    for (let i = 0; i < 3; i++) {
      const fleet = startFleet({ url: m.url, children: 2, factor: 20, area: insideRegion(i), seed: i + 1 });
      stack.defer(() => fleet.stop());
    }
    const silent = startFleet({
      url: m.url,
      children: 1,
      factor: 20,
      area: insideRegion(1),
      seed: 9,
      faults: { silent: 1 },
    });
    stack.defer(() => silent.stop());
    await until('all are known', async () => (await m.operator.fleet()).length === 7);
    await m.operator.publish('parts');
    await m.operator.start('parts', { name: 'location-parallel', locations: { regions: regionSquares(3) } });
    const stuck = await reads(
      'parts',
      'only the one with the silent child is left',
      ({ progress }) => progress.locations_through === 2,
    );
    expect(stuck.waiting).toMatchObject([{ location: regionName(1), stage: 'Canary', for: '1 of 3 children' }]);
    const view = await m.operator.control('parts', 'abort', { location: regionName(1), reason: 'no time' });
    expect(view.progress.aside).toMatchObject([{ id: regionName(1), as: 'aborted', reason: 'no time' }]);
    await reads('parts', 'completed', ({ state }) => state === 'completed');
    const gone = await m.operator.raw('POST', '/releases/parts/skip', { location: regionName(0) });
    expect([gone.status, gone.text]).toEqual([409, expect.stringMatching(/it is completed/)]);
  });
});
