/** A tick: what it does from the start of a release to its end. The rules of a plan have tables of their own beside this. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide, type LocationView } from '#domain/decide.ts';
import { PRESETS } from '#domain/plan.ts';
import { abortRollout, type Rollout, ROLLOUT_STATES, startRollout, publishedRollout } from '#domain/rollout.ts';
import { counted, type Fields, located, NOW, running, snapshotOf, STAGES, viewOf } from '#test/harness/plan-tables.ts';

const start = (plan: keyof typeof PRESETS = 'global-incremental'): Rollout =>
  startRollout(publishedRollout('21', '1', STAGES, PRESETS[plan]), PRESETS[plan], NOW, NOW - 1000);

/** All children are in one location, enrolled straight from the fleet. */
const direct = (enrolled: number | null, counts: Fields = {}, more: Partial<LocationView> = {}) =>
  snapshotOf({ all: viewOf(counts, { left: null, enrolled, ...more }) });
const NOBODY_YET = snapshotOf({}, { next: [{ id: 'all', members: null }] });
const ALL_OPEN = { id: 'all', n: 1, members: null, quota: null, children: null, gates: [] };

/** A rollout with all children enrolled, as after the first ticks. */
function underway(children: number): Rollout {
  const opened = decide(start(), NOBODY_YET, NOW);
  return decide(opened, direct(children, { n: children }), NOW);
}

describe('a tick', () => {
  it('opens the first location and asks for its enrolment', () => {
    const next = decide(start(), NOBODY_YET, NOW);
    expect(next.open).toEqual([ALL_OPEN]);
    expect(next.effects).toEqual([{ kind: 'enrol', location: 'all', upTo: null }]);
  });

  it('marks the enrolment done once every partition has', () => {
    expect(underway(3).effects).toEqual([]);
    expect(underway(3).open).toEqual([{ ...ALL_OPEN, children: 3 }]);
  });

  it('changes nothing, and gives the same object, when nothing has happened', () => {
    const state = underway(3);
    expect(decide(state, direct(3, { n: 3, r2: 3, 's0.1': 3 }), NOW)).toBe(state);
  });

  it.each<[string, Fields, number[]]>([
    ['one child is still InProgress', { n: 3, r2: 3, 's0.2': 2, 's0.1': 1 }, []],
    ['all are SuccessWaiting', { n: 3, r2: 3, 's0.2': 3 }, [0]],
    ['some have Completed already', { n: 3, r2: 3, 's0.2': 1, 's0.4': 2, 's1.1': 2 }, [0]],
    ['a child failed but goes on with another stage', { n: 3, r2: 3, 's0.2': 2, 's0.5': 1, 's2.1': 1 }, []],
    ['an A/B stage needs no gate', { n: 3, r2: 3, 's0.4': 3, 's1.4': 3, 's2.1': 3 }, [0]],
    ['a child Done earlier is not waited for', { n: 3, r2: 2, r3: 1, d0: 1, 's0.4': 3, 's1.4': 2, 's2.2': 2 }, [0, 2]],
  ])('opens gates by the children’s statuses: %s', (_, counts, gates) => {
    expect(decide(underway(3), direct(3, counts), NOW).open[0]?.gates).toEqual(gates);
  });

  it('halts at the first failure and names the child and the stage', () => {
    const counts = { n: 3, r2: 2, r4: 1, 's0.2': 2, 's0.5': 1 };
    const next = decide(underway(3), { ...direct(3, counts), failed: { child: 'c7', stage: 0, status: 5 } }, NOW);
    expect(next.state).toBe('halted');
    expect(next.reason).toBe('child c7 reported Failure in stage "Canary"');
    expect(next.open[0]?.gates).toEqual([]);
  });

  it('completes when every enrolled child is Done', () => {
    const next = decide(underway(2), direct(2, { n: 2, r3: 2, d2: 2, 's0.4': 2, 's1.4': 2, 's2.4': 2 }), NOW);
    expect(next.state).toBe('completed');
    expect(next.closed).toEqual({ locations: 1, children: 2 });
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
    const done = direct(2, { n: 2, r2: 2, 's0.2': 2 });
    const aborted = abortRollout(underway(2), NOW, 'no');
    expect(decide(aborted, done, NOW)).toBe(aborted);
    const halted: Rollout = { ...underway(2), state: 'halted' };
    expect(decide(halted, done, NOW).open[0]?.gates).toEqual([]);
  });
});

describe('a snapshot that was read while a child failed', () => {
  it('halts on what the location shows, though the totals do not yet', () => {
    const open = running(PRESETS['location-sequential'], [located('a', 1, { members: null, children: 1 })]);
    const view = viewOf({ n: 1, r4: 1, 's0.5': 1 }, { left: null, enrolled: 1 });
    const snapshot = snapshotOf({ a: view }, { totals: { n: 1, r2: 1 }, next: [{ id: 'b', members: null }] });
    const next = decide(open, snapshot, NOW);
    expect([next.state, next.open.map(({ id }) => id)]).toEqual(['halted', ['a']]);
  });
});

describe('location-sequential', () => {
  const child = (counts: Fields, enrolled: number | null) => viewOf(counts, { left: null, enrolled });
  const DONE = { n: 1, r3: 1, d2: 1, 's0.4': 1, 's1.4': 1, 's2.4': 1 };
  const next = (...ids: string[]) => ids.map((id) => ({ id, members: null }));

  it('takes one location after the other, in order', () => {
    let state = start('location-sequential');
    expect(state.effects).toEqual([{ kind: 'order' }]);
    state = decide(state, snapshotOf({}, { ordered: false, next: next('a') }), NOW);
    expect(state.open).toEqual([]);
    state = decide(state, snapshotOf({}, { next: next('a', 'b') }), NOW);
    expect(state.open.map(({ id }) => id)).toEqual(['a']);
    expect(state.effects).toEqual([{ kind: 'enrol', location: 'a', upTo: null }]);
    state = decide(state, snapshotOf({ a: child({ n: 1, r2: 1, 's0.2': 1 }, 1) }, { next: next('b') }), NOW);
    expect(state.open).toEqual([{ ...located('a', 1), members: null, children: 1, gates: [0] }]);
    state = decide(state, snapshotOf({ a: child(DONE, 1) }, { next: next('b') }), NOW);
    expect(state.open.map(({ id, n }) => [id, n])).toEqual([['b', 2]]);
    state = decide(state, snapshotOf({ b: child(DONE, 1) }), NOW);
    expect(state.state).toBe('completed');
    expect(state.closed).toEqual({ locations: 2, children: 2 });
  });

  it('passes over a location whose child is gone', () => {
    let state = decide(start('location-sequential'), snapshotOf({}, { next: next('a', 'b') }), NOW);
    state = decide(state, snapshotOf({ a: child({}, 0) }, { next: next('b') }), NOW);
    expect(state.open.map(({ id }) => id)).toEqual(['b']);
    expect(state.closed.children).toBe(0);
  });

  it('goes on past a child that failed within the budget, though its own quorum wanted it', () => {
    const plan = {
      ...PRESETS['location-sequential'],
      failure: { location: null, all: { count: 1, share: 0, then: 'hold' } },
    } as const;
    const failed = { n: 1, r4: 1, 's0.5': 1 };
    const open = running(plan, [located('a', 1, { children: 1 })]);
    const after = decide(open, snapshotOf({ a: child(failed, 1) }, { next: next('b') }), NOW);
    expect([after.state, after.open.map(({ id }) => id)]).toEqual(['running', ['b']]);
  });

  it('keeps no note of gates that a child did not need: a million of them would fill the rollout', () => {
    const early = { n: 1, r3: 1, d0: 1, 's0.4': 1 };
    const open = running(PRESETS['location-sequential'], [located('a', 1, { children: 1, gates: [0] })]);
    expect(decide(open, snapshotOf({ a: child(early, 1) }), NOW)).toMatchObject({ state: 'completed', shut: [] });
  });
});

describe('law 4: never fail open', () => {
  const count = fc.nat(4);
  const anyCounts = fc
    .record({
      r1: count,
      r2: count,
      r3: count,
      r4: count,
      's0.1': count,
      's0.2': count,
      's0.4': count,
      's0.5': count,
      's2.1': count,
      's2.2': count,
      's2.4': count,
      d0: count,
      d2: count,
    })
    .map((counts) => ({ ...counts, n: counts.r1 + counts.r2 + counts.r3 + counts.r4 }));
  const anySnapshot = fc.record({ counts: anyCounts, enrolled: fc.option(fc.nat(4), { nil: null }) });
  const anyState = fc.constantFrom(...ROLLOUT_STATES);

  it('opens a gate only on its condition, never on half-done enrolment or at count 0', () => {
    fc.assert(
      fc.property(anySnapshot, anyState, fc.boolean(), ({ counts, enrolled }, state, marked) => {
        const before: Rollout = {
          ...start(),
          state,
          open: [{ ...ALL_OPEN, children: marked ? (enrolled ?? 0) : null }],
          effects: marked ? [] : [{ kind: 'enrol', location: 'all', upTo: null }],
        };
        const after = decide(before, direct(enrolled, counts), NOW);
        for (const location of after.open)
          for (const gate of location.gates) {
            expect(state).toBe('running');
            // One that was added after the marks were set is waited for too.
            const marks = before.open[0]?.children ?? null;
            const children = marks === null ? (enrolled ?? 0) : Math.max(marks, counts.n);
            const doneBefore = gate === 2 ? counts.d0 : 0;
            const passed = gate === 0 ? counts['s0.2'] + counts['s0.4'] : counts['s2.2'] + counts['s2.4'];
            expect(children - doneBefore).toBeGreaterThan(0);
            expect(passed).toBeGreaterThanOrEqual(children - doneBefore);
            expect(STAGES[gate]?.type).toBe('WaitForSignal');
          }
        if (after.state === 'completed' && state === 'running') expect(after.closed.children).toBeGreaterThan(0);
        if (state !== 'running') expect(after.state).toBe(state);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('a release that is taken back', () => {
  const back = (through: boolean, unreached = 0, aborted = false) => new Map([['', { through, unreached, aborted }]]);
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

  it('is reverted when the compensating release is through, and says who could not be reached', () => {
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
  const DONE = { n: 2, r3: 2, d2: 2 };
  const decided = (counts: Fields, source: { done: number; coming: number; held?: number }) =>
    decide(
      open,
      { ...snapshotOf({ all: viewOf(counts, { left: null, enrolled: 2 }) }), source: { held: 0, ...source } },
      NOW,
    ).state;

  it.each<[string, Fields, { done: number; coming: number; held?: number }, string]>([
    ['every child has it', DONE, { done: 2, coming: 0 }, 'completed'],
    ['one is held in what is taken back', DONE, { done: 2, coming: 0, held: 1 }, 'running'],
    ['one is lost, and waited for', { n: 2, r3: 1, r2: 1, m1: 1 }, { done: 2, coming: 0 }, 'running'],
    ['one will yet be Done with the release that is taken back', DONE, { done: 2, coming: 1 }, 'running'],
    ['one was Done with it meanwhile', DONE, { done: 3, coming: 0 }, 'running'],
    ['a failure is an end, too', { n: 2, r3: 1, r4: 1 }, { done: 2, coming: 0 }, 'completed'],
  ])('goes on until every child has it: %s', (_, counts, source, state) => {
    expect(decided(counts, source)).toBe(state);
  });
});

describe('a snapshot’s counts', () => {
  it('are read, never changed', () => {
    const counts = counted({ n: 2, r2: 2, 's0.2': 2 });
    const before = new Map(counts);
    const view = { ...viewOf({}), counts };
    decide(running(PRESETS.waves, [located('a', 1, { children: 2 })]), snapshotOf({ a: view }), NOW);
    expect(counts).toEqual(before);
  });
});
