import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide, type Snapshot } from '#domain/decide.ts';
import { PRESETS } from '#domain/plan.ts';
import { abortRollout, publishedRollout, type Rollout, ROLLOUT_STATES, startRollout } from '#domain/rollout.ts';

const STAGES = [
  { name: 'Canary', type: 'WaitForSignal' },
  { name: 'Test', type: 'A/B' },
  { name: 'Gradual', type: 'WaitForSignal' },
] as const;
const NOW = 1_700_000_000_000;

const started = (plan: keyof typeof PRESETS = 'global-incremental'): Rollout =>
  startRollout(publishedRollout('21', '1', STAGES, PRESETS[plan]), PRESETS[plan], NOW, NOW - 1000);

function snapshot(
  parts: Partial<Snapshot> & { counts?: Record<string, number>; enrolled?: number | null } = {},
): Snapshot {
  const { counts = {}, enrolled = null, ...rest } = parts;
  const map = new Map(Object.entries(counts));
  return {
    totals: map,
    locations: new Map([['all', { counts: map, enrolled }]]),
    next: [],
    ordered: true,
    failed: null,
    ...rest,
  };
}

/** A rollout with all children enrolled, as after the first ticks. */
function underway(children: number): Rollout {
  const opened = decide(started(), snapshot({ next: ['all'] }), NOW);
  return decide(opened, snapshot({ enrolled: children, counts: { n: children } }), NOW);
}

describe('a tick', () => {
  it('opens the first location and asks for its enrolment', () => {
    const next = decide(started(), snapshot({ next: ['all'] }), NOW);
    expect(next.open).toEqual([{ id: 'all', children: null, gates: [] }]);
    expect(next.effects).toEqual([{ kind: 'enrol', location: 'all' }]);
  });

  it('marks the enrolment done once every partition has', () => {
    expect(underway(3).effects).toEqual([]);
    expect(underway(3).open).toEqual([{ id: 'all', children: 3, gates: [] }]);
  });

  it('changes nothing, and gives the same object, when nothing has happened', () => {
    const state = underway(3);
    expect(decide(state, snapshot({ enrolled: 3, counts: { n: 3, r2: 3, 's0.1': 3 } }), NOW)).toBe(state);
  });

  it.each<[string, Record<string, number>, number[]]>([
    ['one child is still InProgress', { n: 3, r2: 3, 's0.2': 2, 's0.1': 1 }, []],
    ['all are SuccessWaiting', { n: 3, r2: 3, 's0.2': 3 }, [0]],
    ['some have Completed already', { n: 3, r2: 3, 's0.2': 1, 's0.4': 2, 's1.1': 2 }, [0]],
    ['a child failed but goes on with another stage', { n: 3, r2: 3, 's0.2': 2, 's0.5': 1, 's2.1': 1 }, []],
    ['an A/B stage needs no gate', { n: 3, r2: 3, 's0.4': 3, 's1.4': 3, 's2.1': 3 }, [0]],
    ['a child Done earlier is not waited for', { n: 3, r2: 2, r3: 1, d0: 1, 's0.4': 3, 's1.4': 2, 's2.2': 2 }, [0, 2]],
  ])('opens gates by the children’s statuses: %s', (_, counts, gates) => {
    expect(decide(underway(3), snapshot({ enrolled: 3, counts }), NOW).open[0]?.gates).toEqual(gates);
  });

  it('halts at the first failure and names the child and the stage', () => {
    const next = decide(
      underway(3),
      snapshot({
        enrolled: 3,
        counts: { n: 3, r2: 2, r4: 1, 's0.2': 2, 's0.5': 1 },
        failed: { child: 'c7', stage: 0, status: 5 },
      }),
      NOW,
    );
    expect(next.state).toBe('halted');
    expect(next.reason).toBe('child c7 reported Failure in stage "Canary"');
    expect(next.open[0]?.gates).toEqual([]);
  });

  it('completes when every enrolled child is Done', () => {
    const next = decide(
      underway(2),
      snapshot({ enrolled: 2, counts: { n: 2, r3: 2, d2: 2, 's0.4': 2, 's1.4': 2, 's2.4': 2 } }),
      NOW,
    );
    expect(next.state).toBe('completed');
    expect(next.closed).toEqual({ locations: 1, children: 2 });
  });

  it('stays running with nobody to enrol', () => {
    const state = underway(0);
    expect(decide(state, snapshot({ enrolled: 0 }), NOW)).toBe(state);
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
    const done = snapshot({ enrolled: 2, counts: { n: 2, r2: 2, 's0.2': 2 } });
    const aborted = abortRollout(underway(2), NOW, 'no');
    expect(decide(aborted, done, NOW)).toBe(aborted);
    const halted: Rollout = { ...underway(2), state: 'halted' };
    expect(decide(halted, done, NOW).open[0]?.gates).toEqual([]);
  });
});

describe('a snapshot that was read while a child failed', () => {
  it('halts on what the location shows, though the totals do not yet', () => {
    const open = { ...started('location-sequential'), effects: [], open: [{ id: 'a', children: 1, gates: [] }] };
    const failed = new Map([
      [
        'a',
        {
          counts: new Map([
            ['n', 1],
            ['r4', 1],
            ['s0.5', 1],
          ]),
          enrolled: 1,
        },
      ],
    ]);
    const next = decide(open, snapshot({ counts: { n: 1, r2: 1 }, locations: failed, next: ['b'] }), NOW);
    expect([next.state, next.open.map(({ id }) => id)]).toEqual(['halted', ['a']]);
  });
});

describe('location-sequential', () => {
  const location = (counts: Record<string, number>, enrolled: number | null) => ({
    counts: new Map(Object.entries(counts)),
    enrolled,
  });
  const DONE = { n: 1, r3: 1, d2: 1, 's0.4': 1, 's1.4': 1, 's2.4': 1 };

  it('takes one location after the other, in order', () => {
    let state = started('location-sequential');
    expect(state.effects).toEqual([{ kind: 'order' }]);
    state = decide(state, snapshot({ ordered: false, next: ['a'] }), NOW);
    expect(state.open).toEqual([]);
    state = decide(state, snapshot({ next: ['a', 'b'] }), NOW);
    expect(state.open.map(({ id }) => id)).toEqual(['a']);
    state = decide(
      state,
      snapshot({ next: ['b'], locations: new Map([['a', location({ n: 1, r2: 1, 's0.2': 1 }, 1)]]) }),
      NOW,
    );
    expect(state.open).toEqual([{ id: 'a', children: 1, gates: [0] }]);
    state = decide(state, snapshot({ next: ['b'], locations: new Map([['a', location(DONE, 1)]]) }), NOW);
    expect(state.open.map(({ id }) => id)).toEqual(['b']);
    state = decide(state, snapshot({ locations: new Map([['b', location(DONE, 1)]]) }), NOW);
    expect(state.state).toBe('completed');
    expect(state.closed).toEqual({ locations: 2, children: 2 });
  });

  it('passes over a location whose child is gone', () => {
    let state = decide(started('location-sequential'), snapshot({ next: ['a', 'b'] }), NOW);
    state = decide(state, snapshot({ next: ['b'], locations: new Map([['a', location({}, 0)]]) }), NOW);
    expect(state.open.map(({ id }) => id)).toEqual(['b']);
    expect(state.closed.children).toBe(0);
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
          ...started(),
          state,
          open: [{ id: 'all', children: marked ? (enrolled ?? 0) : null, gates: [] }],
          effects: marked ? [] : [{ kind: 'enrol', location: 'all' }],
        };
        const after = decide(before, snapshot({ counts, enrolled }), NOW);
        for (const location of after.open)
          for (const gate of location.gates) {
            expect(state).toBe('running');
            const children = before.open[0]?.children ?? enrolled ?? 0;
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
