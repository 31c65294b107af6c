/** fast-check generators of plans, fleets and what may happen to both: small ranges, so that everything meets everything. */
import fc from 'fast-check';
import type { Budget, Locations, Plan, Rate, Waves } from '#domain/plan/plan.ts';
import { PRESETS } from '#domain/plan/presets.ts';
import type { RolloutStage } from '#domain/rollout/rollout.ts';
import type { ChildScript, StageScript } from './model/child.ts';
import type { Fault, OperatorAct, Scenario } from './play.ts';

const CONDITIONS = [
  { metric: 'f2', operator: '<=', limit: 200 },
  { metric: 'e2', operator: '<', limit: 0.1 },
] as const;
const CANARY: RolloutStage = { name: 'Canary', type: 'WaitForSignal', conditions: CONDITIONS };
const TEST: RolloutStage = { name: 'Test', type: 'A/B' };
const GRADUAL: RolloutStage = { name: 'Gradual', type: 'WaitForSignal', conditions: [CONDITIONS[0]] };

const anyStages = fc.oneof(
  { weight: 4, arbitrary: fc.constant([CANARY, TEST, GRADUAL]) },
  fc.constantFrom([CANARY], [TEST], [TEST, GRADUAL], [CANARY, GRADUAL]),
);

const anyLocations: fc.Arbitrary<Locations> = fc.constantFrom<Locations>(
  { by: 'all' },
  { by: 'child' },
  { by: 'regions', regions: [], outside: 'own' },
  { by: 'grid', cellKm: 100 },
);

const anyWaves: fc.Arbitrary<Waves> = fc.oneof(
  fc.integer({ min: 1, max: 3 }).map((size) => ({ kind: 'fixed' as const, size })),
  fc.constantFrom<Waves>(
    { kind: 'doubling' },
    { kind: 'shares', shares: [1] },
    { kind: 'shares', shares: [0.1, 0.5, 1] },
    { kind: 'shares', shares: [0.5, 1] },
  ),
);

const anyBudget: fc.Arbitrary<Budget> = fc.record({
  count: fc.nat(2),
  share: fc.constantFrom(0, 0.2, 0.5),
  then: fc.constantFrom('hold', 'abort', 'revert'),
});

const or = <T>(value: T, other: fc.Arbitrary<T>, weight = 2): fc.Arbitrary<T> =>
  fc.oneof({ weight, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: other });

export const NO_RATE: Rate = { perMinute: null, growth: null, atOnce: null, bytesPerSecond: null };

const anyRate: fc.Arbitrary<Rate> = fc
  .record({
    perMinute: fc.constantFrom(null, 6, 6, 60, 200),
    growth: fc.constantFrom(null, { factor: 2, every: 2, upTo: 240 }),
    atOnce: fc.constantFrom(null, null, null, null, 1, 2, 5, 12),
    bytesPerSecond: fc.constantFrom(null, null, 500, 2000),
  })
  .map((rate) => (rate.perMinute === null ? { ...rate, growth: null } : rate));

export const anyPlan: fc.Arbitrary<Plan> = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constantFrom<Plan>(...Object.values(PRESETS)), or(NO_RATE, anyRate)).map(([plan, all]) => ({
      ...plan,
      waveSoakMs: Math.min(plan.waveSoakMs, 7_000),
      rate: { all, location: NO_RATE },
    })),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      name: fc.constant('custom'),
      target: fc.constant({ kind: 'everyone' as const }),
      locations: anyLocations,
      order: fc.constant({ by: 'joining' as const }),
      waves: anyWaves,
      waveSoakMs: or(0, fc.constantFrom(1_000, 7_000)),
      stages: fc.constantFrom('lockstep', 'own-pace'),
      advance: fc.record({
        quorum: or(1, fc.constantFrom(0.3, 0.5, 0.8)),
        minChildren: or(1, fc.integer({ min: 2, max: 3 }), 4),
        soakMs: or(0, fc.constantFrom(2_000, 5_000)),
        metrics: or<Plan['advance']['metrics']>(
          null,
          fc.constantFrom<Plan['advance']['metrics']>(
            { judge: 'worst' },
            { judge: 'median' },
            { judge: 'share', share: 0.5 },
          ),
        ),
        approval: fc.record({
          stages: or<'all' | string[]>([], fc.constantFrom<'all' | string[]>('all', ['Canary'], ['Gradual']), 3),
          waves: or(false, fc.constant(true), 3),
        }),
      }),
      failure: fc.record({ location: or(null, anyBudget, 1), all: or(null, anyBudget, 1) }),
      lostAfterMs: fc.constantFrom(null, 3_000, 6_000),
      deadline: or<Plan['deadline']>(
        null,
        fc.record({ afterMs: fc.constantFrom(4_000, 8_000), then: fc.constantFrom('fail', 'hold') }),
      ),
      lateJoiners: fc.constantFrom('none', 'join'),
      rate: fc.record({ all: or(NO_RATE, anyRate), location: or(NO_RATE, anyRate) }),
      priority: fc.constant(0),
      conflicts: fc.constant('refuse' as const),
      openGatesOnRevert: fc.boolean(),
      compensates: fc.constant(null),
    }),
  },
);

const stageScript = (does: fc.Arbitrary<StageScript['does']>, isGood: boolean): fc.Arbitrary<StageScript> =>
  fc.record({
    does,
    seconds: fc.nat(3),
    median: isGood ? fc.constantFrom(50, 150) : fc.constantFrom(50, 50, 150, 1000, -1),
    errors: isGood ? fc.constant(0) : fc.constantFrom(0, 0, 0, 0.5),
  });

const anyDoing: fc.Arbitrary<StageScript['does']> = fc.oneof(
  { weight: 12, arbitrary: fc.constant<StageScript['does']>('succeeds') },
  fc.constantFrom<StageScript['does']>('fails', 'fails and goes on', 'ends early', 'falls silent'),
);

const anyChild = (homes: number, stages: number, isGood: boolean): fc.Arbitrary<ChildScript> =>
  fc.record({
    home: fc.nat(homes - 1),
    stages: fc.array(stageScript(isGood ? fc.constant('succeeds') : anyDoing, isGood), {
      minLength: stages,
      maxLength: stages,
    }),
    joinsAt: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 30 })),
    leavesAt: isGood
      ? fc.constant(null)
      : fc.oneof({ weight: 12, arbitrary: fc.constant(null) }, fc.integer({ min: 1, max: 30 })),
    returnsAfter: fc.constantFrom(null, 2, 8, 20),
  });

const anyAct: fc.Arbitrary<OperatorAct> = fc.record({
  at: fc.nat(60),
  does: fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom<OperatorAct['does']>('pause', 'resume', 'resume', 'eject', 'approve') },
    { weight: 2, arbitrary: fc.constantFrom<OperatorAct['does']>('abort', 'revert', 'take back one', 'leave out') },
  ),
});

export const anyFaults = (faults: readonly Fault[], maxLength = 30): fc.Arbitrary<Fault[]> =>
  fc.array(fc.constantFrom(...faults), { maxLength }).map((list) => [...list, 'none']);

type Choice = {
  /** All children succeed in all that they do, and none leaves. */
  isGood: boolean;
  plan?: fc.Arbitrary<Plan>;
  faults?: fc.Arbitrary<Fault[]>;
};

/** A pause is ended, and what is held goes on: an operator who looks in again and again. */
export function anyScenario({
  isGood,
  plan = anyPlan,
  faults = fc.constant(['none']),
}: Choice): fc.Arbitrary<Scenario> {
  return fc.record({ plan, stages: anyStages, homes: fc.integer({ min: 1, max: 6 }) }).chain((given) =>
    fc.record({
      plan: fc.constant(given.plan),
      stages: fc.constant(given.stages),
      homes: fc.constant(given.homes),
      children: fc.array(anyChild(given.homes, given.stages.length, isGood), { maxLength: 30, size: 'max' }),
      bundleBytes: fc.constant(1000),
      skip: isGood
        ? fc.constant([])
        : fc.oneof(
            { weight: 4, arbitrary: fc.constant([]) },
            fc.uniqueArray(fc.nat(given.homes - 1), { maxLength: 2 }),
          ),
      operator: isGood ? fc.constant([]) : or<OperatorAct[]>([], fc.array(anyAct, { maxLength: 5 }), 1),
      approves: isGood ? fc.constant(true) : fc.boolean(),
      faults,
    }),
  );
}
