/** Whose turn it is, rule by rule: waves, the pause and the approval between them, which are passed over, and how fast. */
import type { CountsTable } from '#test/harness/plans/counts.ts';
import type { LocationView } from '#domain/scheduling/snapshot.ts';
import { leaveOut } from '#domain/controls/controls.ts';
import { describe, expect, it } from 'vitest';
import { decide } from '#domain/scheduling/decide.ts';
import type { Plan, Rate, Waves } from '#domain/plan/plan.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';
import {
  located,
  NO_RATE,
  NOW,
  planWith,
  running,
  SECOND,
  settled,
  snapshotOf,
  started,
  viewOf,
} from '#test/harness/plans/tables.ts';

const at = (seconds: number): number => NOW + seconds * SECOND;
const ids = (from: number, count: number): { id: string; members: number }[] =>
  Array.from({ length: count }, (_, i) => ({ id: `l${from + i}`, members: 3 }));
const DONE: CountsTable = {
  enrolled: 3,
  done: 3,
  doneWith: { Gradual: 3 },
  completed: { Canary: 3, Test: 3, Gradual: 3 },
};

/** Locations of three children, ten of them, each wave completed before the next: the sizes of the waves. */
function wavesOf(waves: Waves, all = 10): number[] {
  const sizes: number[] = [];
  let state = started(planWith({ waves }));
  for (let i = 0; i < 20 && state.state === 'running'; i++) {
    const from = state.started.locations;
    const order = { locations: all, children: 3 * all, outside: 0, left: all - from };
    const open = Object.fromEntries(state.open.map(({ id }) => [id, viewOf(DONE)]));
    const next = ids(from + 1, all - from);
    // It completes, with all gates open; then the next wave in the same tick.
    const completing = {
      ...state,
      open: state.open.map((each) => ({ ...each, children: 3, gates: [0, 2] })),
      effects: [],
    };
    state = decide(completing, snapshotOf(open, { next, order, totals: { done: 1 } }), NOW);
    if (state.started.locations > from) sizes.push(state.started.locations - from);
  }
  expect(state.state).toBe('completed');
  return sizes;
}

describe('waves', () => {
  it.each<[Waves, number[]]>([
    [{ kind: 'fixed', size: 1 }, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]],
    [{ kind: 'fixed', size: 4 }, [4, 4, 2]],
    [{ kind: 'doubling' }, [1, 2, 4, 3]],
    [{ kind: 'shares', shares: [1] }, [10]],
    [{ kind: 'shares', shares: [0.1, 0.5, 1] }, [1, 4, 5]],
    [{ kind: 'shares', shares: [0.01, 0.02, 1] }, [1, 1, 8]],
  ])('of %j', (waves, sizes) => {
    expect(wavesOf(waves)).toEqual(sizes);
  });

  it('number locations in their order', () => {
    const order = { locations: 5, children: 15, outside: 0, left: 5 };
    const first = decide(
      started(planWith({ waves: { kind: 'fixed', size: 2 } })),
      snapshotOf({}, { next: ids(1, 5), order }),
      NOW,
    );
    expect(first.open.map(({ id, n, members }) => [id, n, members])).toEqual([
      ['l1', 1, 3],
      ['l2', 2, 3],
    ]);
    expect(first.effects).toEqual([
      { kind: 'enrol', location: 'l1', upTo: null },
      { kind: 'enrol', location: 'l2', upTo: null },
    ]);
    expect(first.order).toEqual({ locations: 5, children: 15, outside: 0 });
  });

  it('wait for the order of locations', () => {
    const state: Rollout = { ...started(planWith({})), effects: [{ kind: 'assign' }] };
    expect(decide(state, snapshotOf({}, { next: ids(1, 5), ordered: false }), NOW)).toBe(state);
    expect(decide(state, snapshotOf({}, { next: ids(1, 5) }), NOW).open).toHaveLength(1);
  });
});

describe('between two waves', () => {
  const plan = (waveSoakMs: number, approved = false): Plan =>
    planWith({ waveSoakMs, advance: { approval: { stages: [], waves: approved } } });
  const wave = (of: Plan, more: Partial<Rollout> = {}): Rollout => ({
    ...running(of, [located('l1', 1, { gates: [0, 2] })]),
    ...more,
  });
  const COMPLETING = snapshotOf({ l1: viewOf(DONE) }, { next: ids(2, 3) });
  const LATER = snapshotOf({}, { next: ids(2, 3), totals: DONE });
  const opened = (rollout: Rollout): string[] => rollout.open.map(({ id }) => id);

  it('is no pause unless the plan says so', () => {
    expect(opened(decide(wave(plan(0)), COMPLETING, NOW))).toEqual(['l2']);
  });

  it('is a soak', () => {
    const soaking = decide(wave(plan(60 * SECOND)), COMPLETING, NOW);
    expect(soaking).toMatchObject({ open: [], waveEndedAt: NOW, completed: { locations: 1, children: 3 } });
    expect(decide(soaking, LATER, at(59))).toBe(soaking);
    expect(opened(decide(soaking, LATER, at(60)))).toEqual(['l2']);
  });

  it('stands an operator', () => {
    const waiting = decide(wave(plan(0, true)), COMPLETING, NOW);
    expect(waiting.open).toEqual([]);
    expect(decide(waiting, LATER, at(1e6))).toBe(waiting);
    expect(opened(decide({ ...waiting, approvedWaves: 1 }, LATER, NOW))).toEqual(['l2']);
    // The approval of this wave is none of the next.
    const second = { ...wave(plan(0, true)), approvedWaves: 1, started: { locations: 2, waves: 2 } };
    expect(decide(second, COMPLETING, NOW).open).toEqual([]);
  });

  it('needs no approval of the first', () => {
    expect(opened(decide(started(plan(0, true)), snapshotOf({}, { next: ids(1, 3) }), NOW))).toEqual(['l1']);
  });

  it('all of the wave is waited for', () => {
    const two = { ...wave(plan(0)), open: [located('l1', 1, { gates: [0, 2] }), located('l2', 2)] };
    const half = decide(
      two,
      snapshotOf(
        { l1: viewOf(DONE), l2: viewOf({ enrolled: 3, doing: 3, inProgress: { Canary: 3 } }) },
        { next: ids(3, 1) },
      ),
      NOW,
    );
    expect(opened(half)).toEqual(['l2']);
    expect(half.waveEndedAt).toBeNull();
  });

  it('a location that was withdrawn is waited for no more', () => {
    const [open] = wave(plan(60 * SECOND)).open;
    if (open === undefined) throw new Error('nothing is open');
    const leaving = { as: 'aborted', reason: 'an operator', isToCome: true } as const;
    const withdrawn = leaveOut(wave(plan(60 * SECOND)), 'l1', leaving, NOW);
    expect(withdrawn).toMatchObject({ open: [], waveEndedAt: NOW, withdrawn: [{ id: 'l1', as: 'aborted' }] });
    expect(decide(withdrawn, LATER, at(59))).toBe(withdrawn);
    expect(opened(decide(withdrawn, LATER, at(60)))).toEqual(['l2']);
  });
});

describe('a location that is to be skipped', () => {
  it('is passed over at its turn, and counts in its wave', () => {
    const state = { ...started(planWith({ waves: { kind: 'fixed', size: 2 } })), skip: ['l2', 'l4'] };
    const first = decide(state, snapshotOf({}, { next: ids(1, 4) }), NOW);
    expect(first.open.map(({ id }) => id)).toEqual(['l1']);
    expect(first.withdrawn).toEqual([
      { id: 'l2', n: 2, as: 'skipped', reason: 'skipped by an operator', children: 3, gates: [] },
    ]);
    expect(first.started).toEqual({ locations: 2, waves: 1 });
  });

  it('is passed over with all of its wave', () => {
    const state = { ...started(planWith({ waveSoakMs: 60 * SECOND })), skip: ['l1'] };
    expect(decide(state, snapshotOf({}, { next: ids(1, 2) }), NOW)).toMatchObject({
      open: [],
      withdrawn: [{ id: 'l1' }],
    });
    const after = decide({ ...state, started: { locations: 1, waves: 1 } }, snapshotOf({}, { next: ids(2, 1) }), NOW);
    expect(after.open.map(({ id }) => id)).toEqual(['l2']);
  });

  it('completes nothing where it was everyone', () => {
    const state = { ...started(planWith({})), skip: ['l1'] };
    const passed = decide(state, snapshotOf({}, { next: ids(1, 1) }), NOW);
    expect(decide(passed, snapshotOf({}), NOW)).toMatchObject({ state: 'running', withdrawn: [{ as: 'skipped' }] });
  });
});

describe('waves of children', () => {
  const cohorts = (waves: Waves, more: Partial<Plan> = {}): Plan =>
    planWith({ locations: { by: 'child' }, waves, ...more });
  const all = (left: number) => ({
    next: left > 0 ? [{ id: 'wave', members: left }] : [],
    order: { locations: 100, children: 100, outside: 0, left },
  });

  it('are opened as one location, with so many of those who are left', () => {
    const first = decide(started(cohorts({ kind: 'shares', shares: [0.1, 1] })), snapshotOf({}, all(100)), NOW);
    expect(first.open).toMatchObject([{ id: 'wave-1', n: 1, members: 10, children: null }]);
    expect(first.effects).toEqual([{ kind: 'enrol', location: 'wave-1', upTo: 10 }]);
    expect(first.started).toEqual({ locations: 10, waves: 1 });
    const done = viewOf({ enrolled: 10, done: 10, doneWith: { Gradual: 10 } }, { left: 90 });
    const second = settled(first, snapshotOf({ 'wave-1': done }, all(90)));
    expect(second.open).toMatchObject([{ id: 'wave-2', n: 2, members: 90 }]);
    expect(second.completed).toEqual({ locations: 1, children: 10 });
  });

  it('are enrolled when they have their number, though others are left', () => {
    const first = decide(started(cohorts({ kind: 'fixed', size: 4 })), snapshotOf({}, all(100)), NOW);
    const partly = decide(
      first,
      snapshotOf({ 'wave-1': viewOf({ enrolled: 3, todo: 3 }, { left: 97 }) }, all(97)),
      NOW,
    );
    expect(partly.open).toMatchObject([{ children: null }]);
    const all4 = decide(first, snapshotOf({ 'wave-1': viewOf({ enrolled: 4, todo: 4 }, { left: 96 }) }, all(96)), NOW);
    expect(all4).toMatchObject({ open: [{ children: 4 }], effects: [] });
  });

  it('take fewer where fewer are left, or were', () => {
    const state = { ...started(cohorts({ kind: 'fixed', size: 4 })), started: { locations: 96, waves: 24 } };
    const last = decide(state, snapshotOf({}, all(2)), NOW);
    expect(last.open).toMatchObject([{ id: 'wave-25', members: 2 }]);
    // One of them has gone meanwhile.
    expect(settled(last, snapshotOf({ 'wave-25': viewOf({ enrolled: 1, todo: 1 }) }, all(0))).open).toMatchObject([
      { children: 1 },
    ]);
  });
});

describe('a rate', () => {
  const limit = (more: Partial<Rate>): Rate => ({ ...NO_RATE, ...more });
  const paced = (all: Partial<Rate>, location: Partial<Rate> = {}, more: Parameters<typeof planWith>[0] = {}): Plan =>
    planWith({ waves: { kind: 'fixed', size: 2 }, ...more, rate: { all: limit(all), location: limit(location) } });
  const todo = (enrolled: number, left: number, more: CountsTable = {}): LocationView =>
    viewOf({ enrolled, ...(enrolled === 0 ? {} : { doing: enrolled }), ...more }, { left });
  const two = (plan: Plan, members = 100): Rollout =>
    running(plan, [
      located('a', 1, { members, quota: 0, children: null }),
      located('b', 2, { members, quota: 0, children: null }),
    ]);
  const granted = ({ effects }: Rollout) =>
    effects.map((effect) => (effect.kind === 'enrol' ? [effect.location, effect.upTo] : [effect.kind]));
  /** What is granted at once, and so many seconds later, with what was granted before enrolled. */
  const tick = (state: Rollout, a: LocationView, b: LocationView, seconds: number): Rollout =>
    decide({ ...state, effects: [] }, snapshotOf({ a, b }), at(seconds));

  it('opens a location with nobody in it, and lets the first child in at once', () => {
    const state = started(paced({ perMinute: 60 }));
    const next = ids(1, 2);
    const open = decide(state, snapshotOf({}, { next }), NOW);
    expect(open.open).toMatchObject([{ quota: 0 }, { quota: 0 }]);
    expect(open.effects).toEqual([]);
    expect(granted(decide(open, snapshotOf({ l1: todo(0, 3), l2: todo(0, 3) }), NOW))).toEqual([['l1', 1]]);
  });

  it('gives so many a minute, saves up five seconds and no more', () => {
    const first = tick(two(paced({ perMinute: 60 })), todo(0, 100), todo(0, 100), 0);
    expect(granted(first)).toEqual([['a', 1]]);
    expect(granted(tick(first, todo(1, 99), todo(0, 100), 0.9))).toEqual([]);
    const second = tick(first, todo(1, 99), todo(0, 100), 2);
    expect(granted(second)).toEqual([['a', 3]]);
    expect(granted(tick(second, todo(3, 97), todo(0, 100), 600))).toEqual([['a', 8]]);
  });

  it('grants nothing more in a location before what was granted is done', () => {
    const first = tick(two(paced({ perMinute: 60 })), todo(0, 100), todo(0, 100), 0);
    const waiting = decide(first, snapshotOf({ a: todo(0, 100), b: todo(0, 100) }), at(3));
    expect(granted(waiting)).toEqual([
      ['a', 1],
      ['b', 3],
    ]);
  });

  it('of each location is its own', () => {
    const first = tick(two(paced({}, { perMinute: 60 })), todo(0, 100), todo(0, 100), 0);
    expect(granted(first)).toEqual([
      ['a', 1],
      ['b', 1],
    ]);
    expect(granted(tick(first, todo(1, 99), todo(1, 99), 3))).toEqual([
      ['a', 4],
      ['b', 4],
    ]);
  });

  it('grows with children that pass the first stage', () => {
    const plan = paced({ perMinute: 60, growth: { factor: 2, every: 10, upTo: 200 } });
    const grants = (passed: number): number => {
      const first = tick(two(plan), todo(0, 100), todo(0, 100), 0);
      const [[, upTo] = []] = granted(tick(first, todo(50, 50, { waiting: { Canary: passed } }), todo(0, 100), 3));
      return Number(upTo) - 50;
    };
    // 60, 120, 200 a minute for three seconds.
    expect([grants(9), grants(10), grants(20)]).toEqual([3, 6, 10]);
  });

  it('of bytes is one of children, by the size of the functions', () => {
    const plan = paced({ bytesPerSecond: 500 });
    const first = tick({ ...two(plan), bundleBytes: 1000 }, todo(0, 100), todo(0, 100), 0);
    expect(granted(tick(first, todo(1, 99), todo(0, 100), 4))).toEqual([['a', 3]]);
  });

  it('is waited for in turns, too', () => {
    const plan = planWith({ locations: { by: 'child' }, rate: { all: limit({ perMinute: 60 }), location: NO_RATE } });
    const next = [{ id: 'c1', members: null }];
    const first = decide(started(plan), snapshotOf({}, { next }), NOW);
    expect(first).toMatchObject({ open: [{ id: 'c1', quota: null }], pace: { at: NOW, credit: 0 } });
    const idle: Rollout = { ...first, open: [], effects: [] };
    expect(decide(idle, snapshotOf({}, { next }), at(0.9))).toBe(idle);
    expect(decide(idle, snapshotOf({}, { next }), at(1)).open).toHaveLength(1);
  });

  describe('at once', () => {
    it.each<[string, number, LocationView, LocationView, (string | number)[][]]>([
      [
        'all have room',
        300,
        todo(0, 100),
        todo(0, 100),
        [
          ['a', 100],
          ['b', 100],
        ],
      ],
      [
        'a child underway takes room',
        120,
        todo(90, 10),
        todo(0, 10),
        [
          ['a', 100],
          ['b', 10],
        ],
      ],
      [
        'one that has ended leaves it',
        100,
        todo(90, 10, { doing: 40, done: 50 }),
        todo(0, 10),
        [
          ['a', 100],
          ['b', 10],
        ],
      ],
      [
        'and so does one that is lost',
        100,
        todo(100, 0, { lost: 3 }),
        todo(97, 3, { doing: 0, done: 97 }),
        [['b', 100]],
      ],
      [
        'or was ejected',
        100,
        todo(100, 0, { doing: 97, ejected: 3 }),
        todo(97, 3, { doing: 0, done: 97 }),
        [['b', 100]],
      ],
      ['there is no room', 100, todo(100, 0), todo(97, 3, { doing: 0, done: 97 }), []],
    ])('%s', (_, atOnce, a, b, grants) => {
      const known = two(paced({ atOnce })).open.map((each) => ({ ...each, children: 100 }));
      const rollout = { ...two(paced({ atOnce })), open: known };
      expect(granted(decide(rollout, snapshotOf({ a, b }), NOW))).toEqual(grants);
    });

    it('waits for room in turns, too', () => {
      const all = limit({ atOnce: 1 });
      const plan = planWith({ locations: { by: 'child' }, rate: { all, location: NO_RATE } });
      const next = [{ id: 'c2', members: null }];
      // A child that was lost when its turn ended has come back.
      const rollout = {
        ...started(plan),
        started: { locations: 1, waves: 1 },
        completed: { locations: 1, children: 1 },
      };
      expect(decide(rollout, snapshotOf({}, { next, totals: { enrolled: 1, doing: 1 } }), NOW)).toBe(rollout);
      expect(
        decide(rollout, snapshotOf({}, { next, totals: { enrolled: 1, doing: 1, lost: 1 } }), NOW).open,
      ).toHaveLength(1);
    });

    it('counts what was granted to others and is not enrolled yet', () => {
      const plan = paced({ atOnce: 150 });
      const first: Rollout = {
        ...two(plan),
        open: [
          located('a', 1, { members: 50, quota: 50, children: null }),
          located('b', 2, { members: 200, quota: 0, children: 0 }),
        ],
        effects: [{ kind: 'enrol', location: 'a', upTo: 50 }],
      };
      // The members of a come first, and late joiners of b after them.
      const after = decide(first, snapshotOf({ a: todo(20, 30), b: todo(0, 200) }), NOW);
      expect(granted(after)).toEqual([['a', 50]]);
    });

    it('counts no child that was granted room and has gone', () => {
      const rollout: Rollout = {
        ...two(paced({ atOnce: 100 })),
        open: [
          located('a', 1, { members: 50, quota: 50, children: 20 }),
          located('b', 2, { members: 80, quota: 0, children: null }),
        ],
      };
      expect(granted(decide(rollout, snapshotOf({ a: todo(20, 0), b: todo(0, 80) }), NOW))).toEqual([['b', 80]]);
    });

    it('lets late joiners take no room that a member may need', () => {
      const rollout = running(paced({ atOnce: 5 }, {}, { lateJoiners: 'join' }), [
        located('a', 1, { members: 3, children: 3, quota: 3 }),
        located('b', 2, { members: 2, children: null, quota: 0 }),
      ]);
      const snapshot = snapshotOf({ a: todo(3, 1, { waiting: { Canary: 3 } }), b: todo(0, 2) });
      expect(granted(decide(rollout, snapshot, NOW))).toEqual([['b', 2]]);
    });

    it('waits for no late joiner that may never find room', () => {
      const rollout = running(paced({}, { atOnce: 3 }, { lateJoiners: 'join' }), [
        located('a', 1, { members: 3, children: null, quota: 3 }),
      ]);
      const after = decide(rollout, snapshotOf({ a: todo(3, 1, { waiting: { Canary: 3 } }) }), NOW);
      expect(after.open).toMatchObject([{ children: 3, gates: [0] }]);
      // Without a limit it is enrolled in a moment, and holds the gate until then.
      const free = running(planWith({ lateJoiners: 'join' }), [located('a', 1, { members: 3, children: null })]);
      expect(decide(free, snapshotOf({ a: todo(3, 1, { waiting: { Canary: 3 } }) }), NOW).open).toMatchObject([
        { children: null },
      ]);
    });

    it('begins no location whose children might keep what another waits for', () => {
      const plan = paced({ atOnce: 5 }, { perMinute: 60 });
      const rollout = two(plan, 4);
      const first = tick(rollout, todo(0, 4), todo(0, 4), 0);
      expect(granted(first)).toEqual([['a', 1]]);
      const second = tick(first, todo(1, 3), todo(0, 4), 2);
      expect(granted(second)).toEqual([['a', 3]]);
      const third = tick(second, todo(3, 1), todo(0, 4), 4);
      expect(granted(third)).toEqual([['a', 4]]);
      // Once a has all of its children, they go on, and leave their room to those of b.
      const enrolled = {
        ...third,
        open: third.open.map((each) => (each.id === 'a' ? { ...each, children: 4 } : each)),
      };
      expect(granted(tick(enrolled, todo(4, 0), todo(0, 4), 6))).toEqual([['b', 1]]);
      // Where both have room, both begin.
      expect(granted(tick(two(paced({ atOnce: 8 }, { perMinute: 60 }), 4), todo(0, 4), todo(0, 4), 0))).toEqual([
        ['a', 1],
        ['b', 1],
      ]);
    });

    it.each<[string, Plan, (string | undefined)[]]>([
      ['enough for each', paced({ atOnce: 3 }), [undefined, undefined]],
      [
        'too few for one',
        paced({ atOnce: 2 }, {}, { advance: { quorum: 0.5 } }),
        Array(2).fill(
          'at most 2 children have the release at once, but stage "Canary" ends only when all 3 have it',
        ) as string[],
      ],
      [
        'too few in a location',
        paced({}, { atOnce: 2 }),
        Array(2).fill(
          'at most 2 children have the release at once, but stage "Canary" ends only when all 3 have it',
        ) as string[],
      ],
      [
        'too few for both, in lockstep',
        paced({ atOnce: 5 }, {}, { stages: 'lockstep' }),
        Array(2).fill(
          'at most 5 children have the release at once, but stage "Canary" ends only when all 6 have it',
        ) as string[],
      ],
      ['where each passes by itself', paced({ atOnce: 2 }, {}, { locations: { by: 'child' } }), [undefined]],
    ])('says so where a stage could never end: %s', (_, plan, held) => {
      const order = { locations: 2, children: 6, outside: 0, left: 2 };
      const after = decide(started(plan), snapshotOf({}, { next: ids(1, 2), order }), NOW);
      expect(after.open.map((location) => location.held)).toEqual(held);
    });
  });
});

describe('late joiners', () => {
  it('are let in where a location is open, once, and never where it is held', () => {
    const plan = planWith({ lateJoiners: 'join' });
    const rollout = running(plan, [located('a', 1), located('b', 2), located('c', 3, { held: 'why' })]);
    const one = (left: number): LocationView => viewOf({ enrolled: 3, doing: 3, inProgress: { Canary: 3 } }, { left });
    const after = decide(rollout, snapshotOf({ a: one(2), b: one(0), c: one(1) }), NOW);
    expect(after.effects).toEqual([{ kind: 'enrol', location: 'a', upTo: null }]);
    expect(decide(after, snapshotOf({ a: one(2), b: one(0), c: one(1) }), NOW)).toBe(after);
    expect(decide(after, snapshotOf({ a: one(0), b: one(0), c: one(1) }), NOW).effects).toEqual([]);
  });

  it('keep a release from its end while they are underway', () => {
    const rollout: Rollout = {
      ...running(planWith({ lateJoiners: 'join' }), []),
      completed: { locations: 1, children: 3 },
    };
    const totals = { enrolled: 4, done: 3, doing: 1 };
    expect(decide(rollout, snapshotOf({}, { totals }), NOW)).toBe(rollout);
    expect(decide(rollout, snapshotOf({}, { totals: { ...totals, lost: 1 } }), NOW).state).toBe('completed');
    expect(decide(rollout, snapshotOf({}, { totals: { enrolled: 4, done: 4 } }), NOW).state).toBe('completed');
  });
});
