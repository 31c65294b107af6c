/** The model that plans are tried on: small fleets worked out by hand, and held against the one that has each child. */
import { PRESETS } from '#domain/plan/presets.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createCalendar } from '#simulation/calendar.ts';
import { seededRandom } from '#simulation/chance.ts';
import { happenings } from '#simulation/course.ts';
import { earliestTimes } from '#simulation/earliest.ts';
import { type Behaviour, IDEAL, mixOf, sizeOf, sliced } from '#simulation/fates.ts';
import type { SimulatedStage } from '#simulation/flow.ts';
import { createFleet } from '#simulation/fleet.ts';
import { type SimulateOptions, type Simulation, simulatePlan } from '#simulation/simulate.ts';
import { type Plan, rulesOf } from '#domain/plan/plan.ts';
import { publishedRollout, type Rollout, startRollout } from '#domain/rollout/rollout.ts';
import { toFields } from '#store/layout/counts-codec.ts';
import { anyPlan } from '#test/harness/plans/arbitrary-scenarios.ts';
import { counts, type CountsTable } from '#test/harness/plans/counts.ts';
import { play, type Scenario } from '#test/harness/plans/play.ts';
import { NO_RATE, planWith } from '#test/harness/plans/tables.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const STAGES: SimulatedStage[] = [
  { name: 'Canary', type: 'WaitForSignal', minDurationMs: 10 * SECOND },
  { name: 'Test', type: 'A/B', minDurationMs: 20 * SECOND },
  { name: 'Gradual', type: 'WaitForSignal', minDurationMs: 15 * SECOND },
];
const CANARY = STAGES.slice(0, 1);

const sized = (...sizes: number[]) => sizes.map((children, i) => ({ id: `l${i + 1}`, children }));

function simulated(plan: Plan, sizes: number[], more: Partial<SimulateOptions> & { as?: Partial<Behaviour> } = {}) {
  const { as = {}, ...rest } = more;
  return simulatePlan({
    plan,
    stages: STAGES,
    locations: sized(...sizes),
    behaviour: { ...IDEAL, ...as },
    random: seededRandom(1),
    tickMs: 0,
    ...rest,
  });
}

/** `10 gate l1 Canary`: seconds, what, where, and which stage. */
const told = ({ course }: Pick<Simulation, 'course'>): string[] =>
  course.map(({ atMs, what }) => {
    const parts = [
      what.kind,
      what.kind === 'wave' ? what.locations.map(({ id }) => id).join(' ') : '',
      'location' in what ? (what.location ?? '') : '',
      'stage' in what ? (what.stage ?? '') : '',
      what.kind === 'withdrawn' ? what.as : '',
      what.kind === 'state' ? what.state : '',
    ];
    return [atMs / SECOND, ...parts.filter((part) => part !== '')].join(' ');
  });

describe('a course without chance', () => {
  it('of everyone together, in lockstep', () => {
    const simulation = simulated(PRESETS['global-incremental'], [3]);
    expect(told(simulation)).toEqual([
      '0 wave all',
      '0 enrolled all',
      '10 gate all Canary',
      '45 gate all Gradual',
      '45 completed all',
      '45 state completed',
    ]);
    expect(simulation.end).toEqual({ state: 'completed', reason: null, atMs: 45_000, cut: null, waits: [] });
    expect(simulation.children).toEqual({ all: 3, todo: 0, doing: 0, done: 3, failed: 0, lost: 0 });
  });

  it('of one child after another', () => {
    expect(told(simulated(PRESETS['location-sequential'], [2], { stages: CANARY }))).toEqual([
      '0 ordered',
      '0 wave l1-1',
      '0 enrolled l1-1',
      '10 gate l1-1 Canary',
      '10 completed l1-1',
      '10 wave l1-2',
      '10 enrolled l1-2',
      '20 gate l1-2 Canary',
      '20 completed l1-2',
      '20 state completed',
    ]);
  });

  it('of waves, with a soak between them', () => {
    expect(told(simulated(PRESETS.waves, [1, 2, 3], { stages: CANARY }))).toEqual([
      '0 ordered',
      '0 wave l1',
      '0 enrolled l1',
      '10 gate l1 Canary',
      '10 completed l1',
      '610 wave l2 l3',
      '610 enrolled l2',
      '610 enrolled l3',
      '620 gate l2 Canary',
      '620 gate l3 Canary',
      '620 completed l2',
      '620 completed l3',
      '620 state completed',
    ]);
  });

  it('of waves of children', () => {
    const plan: Plan = { ...PRESETS['all-at-once'], waves: { kind: 'shares', shares: [0.4, 1] } };
    const simulation = simulated(plan, [10]);
    expect(told(simulation)).toEqual([
      '0 ordered',
      '0 wave wave-1',
      '0 enrolled wave-1',
      '45 completed wave-1',
      '45 wave wave-2',
      '45 enrolled wave-2',
      '90 completed wave-2',
      '90 state completed',
    ]);
    expect(simulation.course[3]?.children).toMatchObject({ all: 10, done: 4 });
  });

  it('with a soak, and an operator who takes a minute', () => {
    const plan = planWith({
      waves: { kind: 'shares', shares: [1] },
      advance: { soakMs: 30 * SECOND, approval: { stages: ['Canary'], waves: false } },
    });
    expect(told(simulated(plan, [1], { stages: CANARY, approveAfterMs: MINUTE })).slice(2)).toEqual([
      '0 enrolled l1',
      '100 approved l1 Canary',
      '100 gate l1 Canary',
      '100 completed l1',
      '100 state completed',
    ]);
    const never = simulated(plan, [1], { stages: CANARY });
    expect(never.end).toMatchObject({
      state: 'running',
      cut: null,
      waits: [{ location: 'l1', stage: 'Canary', for: 'an operator to approve the stage (promote)' }],
    });
  });

  it('at a rate: one at once, then what two seconds bring', () => {
    const plan = planWith({ rate: { all: { ...NO_RATE, perMinute: 60 }, location: NO_RATE } });
    const simulation = simulated(plan, [5], { stages: CANARY });
    // One at 0, three at 2, five at 4: the last of them has passed at 14.
    expect(told(simulation).slice(2)).toEqual([
      '4 enrolled l1',
      '14 gate l1 Canary',
      '14 completed l1',
      '14 state completed',
    ]);
    // One in ten seconds: the pause between two ticks is as long as that.
    const slow = planWith({ rate: { all: { ...NO_RATE, perMinute: 6 }, location: NO_RATE } });
    const paced = simulated(slow, [4], { stages: CANARY });
    expect(told(paced)[2]).toBe('30 enrolled l1');
    expect(paced.ticks).toBeLessThan(40);
  });

  it('at most so many at once', () => {
    const plan: Plan = {
      ...PRESETS['all-at-once'],
      rate: { all: { ...NO_RATE, atOnce: 2 }, location: NO_RATE },
    };
    const simulation = simulated(plan, [5], { stages: CANARY });
    expect(simulation.end).toMatchObject({ state: 'completed', atMs: 30_000 });
  });
});

describe('what goes wrong', () => {
  it('is a failure that holds one location, and lets the others go on', () => {
    const plan: Plan = { ...PRESETS['location-parallel'] };
    const simulation = simulated(plan, [2, 2], { stages: CANARY, as: { fail: { all: 0, locations: { l2: 0.5 } } } });
    expect(told(simulation).slice(2)).toEqual([
      '0 enrolled l1',
      '0 enrolled l2',
      '10 gate l1 Canary',
      '10 held l2',
      '10 completed l1',
    ]);
    expect(simulation.end).toMatchObject({ state: 'running', cut: null });
    expect(simulation.end.waits[0]?.for).toMatch(/^an operator: child l2-\d reported Failure in stage "Canary"/);
    expect(simulation.children).toMatchObject({ done: 2, failed: 1, doing: 1 });
  });

  it.each([
    ['hold', 'halted'],
    ['abort', 'aborted'],
    ['revert', 'reverted'],
  ] as const)('spends the budget over all: %s', (then, state) => {
    const plan = planWith({ failure: { location: null, all: { count: 0, share: 0.2, then } } });
    const within = simulated(plan, [10], { stages: CANARY, as: { fail: { all: 0.2 } } });
    expect(within.end.state).toBe('running');
    const over = simulated(plan, [10], { stages: CANARY, as: { fail: { all: 0.3 } } });
    expect(over.end).toMatchObject({ state });
    expect(over.end.reason).toMatch(/3 of 10 children failed, budget 2 \(20 %\)/);
  });

  it('is silence: lost after a while, within the quorum', () => {
    const plan = planWith({ lostAfterMs: MINUTE, advance: { quorum: 0.5 } });
    const simulation = simulated(plan, [2], { stages: CANARY, as: { lost: { all: 0.5 } } });
    expect(told(simulation).slice(3)).toEqual(['10 gate l1 Canary', '60 completed l1', '60 state completed']);
    expect(simulation.children).toMatchObject({ done: 1, lost: 1, doing: 1 });
    // It comes back, and goes on though its location has completed.
    const back = simulated(planWith({ lostAfterMs: MINUTE }), [2], {
      stages: CANARY,
      as: { lost: { all: 0.5 }, returnsAfterMs: 2 * MINUTE },
    });
    expect(told(back).slice(3)).toEqual(['120 gate l1 Canary', '120 completed l1', '120 state completed']);
    expect(back.children).toMatchObject({ done: 2, lost: 0 });
  });

  it('is a stage that takes too long', () => {
    const deadline = { afterMs: 15 * SECOND, then: 'hold' as const };
    const slow = { slow: { all: 1 }, slowFactor: 3 };
    const simulation = simulated(planWith({ deadline }), [2], { stages: CANARY, as: slow });
    expect(told(simulation).slice(3)).toEqual(['15 held l1']);
    const failing = planWith({
      deadline: { ...deadline, then: 'fail' },
      failure: { location: null, all: { count: 1, share: 0, then: 'hold' } },
    });
    expect(simulated(failing, [2], { stages: CANARY, as: slow }).end).toMatchObject({
      state: 'halted',
      atMs: 15_000,
      reason: '2 of 2 children overdue, budget 1',
    });
  });

  it('ends at a bound, and says what it waited for', () => {
    const { end } = simulated(PRESETS.waves, [1, 1], { stages: CANARY, untilMs: 5 * MINUTE });
    expect(end).toMatchObject({ state: 'running', cut: 'time', atMs: 5 * MINUTE });
    expect(end.waits.map((wait) => wait.for)).toEqual(['310 s of soak between waves']);
    expect(simulated(PRESETS['location-sequential'], [1000], { maxTicks: 100 }).end.cut).toBe('ticks');
  });
});

describe('late joiners', () => {
  const joining = (lateJoiners: Plan['lateJoiners']) =>
    simulated(planWith({ lateJoiners, waveSoakMs: MINUTE }), [2, 2], {
      lateJoiners: { children: 4, withinMs: 40 * SECOND },
    });

  it('are enrolled where the plan takes them, and hold nothing', () => {
    const with4 = joining('join');
    const without = joining('none');
    expect(without.children).toMatchObject({ all: 4, done: 4 });
    expect(with4.children.all).toBeGreaterThan(4);
    expect(with4.end.state).toBe('completed');
    const first = (simulation: Simulation) => told(simulation).find((line) => line.includes('gate l1 Canary'));
    expect(first(with4)).toBe(first(without));
  });
});

describe('the model', () => {
  const plan = rulesOf(planWith({}));
  function at(seconds: number) {
    const model = createFleet({
      plan,
      stages: STAGES,
      locations: sized(4),
      behaviour: { ...IDEAL, fail: { all: 0.25 } },
      random: seededRandom(3),
    });
    const published = publishedRollout({ release: 'r', shortId: '1', stages: STAGES, plan: planWith({}) });
    let rollout: Rollout = startRollout(published, planWith({}), 0, 0);
    model.perform(rollout);
    rollout = {
      ...rollout,
      open: [{ id: 'l1', n: 1, members: 4, quota: null, children: null, gates: [] }],
      started: { locations: 1, waves: 1 },
      effects: [{ kind: 'enrol', location: 'l1', upTo: 3 }],
    };
    model.perform(rollout);
    // Done twice, it's done once.
    model.perform(rollout);
    model.advanceTo(seconds * SECOND);
    return model;
  }
  /** What is counted then, in all and in the only location, without what is zero. */
  const counted = (seconds: number) => {
    const { totals, locations } = at(seconds).snapshot();
    const view = locations.get('l1');
    const found = toFields(totals);
    expect(view === undefined ? null : toFields(view.counts)).toEqual(found);
    return { left: view?.left, found };
  };
  const expected = (left: number, table: CountsTable) => ({ left, found: toFields(counts(table)) });

  it('counts as an aggregate does', () => {
    expect(counted(9)).toEqual(expected(1, { enrolled: 3, doing: 3, inProgress: { Canary: 3 } }));
    expect([
      expected(1, { enrolled: 3, doing: 3, waiting: { Canary: 3 } }),
      expected(1, { enrolled: 3, doing: 2, failed: 1, waiting: { Canary: 2 }, failure: { Canary: 1 } }),
    ]).toContainEqual(counted(10));
    expect(at(0).nextEvent()).toBe(10 * SECOND);
  });

  it('holds no gate open by itself', () => {
    expect(at(1e6).snapshot().totals.stages[1]).toBeUndefined();
  });
});

describe('cohorts', () => {
  it('keep their number and their fates, however they are cut', () => {
    const share = fc.constantFrom(0, 0.001, 0.3, 1);
    fc.assert(
      fc.property(
        fc.nat(5000),
        fc.record({ fail: share, lost: share, slow: share }),
        fc.integer({ min: 1, max: 20 }),
        fc.nat(),
        (n, shares, slices, seed) => {
          const random = seededRandom(seed);
          const behaviour: Behaviour = {
            ...IDEAL,
            fail: { all: shares.fail },
            lost: { all: shares.lost },
            slow: { all: shares.slow },
          };
          const mix = mixOf(n, 'l1', behaviour, { stages: 3, random });
          expect(sizeOf(mix)).toBe(n);
          expect(mix.every((each) => each >= 0)).toBe(true);
          const parts = sliced(mix, slices, random);
          expect(mix.map((_, fate) => parts.reduce((sum, part) => sum + (part[fate] ?? 0), 0))).toEqual(
            parts.length === 0 ? mix.map(() => 0) : mix,
          );
          const sizes = parts.map(sizeOf);
          if (sizes.length === slices) expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(mix.length);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('wait in the order of their times, then in that of their coming', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20), { maxLength: 60 }), (times) => {
        const calendar = createCalendar<number>();
        times.forEach((time, i) => calendar.add(time, i));
        const taken: number[] = [];
        while (calendar.next() < Infinity) {
          const at = calendar.next();
          const event = calendar.take() ?? -1;
          expect(times[event]).toBe(at);
          taken.push(event);
        }
        const sorted = times.map((time, i) => ({ time, i })).sort((a, b) => a.time - b.time || a.i - b.i);
        expect(taken).toEqual(sorted.map(({ i }) => i));
      }),
      { numRuns: 200 },
    );
  });
});

describe('the earliest times', () => {
  it('are those of a fleet that is never late', () => {
    const { locations, endsAtMs } = earliestTimes({ plan: PRESETS.waves, stages: STAGES, locations: sized(1, 2, 3) });
    expect(
      locations.map(({ id, wave, children, opensAtMs, completesAtMs }) => [
        id,
        wave,
        children,
        opensAtMs,
        completesAtMs,
      ]),
    ).toEqual([
      ['l1', 1, 1, 0, 45_000],
      ['l2', 2, 2, 645_000, 690_000],
      ['l3', 2, 3, 645_000, 690_000],
    ]);
    expect(endsAtMs).toBe(690_000);
  });

  it('of a million children one after another are known at once', () => {
    const { locations, endsAtMs } = earliestTimes({
      plan: PRESETS['location-sequential'],
      stages: STAGES,
      locations: sized(1_000_000),
    });
    expect(locations).toHaveLength(50);
    expect(locations[49]).toMatchObject({ id: 'l1-50', n: 50, opensAtMs: 49 * 45_000, completesAtMs: 50 * 45_000 });
    expect(endsAtMs).toBe(1_000_000 * 45_000);
  });

  it('are not known where it could never end', () => {
    const plan = planWith({ rate: { all: { ...NO_RATE, atOnce: 1 }, location: NO_RATE } });
    const { locations, endsAtMs } = earliestTimes({ plan, stages: STAGES, locations: sized(3) });
    expect([locations[0]?.completesAtMs, endsAtMs]).toEqual([null, null]);
  });
});

describe('both models', () => {
  const SHORT: SimulatedStage[] = STAGES.map((stage, i) => ({ ...stage, minDurationMs: (i + 1) * SECOND }));

  /** What happened, in its order: times are finer in one of them, and names differ. */
  function orderOf(found: ReturnType<typeof happenings>): string[] {
    const numbers = new Map<string, number>();
    return found.flatMap((what) => {
      if (what.kind === 'wave') for (const { id, n } of what.locations) numbers.set(id, n);
      if (what.kind === 'wave') return [`wave ${what.locations.map(({ n }) => n).join(' ')}`];
      if (what.kind === 'approved' || what.kind === 'ordered') return [];
      // How long a compensating release takes is a guess in both.
      if (what.kind === 'withdrawn' && what.as === 'reverted') return [];
      if (what.kind === 'state') return [what.state];
      return [`${what.kind} ${numbers.get(what.location)} ${'stage' in what ? what.stage : ''}`];
    });
  }

  function agree(plan: Plan, sizes: number[], stages: SimulatedStage[], failing: number | null) {
    const simulation = simulatePlan({
      plan,
      stages,
      locations: sizes.map((children, i) => ({ id: `h${i}`, children })),
      behaviour: { ...IDEAL, fail: { all: 0, locations: failing === null ? {} : { [`h${failing}`]: 1 } } },
      random: seededRandom(1),
      tickMs: 0,
      approveAfterMs: 0,
    });
    const found: ReturnType<typeof happenings> = [];
    const scenario: Scenario = {
      plan,
      stages: stages.map(({ name, type }) => ({ name, type })),
      homes: sizes.length,
      children: sizes.flatMap((size, home) =>
        Array.from({ length: size }, () => ({
          home,
          joinsAt: 0,
          leavesAt: null,
          returnsAfter: null,
          stages: stages.map(({ minDurationMs }) => ({
            does: home === failing ? ('fails' as const) : ('succeeds' as const),
            seconds: minDurationMs / SECOND,
            median: 50,
            errors: 0,
          })),
        })),
      ),
      bundleBytes: 0,
      skip: [],
      operator: [],
      approves: true,
      faults: ['none'],
    };
    const played = play(scenario, { decided: ({ before, after }) => void found.push(...happenings(before, after)) });
    const all = played.fleet.children;
    expect(orderOf(simulation.course.map(({ what }) => what))).toEqual(orderOf(found));
    expect(simulation.end.state).toBe(played.rollout.state);
    // Where it's stopped, those who have it already go on in one of them.
    if (played.rollout.state !== 'completed') return;
    expect([simulation.children.done, simulation.children.failed]).toEqual([
      all.filter(({ ended }) => ended === 'Done').length,
      all.filter(({ ended }) => ended === 'Failed').length,
    ]);
  }

  // What depends on how much time passes within a second, or on who is first in it, is left out: there they differ by nature.
  const anyTimeless = anyPlan.map((plan): Plan => ({
    ...plan,
    rate: { all: NO_RATE, location: NO_RATE },
    lateJoiners: 'none',
    lostAfterMs: null,
    deadline: null,
    advance: { ...plan.advance, metrics: null, approval: { ...plan.advance.approval, stages: [] } },
  }));
  const anySizes = fc.array(fc.nat(4), { minLength: 1, maxLength: 5 });

  it('take the same course where all succeed', () => {
    fc.assert(
      fc.property(anyTimeless, anySizes, (plan, sizes) => agree(plan, sizes, SHORT, null)),
      { numRuns: 200 },
    );
  });

  it('take the same course where a location fails', () => {
    fc.assert(
      fc.property(anyTimeless, anySizes, fc.nat(4), (plan, sizes, failing) =>
        agree(plan, sizes, SHORT.slice(0, 1), failing % sizes.length),
      ),
      { numRuns: 200 },
    );
  });
});
