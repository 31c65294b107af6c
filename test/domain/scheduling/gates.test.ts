/** When a stage ends, rule by rule: quorum, minimum, metrics, soak, approval, and how locations wait for one another. */
import type { CountsTable } from '#test/harness/plans/counts.ts';
import type { LocationView } from '#domain/scheduling/snapshot.ts';
import { resume, resumeLocation } from '#domain/controls/controls.ts';
import { describe, expect, it } from 'vitest';
import { decide } from '#domain/scheduling/decide.ts';
import type { Plan } from '#domain/plan/plan.ts';
import { isGateOpen } from '#domain/rollout/membership.ts';
import { isFinished, type OpenLocation, type Rollout, type RolloutStage } from '#domain/rollout/rollout.ts';
import { bucketOf } from '#domain/counts/sketch.ts';
import { located, NOW, planWith, running, SECOND, settled, snapshotOf, viewOf } from '#test/harness/plans/tables.ts';

/** The gates that are open in location a after a tick. */
function gatesOf(
  plan: Plan,
  view: LocationView,
  location: Partial<OpenLocation> = {},
  stages?: readonly RolloutStage[],
) {
  const rollout = running(plan, [located('a', 1, location)], stages);
  return decide(rollout, snapshotOf({ a: view }), NOW).open[0]?.gates;
}

describe('the quorum', () => {
  it.each<[string, number, number, CountsTable, boolean]>([
    ['all of three', 1, 3, { enrolled: 3, doing: 3, waiting: { Canary: 3 } }, true],
    [
      'two of three are not all',
      1,
      3,
      { enrolled: 3, doing: 3, waiting: { Canary: 2 }, inProgress: { Canary: 1 } },
      false,
    ],
    [
      '0.9 of five is five',
      0.9,
      5,
      { enrolled: 5, doing: 5, waiting: { Canary: 4 }, inProgress: { Canary: 1 } },
      false,
    ],
    [
      '0.8 of five is four, whatever floats say',
      0.8,
      5,
      { enrolled: 5, doing: 5, waiting: { Canary: 3 }, completed: { Canary: 1 }, inProgress: { Canary: 1 } },
      true,
    ],
    [
      'one that failed stays in the number',
      0.7,
      3,
      { enrolled: 3, doing: 2, failed: 1, waiting: { Canary: 2 }, failure: { Canary: 1 } },
      false,
    ],
    [
      'and may be let pass',
      0.6,
      3,
      { enrolled: 3, doing: 2, failed: 1, waiting: { Canary: 2 }, failure: { Canary: 1 } },
      true,
    ],
    [
      'one that is lost stays in the number',
      0.7,
      3,
      { enrolled: 3, doing: 3, waiting: { Canary: 2 }, inProgress: { Canary: 1 }, lost: 1 },
      false,
    ],
    [
      'and may be let pass, too',
      0.6,
      3,
      { enrolled: 3, doing: 3, waiting: { Canary: 2 }, inProgress: { Canary: 1 }, lost: 1 },
      true,
    ],
    ['one that was ejected does not', 1, 3, { enrolled: 3, doing: 2, waiting: { Canary: 2 }, ejected: 1 }, true],
    ['nor when it was lost before', 1, 3, { enrolled: 3, doing: 2, waiting: { Canary: 2 }, ejectedAndLost: 1 }, true],
    ['nobody is left', 0.1, 3, { enrolled: 3, ejected: 3 }, false],
    ['nobody’s success is no success', 0.1, 3, { enrolled: 3, doing: 3, inProgress: { Canary: 3 } }, false],
  ])('%s', (_, quorum, children, table, opens) => {
    expect(gatesOf(planWith({ advance: { quorum } }), viewOf(table), { children })).toEqual(opens ? [0] : []);
  });

  it('is never met before all children of the location are enrolled', () => {
    const view = viewOf({ enrolled: 2, doing: 2, waiting: { Canary: 2 } }, { left: 1 });
    expect(gatesOf(planWith({ advance: { quorum: 0.1 } }), view, { children: null })).toEqual([]);
  });

  it('is of those that joined in time: late joiners hold nothing and stand in for nobody', () => {
    const half = planWith({ advance: { quorum: 1 } });
    const own = { enrolled: 2, doing: 2, waiting: { Canary: 2 } };
    const gates = (table: CountsTable, late: CountsTable, quorum = 1) =>
      gatesOf(planWith({ advance: { quorum } }, half), viewOf(table, { late }), { children: 2 });
    // At work, or not even there yet.
    expect(gates(own, { enrolled: 5, todo: 2, doing: 3, inProgress: { Canary: 3 } })).toEqual([0]);
    // Instead of one that is silent.
    expect(
      gates(
        { enrolled: 2, doing: 2, waiting: { Canary: 1 }, inProgress: { Canary: 1 } },
        { enrolled: 1, doing: 1, waiting: { Canary: 1 } },
      ),
    ).toEqual([]);
    // Those with an outcome count with it: 3 of 4, 2 of 4.
    expect(
      gates(own, { enrolled: 2, doing: 1, failed: 1, waiting: { Canary: 1 }, failure: { Canary: 1 } }, 0.75),
    ).toEqual([0]);
    expect(gates(own, { enrolled: 2, failed: 2, failure: { Canary: 2 } }, 0.75)).toEqual([]);
  });
});

describe('a minimum', () => {
  it.each<[number, CountsTable, boolean]>([
    [3, { enrolled: 5, doing: 5, waiting: { Canary: 2 }, inProgress: { Canary: 3 } }, false],
    [3, { enrolled: 5, doing: 5, waiting: { Canary: 2 }, completed: { Canary: 1 }, inProgress: { Canary: 2 } }, true],
    [6, { enrolled: 5, doing: 5, waiting: { Canary: 5 } }, false],
  ])('of %i children is needed beside the quorum', (minChildren, table, opens) => {
    expect(gatesOf(planWith({ advance: { quorum: 0.4, minChildren } }), viewOf(table), { children: 5 })).toEqual(
      opens ? [0] : [],
    );
  });
});

describe('metrics', () => {
  const CONDITIONS = [
    { metric: 'f2', operator: '<=', limit: 200 },
    { metric: 'e2', operator: '<', limit: 0.02 },
  ] as const;
  const stages: RolloutStage[] = [{ name: 'Canary', type: 'WaitForSignal', conditions: CONDITIONS }];
  const FOUR = { enrolled: 4, doing: 4, waiting: { Canary: 4 } };

  /** Times of the new version, and error rates. */
  const measured = (times: number[], errors: number[] = times.map(() => 0)): CountsTable => ({
    measured: { Canary: { f2: buckets(times), e2: buckets(errors) } },
  });
  function buckets(values: number[]): Record<string, number> {
    const found: Record<string, number> = {};
    for (const bucket of values.map(bucketOf)) found[bucket] = (found[bucket] ?? 0) + 1;
    return found;
  }
  type Judge = Plan['advance']['metrics'];
  const opens = (metrics: Judge, table: CountsTable, more: { late?: CountsTable } = {}) =>
    gatesOf(planWith({ advance: { metrics } }), viewOf({ ...FOUR, ...table }, more), { children: 4 }, stages)
      ?.length === 1;

  const WORST: Judge = { judge: 'worst' };
  const MEDIAN: Judge = { judge: 'median' };
  const MOST: Judge = { judge: 'share', share: 0.75 };

  it.each<[string, Judge, CountsTable, boolean]>([
    ['none are asked for', null, measured([900, 900, 900, 900]), true],
    ['all are good', WORST, measured([100, 100, 150, 190]), true],
    ['the worst is too slow', WORST, measured([100, 100, 150, 300]), false],
    ['the worst has too many errors', WORST, measured([100, 100, 150, 190], [0, 0, 0, 0.5]), false],
    ['the median is good enough', MEDIAN, measured([100, 100, 150, 900], [0, 0, 0, 0.5]), true],
    ['the median is not', MEDIAN, measured([100, 300, 900, 900]), false],
    ['three of four are', MOST, measured([100, 100, 150, 900], [0, 0, 0, 0.5]), true],
    ['two of four are not enough', MOST, measured([100, 100, 900, 900]), false],
    ['a child without calls meets nothing', MOST, measured([100, 100]), false],
    ['no calls at all are no evidence: worst', WORST, {}, false],
    ['no calls at all are no evidence: median', MEDIAN, {}, false],
    ['no calls at all are no evidence: share', MOST, {}, false],
    ['no evidence for one of two conditions', MEDIAN, measured([100, 100, 100, 100], []), false],
  ])('%s', (_, judge, table, isOpen) => {
    expect(opens(judge, table)).toBe(isOpen);
  });

  it('count what late joiners measured, too', () => {
    expect(opens(WORST, measured([100, 100, 100, 100]), { late: measured([900]) })).toBe(false);
    expect(
      opens(MOST, measured([100, 100, 900]), {
        late: { enrolled: 1, doing: 1, waiting: { Canary: 1 }, ...measured([100]) },
      }),
    ).toBe(false);
  });

  it('are no matter where the stage has no conditions', () => {
    const plan = planWith({ advance: { metrics: WORST } });
    expect(gatesOf(plan, viewOf(FOUR), { children: 4 })).toEqual([0]);
  });
});

describe('a soak', () => {
  const plan = planWith({ advance: { soakMs: 60 * SECOND } });
  const WAITING = snapshotOf({ a: viewOf({ enrolled: 3, doing: 3, waiting: { Canary: 3 } }) });
  const ONE_MORE = snapshotOf({
    a: viewOf({ enrolled: 3, doing: 3, waiting: { Canary: 2 }, inProgress: { Canary: 1 } }),
  });
  const at = (seconds: number): number => NOW + seconds * SECOND;
  const met = decide(running(plan, [located('a', 1)]), WAITING, NOW);

  it('begins when the conditions hold, and the gate opens when they have held for so long', () => {
    expect(met.open[0]).toMatchObject({ metSince: { 0: NOW }, gates: [] });
    expect(decide(met, WAITING, at(59))).toBe(met);
    expect(decide(met, WAITING, at(60)).open[0]?.gates).toEqual([0]);
  });

  it('begins again when they have not held meanwhile', () => {
    const broken = decide(met, ONE_MORE, at(30));
    expect(broken.open[0]?.metSince).toEqual({});
    expect(decide(broken, ONE_MORE, at(90)).open[0]?.gates).toEqual([]);
    const again = decide(broken, WAITING, at(100));
    expect(decide(again, WAITING, at(159)).open[0]?.gates).toEqual([]);
    expect(decide(again, WAITING, at(160)).open[0]?.gates).toEqual([0]);
  });

  it('begins again after a pause, or where its location was held: nobody has looked meanwhile', () => {
    const paused = resume({ ...met, state: 'paused' }, WAITING, NOW);
    expect(decide(paused, WAITING, at(60)).open[0]).toMatchObject({ metSince: { 0: at(60) }, gates: [] });
    const held = { ...met, open: met.open.map((location) => ({ ...location, held: 'why' })) };
    const goesOn = resumeLocation(held, 'a', WAITING, at(50));
    expect(decide(goesOn, WAITING, at(60)).open[0]).toMatchObject({ metSince: { 0: at(60) }, gates: [] });
  });
});

describe('approval', () => {
  const BOTH = viewOf({ enrolled: 3, doing: 3, completed: { Canary: 3, Test: 3 }, waiting: { Gradual: 3 } });
  it.each<[string, 'all' | string[], number[], number[]]>([
    ['of no stage', [], [], [0, 2]],
    ['of one', ['Gradual'], [], [0]],
    ['of one, given', ['Gradual'], [2], [0, 2]],
    ['of all', 'all', [], []],
    ['of all, given for one', 'all', [2], [2]],
  ])('%s', (_, stages, approved, gates) => {
    const plan = planWith({ advance: { approval: { stages, waves: false } } });
    expect(gatesOf(plan, BOTH, { approved })).toEqual(gates);
  });

  it('alone opens nothing', () => {
    const plan = planWith({ advance: { approval: { stages: 'all', waves: false } } });
    expect(
      gatesOf(plan, viewOf({ enrolled: 3, doing: 3, waiting: { Canary: 2 }, inProgress: { Canary: 1 } }), {
        approved: [0],
      }),
    ).toEqual([]);
  });

  it('may come before the soak is over', () => {
    const plan = planWith({ advance: { soakMs: 10 * SECOND, approval: { stages: 'all', waves: false } } });
    const snapshot = snapshotOf({ a: viewOf({ enrolled: 3, doing: 3, waiting: { Canary: 3 } }) });
    const soaking = decide(running(plan, [located('a', 1, { approved: [0] })]), snapshot, NOW);
    expect(soaking.open[0]).toMatchObject({ metSince: { 0: NOW }, gates: [] });
    expect(decide(soaking, snapshot, NOW + 10 * SECOND).open[0]?.gates).toEqual([0]);
  });
});

describe('locations', () => {
  const READY = viewOf({ enrolled: 3, doing: 3, waiting: { Canary: 3 } });
  const NOT_YET = viewOf({ enrolled: 3, doing: 3, waiting: { Canary: 2 }, inProgress: { Canary: 1 } });
  const gates = (plan: Plan, b: LocationView, more: Partial<OpenLocation> = {}) =>
    decide(running(plan, [located('a', 1), located('b', 2, more)]), snapshotOf({ a: READY, b }), NOW).open.map(
      (location) => location.gates,
    );

  it('go at their own pace', () => {
    expect(gates(planWith({}), NOT_YET)).toEqual([[0], []]);
  });

  it('or in lockstep: a stage ends in all of them together', () => {
    const plan = planWith({ stages: 'lockstep' });
    expect(gates(plan, NOT_YET)).toEqual([[], []]);
    expect(gates(plan, READY)).toEqual([[0], [0]]);
    expect(gates(plan, { ...READY, left: 1 }, { members: 4, children: null })).toEqual([[], []]);
    expect(gates(plan, READY, { held: 'why' })).toEqual([[], []]);
    // One where it has ended by an operator's word holds nobody up.
    expect(gates(plan, NOT_YET, { gates: [0] })).toEqual([[0], [0]]);
  });

  it('that are empty hold nobody up in lockstep', () => {
    const plan = planWith({ stages: 'lockstep' });
    const rollout = running(plan, [located('a', 1), located('b', 2, { members: 0, children: 0 })]);
    const after = settled(rollout, snapshotOf({ a: READY, b: viewOf({}) }));
    expect(after.open.map(({ id, gates: open }) => [id, open])).toEqual([['a', [0]]]);
    expect(after.completed).toEqual({ locations: 1, children: 0 });
  });
});

describe('a gate that nobody needed', () => {
  /** All that were members ended in the first stage; the last gate never opened. */
  const EARLY = { enrolled: 2, done: 2, doneWith: { Canary: 2 }, completed: { Canary: 2 } };
  const closed = (plan: Plan): Rollout =>
    settled(
      running(plan, [located('a', 1, { members: 2, children: 2, gates: [0] })]),
      snapshotOf({ a: viewOf(EARLY) }),
    );

  it.each<[string, Plan]>([
    ['of a location', planWith({})],
    [
      'of a wave of children',
      planWith({ locations: { by: 'child' }, waves: { kind: 'fixed', size: 2 }, stages: 'lockstep' }),
    ],
  ])('stays closed to a child that comes back after its location has completed: %s', (_, plan) => {
    const after = closed(plan);
    expect(isFinished(after.state)).toBe(true);
    expect(after.neverOpened).toEqual([{ n: 1, stages: [2] }]);
    expect(isGateOpen(after, { id: 'a', n: 1 }, 0, -1)).toBe(true);
    expect(isGateOpen(after, { id: 'a', n: 1 }, 2, -1)).toBe(false);
  });

  it('opens for late joiners before the location has completed', () => {
    const plan = planWith({ lateJoiners: 'join' });
    const rollout = running(plan, [located('a', 1, { members: 2, children: 2, gates: [0] })]);
    const after = (late: CountsTable) => settled(rollout, snapshotOf({ a: viewOf(EARLY, { late }) }));
    expect(after({ enrolled: 1, doing: 1, completed: { Canary: 1 }, inProgress: { Test: 1 } }).open).toMatchObject([
      { id: 'a', gates: [0] },
    ]);
    // In the same decision it completes: the others of its location have ended.
    const passed = after({ enrolled: 1, doing: 1, completed: { Canary: 1, Test: 1 }, waiting: { Gradual: 1 } });
    expect([passed.open, passed.neverOpened, passed.completed]).toEqual([[], [], { locations: 1, children: 2 }]);
    expect(isGateOpen(passed, { id: 'a', n: 1 }, 2, -1)).toBe(true);
    // One that is lost holds nothing.
    expect(
      after({ enrolled: 1, doing: 1, completed: { Canary: 1 }, inProgress: { Test: 1 }, lost: 1 }).neverOpened,
    ).toEqual([{ n: 1, stages: [2] }]);
  });
});
