import { DEFAULT_PLAN, PRESETS } from '#domain/plan/presets.ts';
import { describe, expect, it } from 'vitest';
import { type Plan, type Rate, type Region } from '#domain/plan/plan.ts';
import { lostAfterFault, percentOf, planFaults, planStageFaults } from '#domain/plan/check.ts';
import type { Stage } from '#domain/strategy/strategy.ts';

const BASE: Plan = PRESETS[DEFAULT_PLAN];
const HOLD = { count: 0, share: 0, then: 'hold' } as const;
const NO_RATE: Rate = { perMinute: null, growth: null, atOnce: null, bytesPerSecond: null };

const advance = (more: Partial<Plan['advance']>): Partial<Plan> => ({ advance: { ...BASE.advance, ...more } });
const limits = (more: Partial<Rate>): Partial<Plan> => ({ rate: { all: { ...NO_RATE, ...more }, location: NO_RATE } });
const GRID = { by: 'grid', cellKm: 100 } as const;
const region = (name: string): Region => ({ name, area: { type: 'Polygon', coordinates: [] } });
const regions = (...names: string[]): Plan['locations'] => ({
  by: 'regions',
  outside: 'refuse',
  regions: names.map(region),
});

const faultsOf = (more: Partial<Plan>) => planFaults({ ...BASE, ...more });
const pathsOf = (more: Partial<Plan>) => faultsOf(more).map(({ path }) => path);

describe('a plan', () => {
  it.each(Object.values(PRESETS))('is fine as the preset $name', (preset) => {
    expect(planFaults(preset)).toEqual([]);
  });

  const growth = { factor: 2, every: 50, upTo: 1000 };
  const ALONE: Partial<Plan> = { locations: { by: 'child' }, stages: 'own-pace', waves: { kind: 'doubling' } };
  const TURNS: Partial<Plan> = { ...ALONE, waves: { kind: 'fixed', size: 1 } };

  it.each<[string, Partial<Plan>, string[]]>([
    ['a quorum of 0', advance({ quorum: 0 }), ['advance.quorum']],
    ['a quorum above 1', advance({ quorum: 1.01 }), ['advance.quorum']],
    ['a quorum that is no number', advance({ quorum: NaN }), ['advance.quorum']],
    [
      'a quorum that the budget of all leaves no room for',
      { ...advance({ quorum: 0.95 }), failure: { location: null, all: { ...HOLD, share: 0.1 } } },
      ['advance.quorum'],
    ],
    [
      'a quorum that the budget of a location leaves no room for',
      {
        ...advance({ quorum: 0.95 }),
        locations: GRID,
        failure: { location: { ...HOLD, share: 0.1 }, all: { ...HOLD, share: 0.01 } },
      },
      ['advance.quorum'],
    ],
    [
      'a quorum of all beside a budget by count',
      { failure: { location: null, all: { ...HOLD, count: 1 } } },
      ['advance.quorum'],
    ],
    [
      'a quorum of all beside one by share',
      { failure: { location: null, all: { ...HOLD, share: 0.01 } } },
      ['advance.quorum'],
    ],
    [
      'a budget of everybody',
      { ...advance({ quorum: 0.01 }), failure: { location: null, all: { ...HOLD, share: 1 } } },
      ['advance.quorum'],
    ],
    [
      'a budget above everybody',
      { ...advance({ quorum: 0.5 }), failure: { location: null, all: { ...HOLD, share: 1.1 } } },
      ['advance.quorum', 'failure.all.share'],
    ],
    [
      'a budget below nobody',
      { failure: { location: null, all: { ...HOLD, share: -0.1, count: -1 } } },
      ['failure.all.count', 'failure.all.share'],
    ],
    [
      'a location’s budget of half a child',
      { ...advance({ quorum: 0.5 }), locations: GRID, failure: { location: { ...HOLD, count: 0.5 }, all: null } },
      ['failure.location.count'],
    ],
    ['no budget at all', { failure: { location: null, all: null } }, ['failure']],
    ['a location budget for all', { failure: { location: HOLD, all: null } }, ['failure.location']],
    [
      'a location budget for a child',
      { locations: { by: 'child' }, failure: { location: HOLD, all: HOLD } },
      ['failure.location'],
    ],
    ['nobody as the least', advance({ minChildren: 0 }), ['advance.min_children']],
    ['half a child as the least', advance({ minChildren: 1.5 }), ['advance.min_children']],
    ['a soak back in time', { ...advance({ soakMs: -1 }), waveSoakMs: -1 }, ['advance.soak', 'wave_soak']],
    ['a rate of 0', limits({ perMinute: 0 }), ['rate.per_minute']],
    ['nobody at once', limits({ atOnce: 0 }), ['rate.at_once']],
    ['half a child at once', limits({ atOnce: 0.5 }), ['rate.at_once']],
    ['no bytes', limits({ bytesPerSecond: 0 }), ['rate.bytes_per_second']],
    [
      'nothing in a location',
      { rate: { all: NO_RATE, location: { perMinute: 0, growth: null, atOnce: 0, bytesPerSecond: -1 } } },
      ['rate.per_location.per_minute', 'rate.per_location.at_once', 'rate.per_location.bytes_per_second'],
    ],
    ['a growth from nothing', limits({ growth }), ['rate.growth']],
    ['a growth by 1', limits({ perMinute: 10, growth: { ...growth, factor: 1 } }), ['rate.growth.factor']],
    ['a growth downwards', limits({ perMinute: 10, growth: { ...growth, upTo: 9 } }), ['rate.growth.up_to']],
    ['a growth at no child', limits({ perMinute: 10, growth: { ...growth, every: 0 } }), ['rate.growth.every']],
    [
      'a growth of a location from nothing',
      { rate: { all: { ...NO_RATE, perMinute: 5 }, location: { ...NO_RATE, growth } } },
      ['rate.per_location.growth'],
    ],
    ['waves of no location', { waves: { kind: 'fixed', size: 0 } }, ['waves']],
    ['waves of half a location', { waves: { kind: 'fixed', size: 1.5 } }, ['waves']],
    ['wave shares that fall', { waves: { kind: 'shares', shares: [0.5, 0.1, 1] } }, ['waves.percent[1]']],
    ['wave shares that stay', { waves: { kind: 'shares', shares: [0.5, 0.5, 1] } }, ['waves.percent[1]']],
    ['a wave share of 0', { waves: { kind: 'shares', shares: [0, 1] } }, ['waves.percent[0]']],
    ['wave shares that leave some out', { waves: { kind: 'shares', shares: [0.1, 0.5] } }, ['waves.percent']],
    ['wave shares above all', { waves: { kind: 'shares', shares: [0.1, 1.5] } }, ['waves.percent[1]', 'waves.percent']],
    ['no wave shares', { waves: { kind: 'shares', shares: [] } }, ['waves.percent']],
    [
      'many children, each alone',
      {
        ...ALONE,
        ...advance({
          soakMs: 1,
          metrics: { judge: 'worst' },
          minChildren: 2,
          approval: { stages: ['Canary'], waves: true },
        }),
      },
      ['advance.min_children', 'advance.soak', 'advance.metrics', 'advance.approval.stages'],
    ],
    [
      'all of their stages approved',
      { ...ALONE, ...advance({ approval: { stages: 'all', waves: false } }) },
      ['advance.approval.stages'],
    ],
    ['two children out of one', { ...TURNS, ...advance({ minChildren: 2, soakMs: 5 }) }, ['advance.min_children']],
    [
      'two out of one in lockstep',
      { ...TURNS, stages: 'lockstep', ...advance({ minChildren: 2 }) },
      ['advance.min_children'],
    ],
    ['an order without a list', { order: { by: 'listed' } }, ['order']],
    ['an order of squares without a list', { locations: GRID, order: { by: 'listed' } }, ['order']],
    ['a target of nobody', { target: { kind: 'share', share: 0, seed: '' } }, ['target.percent']],
    ['a target of no children', { target: { kind: 'children', ids: [] } }, ['target.children']],
    ['a child twice', { target: { kind: 'children', ids: ['a', 'b', 'a'] } }, ['target.children[2]']],
    ['no regions', { locations: regions() }, ['locations.regions.features']],
    ['a deadline of nothing', { deadline: { afterMs: 0, then: 'fail' } }, ['stage_deadline.after']],
    ['lost at once', { lostAfterMs: 0 }, ['lost_after']],
    ['a priority too high', { priority: 1001 }, ['priority']],
    ['a priority too low', { priority: -1001 }, ['priority']],
    ['half a priority', { priority: 0.5 }, ['priority']],
  ])('has a fault: %s', (_, more, paths) => {
    expect(pathsOf(more)).toEqual(paths);
  });

  it.each<[string, Partial<Plan>]>([
    [
      'a quorum just within the budget',
      { ...advance({ quorum: 0.7 }), failure: { location: null, all: { ...HOLD, share: 0.3 } } },
    ],
    [
      'a quorum below all beside a budget by count',
      { ...advance({ quorum: 0.9 }), failure: { location: null, all: { ...HOLD, count: 3 } } },
    ],
    ['regions as listed', { locations: regions('a', 'b'), order: { by: 'listed' } }],
    ['children as listed', { target: { kind: 'children', ids: ['b', 'a'] }, order: { by: 'listed' } }],
    ['the size of a single location', { order: { by: 'size' } }],
    [
      'soak, metrics and approval for one child after the other',
      { ...TURNS, ...advance({ soakMs: 1, metrics: { judge: 'median' }, approval: { stages: 'all', waves: true } }) },
    ],
    [
      'soak, metrics and approval for waves of children in lockstep',
      {
        ...ALONE,
        stages: 'lockstep',
        ...advance({ soakMs: 1, minChildren: 5, metrics: { judge: 'share', share: 1 } }),
      },
    ],
    ['a rate that grows', limits({ perMinute: 0.5, growth, atOnce: 1, bytesPerSecond: 0.1 })],
    ['a budget for locations beside a free hand for all', { locations: GRID, failure: { location: HOLD, all: null } }],
    [
      'gates that open on a revert',
      { openGatesOnRevert: true, priority: -1000, lostAfterMs: 1, deadline: { afterMs: 1, then: 'hold' } },
    ],
  ])('has none: %s', (_, more) => {
    expect(faultsOf(more)).toEqual([]);
  });

  it('says all faults at once', () => {
    expect(
      pathsOf({
        target: { kind: 'children', ids: [] },
        order: { by: 'joining' },
        waves: { kind: 'fixed', size: 0 },
        ...advance({ quorum: 2, minChildren: 0 }),
        failure: { location: null, all: null },
        lostAfterMs: 0,
        ...limits({ perMinute: 0, growth }),
        priority: 5000,
      }),
    ).toEqual([
      'target.children',
      'waves',
      'advance.quorum',
      'advance.min_children',
      'failure',
      'lost_after',
      'rate.per_minute',
      'priority',
    ]);
  });

  it('says how far a quorum may go, in what users write', () => {
    const [fault] = faultsOf({
      ...advance({ quorum: 0.95 }),
      failure: { location: null, all: { ...HOLD, share: 0.29 } },
    });
    expect(fault?.message).toBe("95 can't be reached once the budget of failure.all is used: at most 71");
    expect(percentOf(0.29)).toBe(29);
  });
});

describe('a plan for the stages of a release', () => {
  const stage = (name: string, type: string, ...conditions: Stage['metrics_conditions']): Stage => ({
    name,
    type,
    func_name: 'f',
    variants: [],
    metrics_conditions: conditions,
    end_conditions: [],
    end_action: { onSuccess: 'rollout', onFailure: 'rollback' },
  });
  const time = (compareWith: string) => ({ name: 'responseTime', threshold: '<5', compareWith });
  const errors = { name: 'errorRate', threshold: '<0.1' };
  const faults = (more: Partial<Plan>, ...stages: Stage[]) => planStageFaults({ ...BASE, ...more }, { stages });
  const CANARY = stage('Canary', 'WaitForSignal', errors, time('Median'));
  const TEST = stage('Test', 'A/B', time('Maximum'));

  it('names stages that wait for a signal', () => {
    const approval = { stages: ['Canary', 'Nowhere', 'Test'], waves: false };
    expect(faults(advance({ approval }), CANARY, TEST)).toEqual([
      {
        path: 'advance.approval.stages[1]',
        message: '"Nowhere" is none of the stages',
        from: { list: 'stages', field: 'name' },
      },
      {
        path: 'advance.approval.stages[2]',
        message: '"Test" is no WaitForSignal stage: children end it themselves, and an approval changes nothing',
        from: { list: 'stages', field: 'type' },
      },
    ]);
    expect(faults(advance({ approval: { stages: 'all', waves: true } }), TEST)).toEqual([]);
  });

  it('judges medians and error rates only', () => {
    const metrics = { judge: 'worst' } as const;
    expect(faults(advance({ metrics }), CANARY, TEST, stage('Bare', 'WaitForSignal'))).toEqual([]);
    const bad = stage('Gradual', 'WaitForSignal', time('Minimum'), errors, time('Maximum'));
    expect(faults(advance({ metrics }), CANARY, bad).map(({ path, message }) => `${path} ${message}`)).toEqual([
      'advance.metrics "Gradual" compares responseTime with Minimum: only medians and error rates are aggregated',
      'advance.metrics "Gradual" compares responseTime with Maximum: only medians and error rates are aggregated',
    ]);
    expect(faults({}, bad)).toEqual([]);
  });

  it('calls nobody lost sooner than a last sign of life is known', () => {
    expect(lostAfterFault({ ...BASE, lostAfterMs: 89_999 }, 30_000)).toEqual([
      { path: 'lost_after', message: 'is at least 1m30s: 3 times SEEN_PRECISION' },
    ]);
    expect(lostAfterFault({ ...BASE, lostAfterMs: 90_000 }, 30_000)).toEqual([]);
    expect(lostAfterFault(BASE, 30_000)).toEqual([]);
  });
});
