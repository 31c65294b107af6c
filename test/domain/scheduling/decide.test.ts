/** A tick: what it does from the start of a release to its end. The rules of a plan have tables of their own beside this. */
import type { CountsTable } from '#test/harness/plans/counts.ts';
import { abortRollout } from '#domain/rollout/stop.ts';
import { PRESETS } from '#domain/plan/presets.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide } from '#domain/scheduling/decide.ts';
import { type Rollout, ROLLOUT_STATES, startRollout, publishedRollout } from '#domain/rollout/rollout.ts';
import { located, NOW, running, snapshotOf, STAGES, viewOf } from '#test/harness/plans/tables.ts';

const start = (plan: keyof typeof PRESETS = 'global-incremental'): Rollout =>
  startRollout(
    publishedRollout({ release: '21', shortId: '1', stages: STAGES, plan: PRESETS[plan] }),
    PRESETS[plan],
    NOW,
    NOW - 1000,
  );

/** All children are in one location, enrolled straight from the fleet. */
const direct = (enrolled: number | null, table: CountsTable = {}) =>
  snapshotOf({ all: viewOf(table, { left: null, enrolled }) });
const NOBODY_YET = snapshotOf({}, { next: [{ id: 'all', members: null }] });
const ALL_OPEN = { id: 'all', n: 1, members: null, quota: null, children: null, gates: [] };

/** A rollout with all children enrolled, as after the first ticks. */
function underway(children: number): Rollout {
  const opened = decide(start(), NOBODY_YET, NOW);
  return decide(opened, direct(children, { enrolled: children }), NOW);
}

describe('a tick', () => {
  it('opens the first location and asks for its enrolment', () => {
    const next = decide(start(), NOBODY_YET, NOW);
    expect(next.open).toEqual([ALL_OPEN]);
    expect(next.effects).toEqual([{ kind: 'enrol', location: 'all', upTo: null }]);
  });

  it('takes the enrolment for complete once it is in every partition', () => {
    expect(underway(3).effects).toEqual([]);
    expect(underway(3).open).toEqual([{ ...ALL_OPEN, children: 3 }]);
  });

  it('changes nothing, and gives the same object, when nothing has happened', () => {
    const state = underway(3);
    expect(decide(state, direct(3, { enrolled: 3, doing: 3, inProgress: { Canary: 3 } }), NOW)).toBe(state);
  });

  it.each<[string, CountsTable, number[]]>([
    ['one child is still InProgress', { enrolled: 3, doing: 3, waiting: { Canary: 2 }, inProgress: { Canary: 1 } }, []],
    ['all are SuccessWaiting', { enrolled: 3, doing: 3, waiting: { Canary: 3 } }, [0]],
    [
      'some have Completed already',
      { enrolled: 3, doing: 3, waiting: { Canary: 1 }, completed: { Canary: 2 }, inProgress: { Test: 2 } },
      [0],
    ],
    [
      'a child failed but goes on with another stage',
      { enrolled: 3, doing: 3, waiting: { Canary: 2 }, failure: { Canary: 1 }, inProgress: { Gradual: 1 } },
      [],
    ],
    [
      'an A/B stage needs no gate',
      { enrolled: 3, doing: 3, completed: { Canary: 3, Test: 3 }, inProgress: { Gradual: 3 } },
      [0],
    ],
    [
      'a child Done earlier is not waited for',
      {
        enrolled: 3,
        doing: 2,
        done: 1,
        doneWith: { Canary: 1 },
        completed: { Canary: 3, Test: 2 },
        waiting: { Gradual: 2 },
      },
      [0, 2],
    ],
  ])('opens gates by the children’s statuses: %s', (_, table, gates) => {
    expect(decide(underway(3), direct(3, table), NOW).open[0]?.gates).toEqual(gates);
  });

  it('halts at the first failure and names the child and the stage', () => {
    const table = { enrolled: 3, doing: 2, failed: 1, waiting: { Canary: 2 }, failure: { Canary: 1 } };
    const next = decide(underway(3), { ...direct(3, table), failed: { child: 'c7', stage: 0, status: 5 } }, NOW);
    expect(next.state).toBe('halted');
    expect(next.reason).toBe('child c7 reported Failure in stage "Canary"');
    expect(next.open[0]?.gates).toEqual([]);
  });

  it('completes when every enrolled child is Done', () => {
    const next = decide(
      underway(2),
      direct(2, { enrolled: 2, done: 2, doneWith: { Gradual: 2 }, completed: { Canary: 2, Test: 2, Gradual: 2 } }),
      NOW,
    );
    expect(next.state).toBe('completed');
    expect(next.completed).toEqual({ locations: 1, children: 2 });
  });

  it('stays running with nobody to enrol', () => {
    const state = underway(0);
    expect(decide(state, direct(0), NOW)).toBe(state);
    expect(state.state).toBe('running');
  });

  it('keeps why it was halted when it is aborted', () => {
    const halted: Rollout = { ...underway(2), state: 'halted', reason: 'child b2 reported Failure in stage "Canary"' };
    expect(abortRollout(halted, NOW, 'aborted by an operator').reason).toBe(
      'aborted by an operator (it was halted: child b2 reported Failure in stage "Canary")',
    );
    expect(abortRollout(underway(2), NOW, 'aborted by an operator').reason).toBe('aborted by an operator');
  });

  it('never touches an aborted or halted rollout', () => {
    const done = direct(2, { enrolled: 2, doing: 2, waiting: { Canary: 2 } });
    const aborted = abortRollout(underway(2), NOW, 'no');
    expect(decide(aborted, done, NOW)).toBe(aborted);
    const halted: Rollout = { ...underway(2), state: 'halted' };
    expect(decide(halted, done, NOW).open[0]?.gates).toEqual([]);
  });
});

describe('a snapshot that was read while a child failed', () => {
  it('halts on what the location shows, though the totals do not yet', () => {
    const open = running(PRESETS['location-sequential'], [located('a', 1, { members: null, children: 1 })]);
    const view = viewOf({ enrolled: 1, failed: 1, failure: { Canary: 1 } }, { left: null, enrolled: 1 });
    const snapshot = snapshotOf({ a: view }, { totals: { enrolled: 1, doing: 1 }, next: [{ id: 'b', members: null }] });
    const next = decide(open, snapshot, NOW);
    expect([next.state, next.open.map(({ id }) => id)]).toEqual(['halted', ['a']]);
  });
});

describe('location-sequential', () => {
  const child = (table: CountsTable, enrolled: number | null) => viewOf(table, { left: null, enrolled });
  const DONE = { enrolled: 1, done: 1, doneWith: { Gradual: 1 }, completed: { Canary: 1, Test: 1, Gradual: 1 } };
  const next = (...ids: string[]) => ids.map((id) => ({ id, members: null }));

  it('takes one location after the other, in order', () => {
    let state = start('location-sequential');
    expect(state.effects).toEqual([{ kind: 'assign' }]);
    state = decide(state, snapshotOf({}, { ordered: false, next: next('a') }), NOW);
    expect(state.open).toEqual([]);
    state = decide(state, snapshotOf({}, { next: next('a', 'b') }), NOW);
    expect(state.open.map(({ id }) => id)).toEqual(['a']);
    expect(state.effects).toEqual([{ kind: 'enrol', location: 'a', upTo: null }]);
    state = decide(
      state,
      snapshotOf({ a: child({ enrolled: 1, doing: 1, waiting: { Canary: 1 } }, 1) }, { next: next('b') }),
      NOW,
    );
    expect(state.open).toEqual([{ ...located('a', 1), members: null, children: 1, gates: [0] }]);
    state = decide(state, snapshotOf({ a: child(DONE, 1) }, { next: next('b') }), NOW);
    expect(state.open.map(({ id, n }) => [id, n])).toEqual([['b', 2]]);
    state = decide(state, snapshotOf({ b: child(DONE, 1) }), NOW);
    expect(state.state).toBe('completed');
    expect(state.completed).toEqual({ locations: 2, children: 2 });
  });

  it('passes over a location whose child is gone', () => {
    let state = decide(start('location-sequential'), snapshotOf({}, { next: next('a', 'b') }), NOW);
    state = decide(state, snapshotOf({ a: child({}, 0) }, { next: next('b') }), NOW);
    expect(state.open.map(({ id }) => id)).toEqual(['b']);
    expect(state.completed.children).toBe(0);
  });

  it('goes on past a child that failed within the budget, though its own quorum wanted it', () => {
    const plan = {
      ...PRESETS['location-sequential'],
      failure: { location: null, all: { count: 1, share: 0, then: 'hold' } },
    } as const;
    const failed = { enrolled: 1, failed: 1, failure: { Canary: 1 } };
    const open = running(plan, [located('a', 1, { children: 1 })]);
    const after = decide(open, snapshotOf({ a: child(failed, 1) }, { next: next('b') }), NOW);
    expect([after.state, after.open.map(({ id }) => id)]).toEqual(['running', ['b']]);
  });

  it('keeps no note of gates that a child did not need: a million of them would fill the rollout', () => {
    const early = { enrolled: 1, done: 1, doneWith: { Canary: 1 }, completed: { Canary: 1 } };
    const open = running(PRESETS['location-sequential'], [located('a', 1, { children: 1, gates: [0] })]);
    expect(decide(open, snapshotOf({ a: child(early, 1) }), NOW)).toMatchObject({
      state: 'completed',
      neverOpened: [],
    });
  });
});

describe('law 4: never fail open', () => {
  const count = fc.nat(4);
  const anyTable = fc
    .record({
      todo: count,
      doing: count,
      done: count,
      failed: count,
      inProgress: fc.record({ Canary: count, Gradual: count }),
      waiting: fc.record({ Canary: count, Gradual: count }),
      completed: fc.record({ Canary: count, Gradual: count }),
      failure: fc.record({ Canary: count }),
      doneWith: fc.record({ Canary: count, Gradual: count }),
    })
    .map((table) => ({ ...table, enrolled: table.todo + table.doing + table.done + table.failed }));
  const anySnapshot = fc.record({ table: anyTable, enrolled: fc.option(fc.nat(4), { nil: null }) });
  const anyState = fc.constantFrom(...ROLLOUT_STATES);

  it('opens a gate only on its condition, never on half-done enrolment or at count 0', () => {
    fc.assert(
      fc.property(anySnapshot, anyState, fc.boolean(), ({ table, enrolled }, state, isEnrolled) => {
        const before: Rollout = {
          ...start(),
          state,
          open: [{ ...ALL_OPEN, children: isEnrolled ? (enrolled ?? 0) : null }],
          effects: isEnrolled ? [] : [{ kind: 'enrol', location: 'all', upTo: null }],
        };
        const after = decide(before, direct(enrolled, table), NOW);
        for (const location of after.open)
          for (const gate of location.gates) {
            expect(state).toBe('running');
            // One that was added after the enrolment was complete is waited for too.
            const known = before.open[0]?.children ?? null;
            const children = known === null ? (enrolled ?? 0) : Math.max(known, table.enrolled);
            const doneBefore = gate === 2 ? table.doneWith.Canary : 0;
            const stage = gate === 0 ? 'Canary' : 'Gradual';
            const passed = table.waiting[stage] + table.completed[stage];
            expect(children - doneBefore).toBeGreaterThan(0);
            expect(passed).toBeGreaterThanOrEqual(children - doneBefore);
            expect(STAGES[gate]?.type).toBe('WaitForSignal');
          }
        if (after.state === 'completed' && state === 'running') expect(after.completed.children).toBeGreaterThan(0);
        if (state !== 'running') expect(after.state).toBe(state);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('a release that is taken back', () => {
  const back = (completed: boolean, unreached = 0, aborted = false) =>
    new Map([['', { completed, unreached, aborted }]]);
  const reverting: Rollout = {
    ...start(),
    state: 'reverting',
    reason: 'taken back by an operator',
    effects: [{ kind: 'compensate', location: null }],
  };
  const decided = (compensations: ReturnType<typeof back>): Rollout =>
    decide(reverting, { ...snapshotOf({}), compensations }, NOW);

  it('has been asked for once the compensating release is there', () => {
    expect(decide(reverting, snapshotOf({}), NOW)).toBe(reverting);
    expect(decided(back(false))).toMatchObject({ state: 'reverting', effects: [] });
  });

  it('is reverted when the compensating release has completed, and says who could not be reached', () => {
    expect(decided(back(true))).toMatchObject({
      state: 'reverted',
      reason: 'taken back by an operator',
      endedAt: NOW,
    });
    expect(decided(back(true, 2)).reason).toBe('taken back by an operator (2 children could not be reached yet)');
    expect(decided(back(true, 2, true)).reason).toBe(
      'taken back by an operator (the compensating release was aborted before every child had it)',
    );
  });
});

describe('a compensating release', () => {
  const plan = { ...PRESETS['global-incremental'], failure: { location: null, all: null }, compensates: '20' };
  const open = running(plan, [located('all', 1, { children: 2 })]);
  const DONE = { enrolled: 2, done: 2, doneWith: { Gradual: 2 } };
  type Source = { done: number; coming: number; gated?: number };
  const decided = (table: CountsTable, source: Source) =>
    decide(
      open,
      { ...snapshotOf({ all: viewOf(table, { left: null, enrolled: 2 }) }), takenBack: { gated: 0, ...source } },
      NOW,
    ).state;

  it.each<[string, CountsTable, Source, string]>([
    ['every child has it', DONE, { done: 2, coming: 0 }, 'completed'],
    ['one waits at a closed gate of what is taken back', DONE, { done: 2, coming: 0, gated: 1 }, 'running'],
    ['one is lost, and waited for', { enrolled: 2, done: 1, doing: 1, lost: 1 }, { done: 2, coming: 0 }, 'running'],
    ['one will yet be Done with the release that is taken back', DONE, { done: 2, coming: 1 }, 'running'],
    ['one was Done with it meanwhile', DONE, { done: 3, coming: 0 }, 'running'],
    ['a failure is an end, too', { enrolled: 2, done: 1, failed: 1 }, { done: 2, coming: 0 }, 'completed'],
  ])('goes on until every child has it: %s', (_, table, source, state) => {
    expect(decided(table, source)).toBe(state);
  });
});

describe('a snapshot’s counts', () => {
  it('are read, never changed', () => {
    const view = viewOf({ enrolled: 2, doing: 2, waiting: { Canary: 2 } });
    const before = structuredClone(view.counts);
    decide(running(PRESETS.waves, [located('a', 1, { children: 2 })]), snapshotOf({ a: view }), NOW);
    expect(view.counts).toEqual(before);
  });
});
