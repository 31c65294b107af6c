/** What a tick reads, and whole rollouts by what it reads: stores, ticks and enrolment jobs on a real Redis, without a network. */
import { compensationId } from '#domain/rollout/compensation-id.ts';
import { abortRollout, revertRollout, withdrawLocation } from '#domain/rollout/stop.ts';
import { foldContributions } from '#domain/counts/contribution.ts';
import { NO_COUNTS } from '#domain/counts/counts.ts';
import { revert as revertAgain, revertLocation } from '#domain/controls/controls.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { decide } from '#domain/scheduling/decide.ts';
import type { Locations, Plan, Rate } from '#domain/plan/plan.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';
import { NO_NEXT } from '#domain/child/report.ts';
import { StageStatus } from '#domain/child/status.ts';
import { fieldsOf } from '#test/harness/plans/records.ts';
import { openSpread, region, type Spread, square, START } from '#test/harness/plans/spread.ts';

const { SuccessWaiting, Completed, Failure } = StageStatus;

const stack = new AsyncDisposableStack();
let s: Spread;
beforeAll(async () => {
  s = await openSpread(stack);
});
beforeEach(async () => {
  await s.client.flushall();
  s.jobs.length = 0;
  s.compensated.length = 0;
});
afterAll(() => stack.disposeAsync());

/** Far enough from one another: `A` is at 0, `B` at 10, … */
const regions = (names: string): Locations => ({
  by: 'regions',
  regions: [...names].map((name) => region(name, longitudeOf(name), 50)),
  outside: 'refuse',
});
const longitudeOf = (name: string): number => (name.charCodeAt(0) - 'A'.charCodeAt(0)) * 10;

/** `A1` is a child in A. They join in this order. */
let joined = 10_000;
async function givenChildren(...ids: string[]): Promise<void> {
  for (const id of ids) await s.join(id, (joined += 1000), square(longitudeOf(id), 50));
}

const OWN_PACE: Partial<Plan> = { stages: 'own-pace', failure: { location: null, all: null } };
const NO_RATE: Rate = { perMinute: null, growth: null, atOnce: null, bytesPerSecond: null };

const openIds = ({ open }: Rollout): string[] => open.map(({ id }) => id);
const viewOf = (rollout: Rollout) => s.snapshots.aggregates(rollout);

/** Each child does the one stage: it waits, its gate opens, and it is Done. */
async function complete(release: string, ...ids: string[]): Promise<Rollout> {
  const rollout = await s.rollout(release);
  for (const id of ids) await s.say(rollout, id, SuccessWaiting);
  await s.settle(release);
  for (const id of ids) await s.say(rollout, id, Completed);
  return s.settle(release);
}

describe('all together, straight from the fleet', () => {
  it('are enrolled once every partition has said so, and are opened once', async () => {
    await givenChildren('A1', 'A2', 'A3', 'A4', 'A5', 'A6');
    const started = await s.start({});
    expect(started.plan.direct).toBe(true);
    expect(await viewOf(started)).toMatchObject({ next: [{ id: 'all', members: null }], ordered: true, order: null });
    await s.tick(started.release);
    const [first, ...others] = s.jobs.splice(0);
    expect(others).toHaveLength(s.partitions - 1);
    await s.runJob(first);
    const half = await s.rollout(started.release);
    expect(await viewOf(half)).toMatchObject({ next: [], partitionsDone: 1 });
    expect((await viewOf(half)).locations.get('all')?.enrolled).toBeNull();
    for (const job of others) await s.runJob(job);
    expect((await viewOf(half)).locations.get('all')).toMatchObject({ enrolled: 6, left: null });
    const settled = await s.settle(started.release);
    expect(settled.open).toMatchObject([{ id: 'all', children: 6 }]);
    const [open] = settled.open;
    if (open === undefined) throw new Error('nothing is open');
    const left = await s.change(
      started.release,
      withdrawLocation(settled, open, { as: 'aborted', reason: 'why' }, START),
    );
    expect((await viewOf(left)).next).toEqual([]);
    expect((await viewOf(left)).locations.get('all')?.counts.enrolled).toBe(6);
  });
});

describe('one child after the other', () => {
  it('goes by the plan’s order, and passes over those that an operator skips', async () => {
    await givenChildren('A1', 'A2', 'A3');
    const { release } = await s.start({ ...OWN_PACE, locations: { by: 'child' } });
    await s.settle(release);
    expect(openIds(await s.rollout(release))).toEqual(['A1']);
    expect(await s.enrolled(release)).toEqual(['A1']);
    await s.change(release, { skip: ['A2'] });
    const next = await complete(release, 'A1');
    expect(next.withdrawn).toMatchObject([{ id: 'A2', as: 'skipped' }]);
    await s.settle(release);
    const last = await s.rollout(release);
    expect(openIds(last)).toEqual(['A3']);
    expect(await viewOf(last)).toMatchObject({ next: [], order: { left: 0, children: 3 } });
    expect((await complete(release, 'A3')).state).toBe('completed');
    expect(await s.enrolled(release)).toEqual(['A1', 'A3']);
  });
});

describe('waves of locations', () => {
  it('start 1, 2, 4, … of them, each with its own counts, and leave nothing behind', async () => {
    await givenChildren('A1', 'B1', 'A2', 'C1', 'D1', 'B2', 'D2');
    const plan: Partial<Plan> = { ...OWN_PACE, locations: regions('ABCD'), waves: { kind: 'doubling' } };
    const started = await s.start({ ...plan, lateJoiners: 'join' });
    const { release, shortId } = started;
    const first = await s.settle(release);
    expect(first.order).toEqual({ locations: 4, children: 7, outside: 0 });
    expect(first.open).toMatchObject([{ id: 'A', n: 1, members: 2, children: 2 }]);
    expect(await viewOf(first)).toMatchObject({ order: { left: 3 }, next: [{ id: 'B', members: 2 }, { id: 'C' }] });
    expect(await s.enrolled(release)).toEqual(['A1', 'A2']);
    const second = await complete(release, 'A1', 'A2');
    expect(openIds(second)).toEqual(['B', 'C']);
    await s.say(second, 'B1', SuccessWaiting);
    await s.say(second, 'C1', Failure, 0, NO_NEXT);
    const { locations, totals } = await viewOf(await s.rollout(release));
    for (const [id, children] of Object.entries({ B: ['B1', 'B2'], C: ['C1'] })) {
      const records = await Promise.all(children.map((child) => s.children.record(shortId, child)));
      const fold = foldContributions(records.filter((record) => record !== null));
      expect(fieldsOf(locations.get(id)?.counts ?? NO_COUNTS)).toEqual(fieldsOf(fold));
    }
    expect(totals.enrolled).toBe(5);
    expect(locations.get('B')?.failed).toBeNull();
    expect(locations.get('C')?.failed).toEqual({ child: 'C1', stage: 0, status: Failure });
    const c = second.open.find(({ id }) => id === 'C');
    if (c === undefined) throw new Error('C is not open');
    await s.change(
      release,
      withdrawLocation(await s.rollout(release), c, { as: 'skipped', reason: 'it failed' }, START),
    );
    const third = await complete(release, 'B1', 'B2');
    expect(openIds(third)).toEqual(['D']);
    expect(third.completed).toEqual({ locations: 2, children: 4 });
    expect((await complete(release, 'D1', 'D2')).state).toBe('completed');
    // And one more tick, which finds it finished.
    await s.tick(release);
    const keys = await s.client.keys('*');
    expect(keys.filter((key) => /:todo:|:arrived$|:order$|:late$/.test(key))).toEqual([]);
    expect(await s.releases.unfinished()).toEqual([]);
  });

  it('count children as they are, whatever a job that was delayed enrols afterwards', async () => {
    await givenChildren('A1', 'A2');
    const { release } = await s.start({ ...OWN_PACE, locations: regions('A') });
    const stale = await s.settle(release);
    expect(stale.open[0]?.children).toBe(2);
    await s.join('A3', 20_000, square(0, 50));
    const p = s.children.partition('A3');
    await s.client.zadd(s.keys.todo(p, release, 'A'), 20_000, 'A3');
    const before = { id: 'A', n: 1, children: null };
    await s.enrolment.enrolFirst(p, stale, before);
    for (const id of ['A1', 'A3']) await s.say(stale, id, SuccessWaiting);
    const after = await s.settle(release);
    // One of its own still has to wait in the stage: the one that came late is no replacement for it.
    expect(after.open).toMatchObject([{ id: 'A', children: 3, gates: [] }]);
  });

  it('pass over a location that an operator has skipped', async () => {
    await givenChildren('A1', 'B1', 'C1');
    const { release } = await s.start({ ...OWN_PACE, locations: regions('ABC') });
    const first = await s.settle(release);
    expect(await Promise.all(['A', 'B', 'X'].map((id) => s.snapshots.isToCome(first, id)))).toEqual([
      false,
      true,
      false,
    ]);
    await s.change(release, { skip: ['B'] });
    const next = await complete(release, 'A1');
    expect([openIds(next), next.withdrawn.map(({ id }) => id)]).toEqual([['C'], ['B']]);
    expect((await viewOf(next)).locations.get('B')?.left).toBe(1);
    expect((await complete(release, 'C1')).state).toBe('completed');
  });
});

describe('waves of children', () => {
  it('take the first ones, so many at a time', async () => {
    const ids = ['A1', 'A2', 'A3', 'A4', 'A5', 'A6'];
    await givenChildren(...ids);
    const plan: Partial<Plan> = { locations: { by: 'child' }, waves: { kind: 'doubling' }, failure: OWN_PACE.failure! };
    const { release } = await s.start(plan);
    const first = await s.settle(release);
    expect(first.open).toMatchObject([{ id: 'wave-1', n: 1, members: 1, children: 1 }]);
    expect(await viewOf(first)).toMatchObject({ next: [{ id: 'wave', members: 5 }], order: { left: 5, locations: 6 } });
    expect(await s.enrolled(release)).toEqual(['A1']);
    await complete(release, 'A1');
    expect(await s.enrolled(release)).toEqual(['A1', 'A2', 'A3']);
    const third = await complete(release, 'A2', 'A3');
    expect(third.open).toMatchObject([{ id: 'wave-3', members: 3, children: 3 }]);
    expect((await complete(release, 'A4', 'A5', 'A6')).state).toBe('completed');
  });
});

describe('a rate', () => {
  it('lets children in one by one as time passes, and never more', async () => {
    await givenChildren('A1', 'A2', 'A3', 'A4', 'B1');
    const { release } = await s.start({
      ...OWN_PACE,
      locations: regions('AB'),
      rate: { all: { ...NO_RATE, perMinute: 60 }, location: NO_RATE },
    });
    await s.settle(release);
    expect(await s.enrolled(release)).toEqual(['A1']);
    s.wait(999);
    await s.settle(release);
    expect(await s.enrolled(release)).toEqual(['A1']);
    s.wait(1);
    await s.settle(release);
    expect(await s.enrolled(release)).toEqual(['A1', 'A2']);
    s.wait(60_000);
    const all = await s.settle(release);
    expect(await s.enrolled(release)).toEqual(['A1', 'A2', 'A3', 'A4']);
    expect(all.open).toMatchObject([{ id: 'A', children: 4 }]);
  });
});

describe('late joiners', () => {
  const plan: Partial<Plan> = { ...OWN_PACE, locations: regions('ABC'), lateJoiners: 'join' };

  it('are let in where the location is open or still to come, and counted where none takes them', async () => {
    await givenChildren('A1', 'B1', 'C1');
    const { release, shortId } = await s.start(plan, { freshSince: 5_000 });
    await s.settle(release);
    const second = await complete(release, 'A1');
    expect(openIds(second)).toEqual(['B']);
    for (const id of ['A2', 'B2', 'B3', 'C2']) await s.join(id, START + 5, square(longitudeOf(id), 50));
    await s.join('nowhere', START + 6, square(-100, -50));
    expect((await viewOf(second)).unassigned.length).toBeGreaterThan(0);
    const third = await s.settle(release);
    expect((await viewOf(third)).unassigned).toEqual([]);
    expect(await s.enrolled(release)).toEqual(['A1', 'B1', 'B2', 'B3']);
    const heads = await Promise.all(['B1', 'B2'].map((id) => s.children.head(shortId, id)));
    expect(heads.map((head) => head?.token)).toEqual(['2/B', '+2/B']);
    const view = (await viewOf(third)).locations.get('B');
    expect([view?.counts.enrolled, view?.late.enrolled, view?.left]).toEqual([1, 2, 0]);
    expect(third.open).toMatchObject([{ id: 'B', children: 1 }]);
    const late = await Promise.all(s.all.map((p) => s.client.hget(s.keys.sizes(p, release), '@late')));
    expect(late.reduce((sum, n) => sum + Number(n ?? 0), 0)).toBe(2);
    await complete(release, 'B1', 'B2', 'B3');
    expect(await s.enrolled(release)).toEqual(['A1', 'B1', 'B2', 'B3', 'C1', 'C2']);
  });

  it('are those that join while the fleet is being assigned, and those that come back', async () => {
    await givenChildren('A1');
    await s.join('A2', 100, square(0, 50));
    const { release } = await s.start(plan, { freshSince: 5_000 });
    await s.tick(release);
    const jobs = s.jobs.splice(0);
    await s.join('A3', START + 1, square(0, 50));
    const [first, ...others] = jobs;
    await s.runJob(first);
    await s.join('A4', START + 2, square(0, 50));
    await s.heartbeat({ id: 'A2', at: START + 3, release: '', shortId: '', by: 'poll' });
    for (const job of others) await s.runJob(job);
    await s.join('A5', START + 4, square(0, 50));
    await s.settle(release);
    expect(await s.enrolled(release)).toEqual(['A1', 'A2', 'A3', 'A4', 'A5']);
  });

  it('are not lost by a job that dies, nor dropped by two that overlap', async () => {
    await givenChildren('A1');
    const started = await s.start({ ...plan, locations: { by: 'all' } }, { freshSince: 5_000 });
    const { release, epoch } = started;
    const open = await s.settle(release);
    const ids = Array.from({ length: 900 }, (_, i) => `A-${i}`);
    await Promise.all(ids.map((id) => s.join(id, START + 5, square(0, 50))));
    // It died after its batch: what it had assigned is assigned, the rest still waits.
    await s.assignment.late(0, open);
    await Promise.all(
      s.all.flatMap((partition) => [0, 1].map(() => s.runJob({ release, partition, kind: 'assign-late', epoch }))),
    );
    await s.settle(release);
    expect(await s.enrolled(release)).toEqual(['A1', ...ids].toSorted());
    expect(await s.sum(release, 'n')).toBe(901);
  });

  it('make further waves of children', async () => {
    await givenChildren('A1', 'A2');
    const cohorts: Partial<Plan> = { ...OWN_PACE, locations: { by: 'child' }, waves: { kind: 'shares', shares: [1] } };
    const { release } = await s.start({ ...cohorts, lateJoiners: 'join' }, { freshSince: 5_000 });
    await s.settle(release);
    for (const id of ['A3', 'A4', 'A5']) await s.join(id, START + 5, square(0, 50));
    await complete(release, 'A1', 'A2');
    const second = await s.settle(release);
    expect(second.open).toMatchObject([{ id: 'wave-2', members: 3, children: 3 }]);
    expect(await s.enrolled(release)).toEqual(['A1', 'A2', 'A3', 'A4', 'A5']);
  });
});

describe('a location that was withdrawn', () => {
  it('is not tried again with the others: no child there would be offered it', async () => {
    await givenChildren('A1');
    const { release, epoch, version } = await s.start({ ...OWN_PACE });
    const open = await s.settle(release);
    await s.say(open, 'A1', Failure);
    const [location] = open.open;
    if (location === undefined) throw new Error('nothing is open');
    const failed = await s.rollout(release);
    await s.change(
      release,
      withdrawLocation({ ...failed, open: [location] }, location, { as: 'aborted', reason: 'no' }, START),
    );
    const again = async (): Promise<number | undefined> => {
      for (const partition of s.all)
        await s.runJob({ release, partition, kind: 'retry', epoch, location: '', version: version + 1 });
      return (await s.children.head(open.shortId, 'A1'))?.attempt;
    };
    expect(await again()).toBe(1);
    await s.change(release, { ...(await s.rollout(release)), withdrawn: [] });
    expect(await again()).toBe(2);
  });

  it('is no wave of children that is still to come: which ones will be in it is not known', async () => {
    await givenChildren('A1', 'A2');
    const { release } = await s.start({ locations: { by: 'child' }, waves: { kind: 'shares', shares: [0.5, 1] } });
    const open = await s.settle(release);
    expect([open.open[0]?.id, await s.snapshots.isToCome(open, 'wave-2')]).toEqual(['wave-1', false]);
  });
});

describe('taking a release back', () => {
  const back = (source: Rollout, location: string | null, n: number | null) =>
    s.start(
      { target: { kind: 'done', release: source.release, location }, compensates: source.release, lateJoiners: 'join' },
      { release: compensationId(source, n), freshSince: START },
    );

  async function givenDone(parts: Partial<Plan>, done: string[], others: string[]): Promise<Rollout> {
    await givenChildren(...done, ...others);
    const { release } = await s.start({ ...OWN_PACE, ...parts });
    const rollout = await s.settle(release);
    for (const id of done) await s.say(rollout, id, Completed);
    for (const id of others) await s.say(rollout, id, SuccessWaiting);
    return rollout;
  }
  const revert = (rollout: Rollout, openGates: boolean): Promise<Rollout> =>
    s.change(rollout.release, revertRollout(rollout, START, 'bad', openGates));
  const viewed = async (release: string, key = '') => (await viewOf(await s.rollout(release))).compensations.get(key);

  it('has completed once every child that is Done with it has the version from before', async () => {
    const source = await revert(await givenDone({}, ['A1', 'A2'], ['A3']), false);
    await s.settle(source.release);
    expect(s.compensated).toContain(null);
    expect(await viewed(source.release)).toBeUndefined();
    const { release } = await back(source, null, null);
    expect(await viewed(source.release)).toMatchObject({ completed: false });
    const running = await s.settle(release);
    expect(await s.enrolled(release)).toEqual(['A1', 'A2']);
    expect((await viewOf(running)).takenBack).toMatchObject({ done: 2, coming: 0, members: 2 });
    await s.say(running, 'A1', Completed);
    expect(await viewed(source.release)).toMatchObject({ completed: false, unreached: 2 });
    await s.say(running, 'A2', Completed);
    // The one whose gate is closed can't be reached, and is waited for by the release that takes it back alone.
    expect(await viewed(source.release)).toMatchObject({ completed: true, unreached: 1 });
    expect((await s.settle(release)).state).toBe('running');
    const reverted = await s.settle(source.release);
    expect([reverted.state, reverted.reason]).toEqual(['reverted', 'bad (1 children could not be reached yet)']);
    const again = await s.change(source.release, revertAgain(reverted, { reason: 'bad', openGates: true }, START));
    expect([again.state, (await s.settle(release)).state]).toEqual(['reverting', 'running']);
    await s.say(again, 'A3', Completed);
    await s.settle(release);
    await s.say(running, 'A3', Completed);
    expect((await s.settle(release)).state).toBe('completed');
    expect((await s.settle(source.release)).state).toBe('reverted');
  });

  it('waits for those whose gates open now and that will yet be Done, and takes them too', async () => {
    const source = await revert(await givenDone({ openGatesOnRevert: true }, ['A1'], ['A2', 'A3']), true);
    const { release } = await back(source, null, null);
    const running = await s.settle(release);
    await s.say(running, 'A1', Completed);
    const waiting = await s.settle(release);
    expect((await viewOf(waiting)).takenBack).toMatchObject({ done: 1, coming: 2 });
    expect([waiting.state, await viewed(source.release)]).toEqual([
      'running',
      expect.objectContaining({ completed: false }),
    ]);
    for (const id of ['A2', 'A3']) await s.say(source, id, Completed);
    expect(await viewed(source.release)).toMatchObject({ completed: false });
    await s.settle(release);
    expect(await s.enrolled(release)).toEqual(['A1', 'A2', 'A3']);
    for (const id of ['A2', 'A3']) await s.say(running, id, Completed);
    expect((await s.settle(release)).state).toBe('completed');
    expect(await viewed(source.release)).toMatchObject({ completed: true });
  });

  it('waits for those whose gate had opened before, and takes them too', async () => {
    const rollout = await givenDone({}, [], ['A1', 'A2']);
    const opened = await s.settle(rollout.release);
    expect(opened.open[0]?.gates).toEqual([0]);
    const source = await revert(opened, false);
    const { release } = await back(source, null, null);
    const running = await s.settle(release);
    expect((await viewOf(running)).takenBack).toMatchObject({ done: 0, coming: 2 });
    expect([running.state, (await s.settle(source.release)).state]).toEqual(['running', 'reverting']);
    for (const id of ['A1', 'A2']) await s.say(source, id, Completed);
    await s.settle(release);
    expect(await s.enrolled(release)).toEqual(['A1', 'A2']);
    for (const id of ['A1', 'A2']) await s.say(running, id, Completed);
    expect((await s.settle(release)).state).toBe('completed');
    expect((await s.settle(source.release)).state).toBe('reverted');
  });

  it('is not the work of another release that happens to have that id', async () => {
    const source = await revert(await givenDone({}, ['A1'], []), false);
    await s.start({}, { release: compensationId(source, null), freshSince: START });
    expect(await viewed(source.release)).toBeUndefined();
  });

  it('of a location goes on while the release is paused, and after it was aborted', async () => {
    await givenChildren('A1');
    const { release } = await s.start({ ...OWN_PACE });
    const open = await s.settle(release);
    await s.say(open, 'A1', Completed);
    const id = open.open[0]?.id ?? '';
    const withdrawn = revertLocation({ ...open, state: 'paused' }, id, { reason: 'bad', openGates: false }, START);
    const paused = await s.change(release, withdrawn);
    await s.settle(release);
    expect(s.compensated).toContain(id);
    await s.change(release, abortRollout(paused, START, 'no more'));
    const other = await back(paused, id, paused.withdrawn[0]?.n ?? null);
    const running = await s.settle(other.release);
    expect(await s.enrolled(other.release)).toEqual(['A1']);
    await s.say(running, 'A1', Completed);
    await s.settle(other.release);
    expect(await s.settle(release)).toMatchObject({ state: 'aborted', withdrawn: [{ id, as: 'reverted' }] });
  });

  it('waits neither for a child that was deleted, nor for one that is lost', async () => {
    const source = await revert(await givenDone({ openGatesOnRevert: true }, ['A1', 'A2'], ['A3', 'A4']), true);
    await s.children.delete('A2', START * 2, [source.release]);
    await s.flags.flagLost(s.children.partition('A3'), source, ['A3'], START * 2);
    await s.flags.eject(source, 'A4');
    const { release } = await back(source, null, null);
    const running = await s.settle(release);
    expect((await viewOf(running)).takenBack).toMatchObject({ done: 1, coming: 0, members: 1 });
    await s.say(running, 'A1', Completed);
    expect((await s.settle(release)).state).toBe('completed');
  });

  it('waits for one that is not lost, though others are that never had it', async () => {
    await givenChildren('A1', 'A2', 'A3');
    const { release } = await s.start({ ...OWN_PACE, openGatesOnRevert: true });
    const rollout = await s.settle(release);
    await s.say(rollout, 'A1', SuccessWaiting);
    for (const id of ['A2', 'A3']) await s.flags.flagLost(s.children.partition(id), rollout, [id], START * 2);
    const source = await revert(rollout, true);
    const about = await s.settle((await back(source, null, null)).release);
    expect((await viewOf(about)).takenBack?.coming).toBe(1);
    await s.flags.flagLost(s.children.partition('A1'), source, ['A1'], START * 2);
    expect((await viewOf(about)).takenBack?.coming).toBe(0);
  });

  it('goes by location, while the others go on', async () => {
    const all: Partial<Plan> = { locations: regions('AB'), waves: { kind: 'shares', shares: [1] } };
    const rollout = await givenDone(all, ['A1', 'B1', 'B2'], []);
    const b = rollout.open.find(({ id }) => id === 'B');
    if (b === undefined) throw new Error('B is not open');
    const source = await s.change(
      rollout.release,
      withdrawLocation(rollout, b, { as: 'reverting', reason: 'bad' }, START),
    );
    const { release } = await back(source, 'B', b.n);
    await s.settle(release);
    expect(await s.enrolled(release)).toEqual(['B1', 'B2']);
    expect(await viewed(source.release, 'B')).toMatchObject({ completed: false });
    for (const id of ['B1', 'B2']) await s.say(await s.rollout(release), id, Completed);
    await s.settle(release);
    const after = await s.settle(source.release);
    expect(after.withdrawn).toMatchObject([{ id: 'B', as: 'reverted' }]);
    expect(after.state).toBe('completed');
  });

  it('says so when the release that does it was aborted', async () => {
    const source = await revert(await givenDone({}, ['A1'], []), false);
    const other = await back(source, null, null);
    await s.change(other.release, abortRollout(other, START, 'no'));
    expect(await viewed(source.release)).toMatchObject({ completed: true, aborted: true });
  });
});

describe('a tick', () => {
  async function commandsOf(work: () => Promise<unknown>): Promise<number> {
    const total = async (): Promise<number> =>
      Number(/total_commands_processed:(\d+)/.exec(await s.client.info('stats'))?.[1]);
    const before = await total();
    await work();
    return (await total()) - before;
  }

  it('costs as much however many children there are, and whether or not some have failed', async () => {
    const costs: number[] = [];
    for (const children of [20, 400]) {
      await s.client.flushall();
      const ids = Array.from({ length: children }, (_, i) => `${'ABCD'[i % 4]}${i}`);
      await Promise.all(ids.map((id) => s.join(id, 10_000, square(longitudeOf(id), 50))));
      const { release } = await s.start({
        ...OWN_PACE,
        locations: regions('ABCD'),
        waves: { kind: 'shares', shares: [1] },
      });
      const rollout = await s.settle(release);
      expect(rollout.open).toHaveLength(4);
      for (const id of ids) await s.say(rollout, id, id.startsWith('A') ? Failure : SuccessWaiting);
      await s.settle(release);
      const settled = await s.rollout(release);
      expect(decide(settled, await viewOf(settled), START)).toBe(settled);
      costs.push(await commandsOf(() => s.tick(release)));
    }
    expect(costs[1]).toBe(costs[0]);
  });
});
