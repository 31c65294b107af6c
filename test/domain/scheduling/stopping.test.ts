/** What stops a release or a location, rule by rule: budgets with each of their actions, deadlines. */
import type { CountsTable } from '#test/harness/plans/counts.ts';
import type { FailedChild, LocationView, Snapshot } from '#domain/scheduling/snapshot.ts';
import { resume, resumeLocation } from '#domain/controls/controls.ts';
import { describe, expect, it } from 'vitest';
import { decide } from '#domain/scheduling/decide.ts';
import type { Budget, Plan } from '#domain/plan/plan.ts';
import { isFinished, type OpenLocation, type Rollout } from '#domain/rollout/rollout.ts';
import { located, NOW, planWith, running, SECOND, snapshotOf, viewOf } from '#test/harness/plans/tables.ts';

const budget = (count: number, share: number, then: Budget['then'] = 'hold'): Budget => ({ count, share, then });
const FAILED: FailedChild = { child: 'c7', stage: 0, status: 5 };

/** 100 children, so many of them failed. */
const failingTable = (failed: number): CountsTable => ({
  enrolled: 100,
  doing: 100 - failed,
  ...(failed > 0 ? { failed, failure: { Canary: failed } } : {}),
});
/** Those children in location a. */
const failing = (failed: number, more: CountsTable = {}, late: CountsTable = {}): LocationView =>
  viewOf({ ...failingTable(failed), ...more }, { late, failed: FAILED });
const A = located('a', 1, { members: 100, children: 100 });

describe('the budget over all locations', () => {
  const over = (plan: Plan, view: LocationView, more: Partial<Rollout> = {}, snapshot: Partial<Snapshot> = {}) =>
    decide({ ...running(plan, [A]), ...more }, { ...snapshotOf({ a: view }), failed: FAILED, ...snapshot }, NOW);
  const withBudget = (all: Budget | null, changes: Partial<Plan> = {}): Plan =>
    planWith({ ...changes, failure: { location: null, all } });
  const LOST = { lost: 3 };

  it.each<[string, Budget | null, LocationView, Partial<Plan>, boolean]>([
    ['nothing failed', budget(0, 0), failing(0), {}, false],
    ['one, and none may', budget(0, 0), failing(1), {}, true],
    ['as many as may', budget(2, 0), failing(2), {}, false],
    ['one more', budget(2, 0), failing(3), {}, true],
    ['a share of 0.05 of 100 are five', budget(0, 0.05), failing(5), {}, false],
    ['and not six', budget(0, 0.05), failing(6), {}, true],
    ['the greater of both: the number', budget(8, 0.05), failing(8), {}, false],
    ['the greater of both: the share', budget(2, 0.05), failing(5), {}, false],
    ['more than both', budget(2, 0.05), failing(6), {}, true],
    ['lost ones count', budget(2, 0), failing(0, LOST), { lostAfterMs: 1 }, true],
    ['with those that failed', budget(3, 0), failing(1, LOST), { lostAfterMs: 1 }, true],
    [
      'overdue ones do where they count as failed',
      budget(2, 0),
      failing(0, { overdue: 3 }),
      { deadline: { afterMs: 1, then: 'fail' } },
      true,
    ],
    [
      'and not where they only hold',
      budget(2, 0),
      failing(0, { overdue: 3 }),
      { deadline: { afterMs: 1, then: 'hold' } },
      false,
    ],
    [
      'lost and overdue is once',
      budget(3, 0),
      failing(0, { lostAndOverdue: 3 }),
      { deadline: { afterMs: 1, then: 'fail' } },
      false,
    ],
    [
      'one that was ejected does not count',
      budget(0, 0),
      failing(0, { enrolled: 103, ejected: 1, ejectedAndLost: 1, ejectedAndOverdue: 1 }),
      {},
      false,
    ],
    ['late joiners count', budget(0, 0), failing(0, {}, { enrolled: 1, failed: 1, failure: { Canary: 1 } }), {}, true],
    ['no budget', null, failing(100), {}, false],
  ])('%s', (_, all, view, changes, stops) => {
    const state = over(withBudget(all, changes), view).state;
    expect(state).toBe(stops ? 'halted' : 'running');
  });

  it('looks past a failure only while it is one: after a retry that went well the next one counts', () => {
    const forgiven = { forgiven: 1 };
    const good = decide(
      { ...running(withBudget(budget(0, 0)), [located('a', 1)]), ...forgiven },
      snapshotOf({ a: viewOf({ enrolled: 3, doing: 2, done: 1 }) }),
      NOW,
    );
    expect(good).toMatchObject({ state: 'running', forgiven: 0 });
    expect(decide(good, snapshotOf({ a: viewOf({ enrolled: 3, doing: 1, done: 1, failed: 1 }) }), NOW).state).toBe(
      'halted',
    );
  });

  it('is of the children enrolled so far: all of a first wave may not fail because many are to come', () => {
    const order = { locations: 10, children: 1000, outside: 0 };
    expect(over(withBudget(budget(0, 0.05)), failing(5), { order }).state).toBe('running');
    expect(over(withBudget(budget(0, 0.05)), failing(6), { order }).state).toBe('halted');
  });

  it('holds, and says which child failed where', () => {
    const after = over(withBudget(budget(1, 0.01)), failing(3));
    expect(after).toMatchObject({ state: 'halted', endedAt: NOW, open: [{ id: 'a', gates: [] }] });
    expect(after.reason).toBe(
      'child c7 reported Failure in stage "Canary" (and 2 more); 3 of 100 children failed, budget 1 (1 %)',
    );
    const lost = over(withBudget(budget(0, 0), { lostAfterMs: 1 }), failing(0, LOST), {}, { failed: null });
    expect(lost.reason).toBe('3 of 100 children lost, budget 0');
  });

  it('aborts: offers are void', () => {
    const after = over(withBudget(budget(0, 0, 'abort')), failing(1), { epoch: 4 });
    expect(after).toMatchObject({ state: 'aborted', epoch: 5, effects: [] });
    expect(isFinished(after.state)).toBe(true);
  });

  it('takes it back: offers are void, and a compensating release is asked for', () => {
    const after = over(withBudget(budget(0, 0, 'revert')), failing(1), { epoch: 4 });
    expect(after).toMatchObject({ state: 'reverting', epoch: 5, effects: [{ kind: 'compensate', location: null }] });
    expect(after.open[0]?.gates).toEqual([]);
    // Children that wait at a gate may pass it where the plan says so.
    const opened = over(withBudget(budget(0, 0, 'revert'), { openGatesOnRevert: true }), failing(1));
    expect(opened.open[0]?.gates).toEqual([0, 2]);
  });

  it('looks past what an operator has looked past, and no further', () => {
    const halted = over(withBudget(budget(1, 0)), failing(3));
    const goesOn = resume(halted, snapshotOf({ a: failing(3) }), NOW);
    expect(goesOn).toMatchObject({ state: 'running', forgiven: 3, reason: null });
    const again = (failed: number) => decide(goesOn, { ...snapshotOf({ a: failing(failed) }), failed: FAILED }, NOW);
    expect(again(4).state).toBe('running');
    expect(again(5).state).toBe('halted');
  });

  // Totals and the counts of locations are read one after the other, and a retry may come in between.
  it.each<[string, number, number, number]>([
    ['neither shows the retry yet', 3, 3, 3],
    ['totals have shrunk, and the location has not', 3, 2, 3],
    ['the location has shrunk, and totals have not', 2, 3, 3],
    ['both have shrunk', 2, 2, 2],
  ])('forgives by the counts that it is spent by, after a resume and a retry: %s', (_, here, inAll, forgiven) => {
    const snapshot = (failedHere: number, failedInAll: number): Snapshot => ({
      ...snapshotOf({ a: failing(failedHere) }, { totals: failingTable(failedInAll) }),
      failed: FAILED,
    });
    const halted = over(withBudget(budget(0, 0)), failing(3));
    const goesOn = resume(halted, snapshot(3, 3), NOW);
    expect(goesOn).toMatchObject({ state: 'running', forgiven: 3 });
    const after = decide(goesOn, snapshot(here, inAll), NOW);
    expect(after).toMatchObject({ state: 'running', reason: null, endedAt: null, forgiven });
    // Once both show the retry, it's no credit for another failure.
    const retried = decide(after, snapshot(2, 2), NOW);
    expect(retried).toMatchObject({ state: 'running', forgiven: 2 });
    expect(decide(retried, snapshot(3, 3), NOW).state).toBe('halted');
  });

  it('stops nothing that does not run', () => {
    const paused = { ...running(withBudget(budget(0, 0)), [A]), state: 'paused' as const };
    expect(decide(paused, snapshotOf({ a: failing(9) }), NOW)).toBe(paused);
  });
});

describe('the budget of a location', () => {
  const B = located('b', 2);
  const WAITING = viewOf({ enrolled: 3, doing: 3, waiting: { Canary: 3 } });
  const withBudget = (location: Budget, changes: Partial<Plan> = {}): Plan =>
    planWith({ ...changes, failure: { location, all: null } });
  const over = (plan: Plan, view: LocationView, more: Partial<OpenLocation> = {}) =>
    decide(running(plan, [{ ...A, ...more }, B]), snapshotOf({ a: view, b: WAITING }), NOW);

  it('holds that location, and the others go on', () => {
    const after = over(withBudget(budget(0, 0.01)), failing(2));
    expect(after.state).toBe('running');
    expect(after.open).toMatchObject([
      {
        id: 'a',
        gates: [],
        held: 'child c7 reported Failure in stage "Canary" (and 1 more); 2 of 100 children failed, budget 1 (1 %)',
      },
      { id: 'b', gates: [0] },
    ]);
    expect(after.open[1]).not.toHaveProperty('held');
  });

  it('counts all who belong to it, though they are enrolled little by little', () => {
    const few = viewOf({ enrolled: 10, doing: 8, failed: 2, failure: { Canary: 2 } }, { left: 90 });
    expect(over(withBudget(budget(0, 0.02)), few, { children: null }).open[0]).not.toHaveProperty('held');
    expect(over(withBudget(budget(0, 0.01)), few, { children: null }).open[0]).toHaveProperty('held');
  });

  it('withdraws it, and its offers with it', () => {
    const rollout = running(withBudget(budget(0, 0, 'abort')), [{ ...A, gates: [0] }, B]);
    const asked: Rollout = {
      ...rollout,
      effects: [
        { kind: 'enrol', location: 'a', upTo: null },
        { kind: 'enrol', location: 'b', upTo: null },
      ],
    };
    const after = decide(asked, snapshotOf({ a: { ...failing(1), left: 9 }, b: { ...WAITING, left: 1 } }), NOW);
    expect(after.open.map(({ id }) => id)).toEqual(['b']);
    expect(after.withdrawn).toMatchObject([{ id: 'a', n: 1, as: 'aborted', children: 100, gates: [0] }]);
    expect(after.effects).toEqual([{ kind: 'enrol', location: 'b', upTo: null }]);
  });

  it('takes it back, and it is back when its compensating release has completed', () => {
    const after = over(withBudget(budget(0, 0, 'revert'), { openGatesOnRevert: true }), failing(1), { gates: [0] });
    expect(after.withdrawn).toMatchObject([{ id: 'a', as: 'reverting', gates: [0, 2] }]);
    expect(after.effects).toEqual([{ kind: 'compensate', location: 'a' }]);
    const back = (completed: boolean) => new Map([['a', { completed, unreached: 1, aborted: false }]]);
    const snapshot = snapshotOf({ a: failing(1), b: WAITING });
    const asked = decide(after, { ...snapshot, compensations: back(false) }, NOW);
    expect(asked).toMatchObject({ effects: [], withdrawn: [{ as: 'reverting' }] });
    const taken = decide(asked, { ...snapshot, compensations: back(true) }, NOW);
    expect(taken.withdrawn[0]).toMatchObject({ as: 'reverted' });
    expect(taken.withdrawn[0]?.reason).toMatch(/ \(1 children could not be reached yet\)$/);
  });

  it('forgives what an operator has looked past', () => {
    const held = over(withBudget(budget(0, 0)), failing(2));
    const goesOn = resumeLocation(held, 'a', snapshotOf({ a: failing(2), b: WAITING }), NOW);
    expect(goesOn.open[0]).toMatchObject({ forgiven: { used: 2, overdue: 0 } });
    const again = (failed: number) =>
      decide(goesOn, snapshotOf({ a: failing(failed), b: WAITING }), NOW).open[0]?.held !== undefined;
    expect([again(2), again(3)]).toEqual([false, true]);
  });

  it('comes after the one over all', () => {
    const both = planWith({ failure: { location: budget(0, 0), all: budget(0, 0) } });
    expect(over(both, failing(1))).toMatchObject({ state: 'halted' });
    expect(over(both, failing(1)).open[0]).not.toHaveProperty('held');
  });
});

describe('a deadline', () => {
  const at = (seconds: number): number => NOW + seconds * SECOND;
  const hold = { afterMs: 60 * SECOND, then: 'hold' as const };

  it('that holds: a location with children that are InProgress for too long waits for an operator', () => {
    const view = viewOf({
      enrolled: 3,
      doing: 3,
      inProgress: { Canary: 2 },
      waiting: { Canary: 1 },
      overdue: 1,
      lostAndOverdue: 1,
    });
    const rollout = running(planWith({ deadline: hold }), [located('a', 1)]);
    const held = decide(rollout, snapshotOf({ a: view }), NOW);
    expect(held.open[0]?.held).toBe('2 children have been InProgress in a stage for more than 60 s');
    const goesOn = resumeLocation(held, 'a', snapshotOf({ a: view }), NOW);
    expect(decide(goesOn, snapshotOf({ a: view }), NOW).open[0]).not.toHaveProperty('held');
    const more = viewOf({ enrolled: 3, doing: 3, inProgress: { Canary: 3 }, overdue: 3 });
    expect(decide(goesOn, snapshotOf({ a: more }), NOW).open[0]).toHaveProperty('held');
  });

  it('that fails: a location completes without its overdue children as far as the quorum lets it', () => {
    const plan = planWith({ deadline: { afterMs: 1, then: 'fail' }, advance: { quorum: 0.6 } });
    const view = viewOf({
      enrolled: 3,
      done: 2,
      doing: 1,
      doneWith: { Gradual: 2 },
      completed: { Canary: 3, Test: 3, Gradual: 2 },
      inProgress: { Gradual: 1 },
      overdue: 1,
    });
    const rollout = running(plan, [located('a', 1, { gates: [0, 2] })]);
    expect(decide(rollout, snapshotOf({ a: view }), NOW)).toMatchObject({
      state: 'completed',
      completed: { locations: 1, children: 3 },
    });
    expect(
      decide(running(planWith({ advance: { quorum: 0.6 } }), [located('a', 1)]), snapshotOf({ a: view }), NOW).state,
    ).toBe('running');
  });

  it('for a stage that waits for nothing but metrics: children that wait for others or for an operator take no time', () => {
    const stages = [
      { name: 'Canary', type: 'WaitForSignal', conditions: [{ metric: 'f2', operator: '<', limit: 100 }] },
    ] as const;
    const plan = planWith({ deadline: hold, advance: { metrics: { judge: 'worst' } } });
    const rollout = running(plan, [located('a', 1)], stages);
    const waiting = snapshotOf({
      a: viewOf({ enrolled: 3, doing: 3, waiting: { Canary: 3 }, measured: { Canary: { f2: { 150: 3 } } } }),
    });
    const oneMore = snapshotOf({
      a: viewOf({
        enrolled: 3,
        doing: 3,
        waiting: { Canary: 2 },
        inProgress: { Canary: 1 },
        measured: { Canary: { f2: { 150: 2 } } },
      }),
    });
    const since = decide(rollout, oneMore, NOW);
    expect(since.open[0]?.enteredAt).toEqual({ 0: NOW });
    expect(decide(since, oneMore, at(100)).open[0]).not.toHaveProperty('held');
    expect(decide(since, waiting, at(59)).open[0]).not.toHaveProperty('held');
    expect(decide(since, waiting, at(60)).open[0]?.held).toMatch(
      /^stage "Canary" has waited for more than 60 s for the worst response time <100/,
    );
  });
});

describe('silence', () => {
  const lost = viewOf({
    enrolled: 3,
    done: 2,
    doing: 1,
    doneWith: { Gradual: 2 },
    completed: { Canary: 3, Test: 3, Gradual: 2 },
    inProgress: { Gradual: 1 },
    lost: 1,
  });
  const after = (quorum: number) =>
    decide(running(planWith({ lostAfterMs: 1, advance: { quorum } }), [located('a', 1)]), snapshotOf({ a: lost }), NOW);

  it('brings a location to its end within the quorum, and never by itself', () => {
    expect(after(0.6)).toMatchObject({ state: 'completed', completed: { children: 3 } });
    expect(after(1)).toMatchObject({ state: 'running', open: [{ id: 'a' }] });
    const all = viewOf({ enrolled: 3, doing: 3, inProgress: { Canary: 3 }, lost: 3 });
    const plan = planWith({ lostAfterMs: 1, advance: { quorum: 0.01 } });
    expect(decide(running(plan, [located('a', 1)]), snapshotOf({ a: all }), NOW).open).toHaveLength(1);
  });

  it('of children that were ejected is no success either', () => {
    const none = snapshotOf({ a: viewOf({ enrolled: 3, ejected: 3 }) });
    expect(decide(running(planWith({}), [located('a', 1)]), none, NOW)).toMatchObject({
      state: 'running',
      open: [{ id: 'a' }],
    });
    // Nor where it gives way to others that were ejected as well.
    const both = running(planWith({}), [located('a', 1), located('b', 2)]);
    const empty = snapshotOf({ a: viewOf({ enrolled: 3, ejected: 3 }), b: viewOf({ enrolled: 3, ejected: 3 }) });
    expect(decide(both, empty, NOW).state).toBe('running');
  });
});
