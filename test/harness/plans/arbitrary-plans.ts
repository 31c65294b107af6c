/** A fast-check generator of plans without faults, as users can write them; those with regions are left out. */
import { PRESET_NAMES } from '#domain/plan/presets.ts';
import fc from 'fast-check';
import { BREACH_ACTIONS, type Budget, type Plan, type Rate } from '#domain/plan/plan.ts';

/** From 0.01 to 100 %, as it is after reading. */
const percentage = fc.integer({ min: 1, max: 10_000 }).map((hundredths) => hundredths / 100);
const share = percentage.map((percent) => percent / 100);
const time = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 400_000_000 }));
const someTime = fc.integer({ min: 1, max: 400_000_000 });
const seed = fc.string({ maxLength: 20 });
const degrees = (most: number) => fc.integer({ min: -most * 100, max: most * 100 }).map((n) => n / 100);

const area = fc
  .tuple(degrees(179), degrees(89))
  .map(([x, y]) => [
    [x, y],
    [x + 0.5, y],
    [x + 0.5, y + 0.5],
    [x, y],
  ])
  .map((ring) => ({ type: 'Polygon' as const, coordinates: [ring as [number, number][]] }));

const target: fc.Arbitrary<Plan['target']> = fc.oneof(
  fc.constant({ kind: 'everyone' as const }),
  fc.record({ kind: fc.constantFrom('intersects' as const, 'within' as const), area }),
  fc.uniqueArray(fc.stringMatching(/^[A-Za-z0-9._:-]{1,12}$/), { minLength: 1, maxLength: 5 }).map((ids) => ({
    kind: 'children' as const,
    ids,
  })),
  fc.record({ kind: fc.constant('share' as const), share, seed }),
);

const locations: fc.Arbitrary<Plan['locations']> = fc.oneof(
  fc.constantFrom({ by: 'all' as const }, { by: 'child' as const }),
  fc.record({ by: fc.constant('grid' as const), cellKm: fc.integer({ min: 8, max: 5000 }).map((n) => n / 8) }),
);

const order: fc.Arbitrary<Plan['order']> = fc.oneof(
  fc.record({ by: fc.constantFrom('joining' as const, 'size' as const, 'listed' as const) }),
  fc.record({ by: fc.constant('distance' as const), from: fc.tuple(degrees(180), degrees(90)) }),
  fc.record({ by: fc.constant('shuffled' as const), seed }),
);

const waves: fc.Arbitrary<Plan['waves']> = fc.oneof(
  fc.record({
    kind: fc.constant('fixed' as const),
    size: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 1_000_000 })),
  }),
  fc.constant({ kind: 'doubling' as const }),
  fc.uniqueArray(fc.integer({ min: 1, max: 9999 }), { maxLength: 5 }).map((hundredths) => ({
    kind: 'shares' as const,
    shares: [...hundredths.sort((a, b) => a - b), 10_000].map((each) => each / 100 / 100),
  })),
);

const budget: fc.Arbitrary<Budget> = fc.record({
  count: fc.nat(50),
  share: fc.integer({ min: 0, max: 9900 }).map((hundredths) => hundredths / 100 / 100),
  then: fc.constantFrom(...BREACH_ACTIONS),
});

const limit = fc.option(fc.integer({ min: 1, max: 1_000_000 }));
const rate: fc.Arbitrary<Rate> = fc
  .record({ perMinute: limit, factor: fc.option(fc.integer({ min: 3, max: 9 })), atOnce: limit, bytesPerSecond: limit })
  .map(({ factor, ...limits }) => ({
    ...limits,
    growth:
      factor === null || limits.perMinute === null
        ? null
        : { factor: factor / 2, every: factor, upTo: limits.perMinute * factor },
  }));

const advance: fc.Arbitrary<Plan['advance']> = fc.record({
  quorum: share,
  minChildren: fc.integer({ min: 1, max: 20 }),
  soakMs: time,
  metrics: fc.oneof(
    fc.constantFrom(null, { judge: 'worst' as const }, { judge: 'median' as const }),
    fc.record({ judge: fc.constant('share' as const), share }),
  ),
  approval: fc.record({
    stages: fc.oneof(fc.constant('all' as const), fc.array(fc.constantFrom('Canary', 'Gradual'), { maxLength: 2 })),
    waves: fc.boolean(),
  }),
});

const anyPlan: fc.Arbitrary<Plan> = fc.record({
  name: fc.constantFrom(...PRESET_NAMES, 'custom'),
  target,
  locations,
  order,
  waves,
  waveSoakMs: time,
  stages: fc.constantFrom('lockstep', 'own-pace'),
  advance,
  failure: fc.record({ location: fc.option(budget), all: fc.option(budget) }),
  lostAfterMs: fc.option(someTime),
  deadline: fc.option(fc.record({ afterMs: someTime, then: fc.constantFrom('fail', 'hold') })),
  lateJoiners: fc.constantFrom('none', 'join'),
  rate: fc.record({ all: rate, location: rate }),
  priority: fc.integer({ min: -1000, max: 1000 }),
  conflicts: fc.constantFrom('refuse', 'allow'),
  openGatesOnRevert: fc.boolean(),
  compensates: fc.constant(null),
});

/** What doesn't go together is made to. */
export const faultlessPlan: fc.Arbitrary<Plan> = anyPlan.map((plan) => {
  const byChild = plan.locations.by === 'child';
  const location = plan.locations.by === 'grid' ? plan.failure.location : null;
  const all = plan.failure.all ?? (location === null ? { count: 0, share: 0, then: 'hold' as const } : null);
  const spent = location ?? all ?? { count: 0, share: 0 };
  const most = 1 - spent.share;
  const reachable = spent.count > 0 || spent.share > 0 ? Math.floor(most * 99) / 100 : 1;
  const turns = plan.waves.kind === 'fixed' && plan.waves.size === 1;
  const alone = byChild && plan.stages === 'own-pace' && !turns;
  return {
    ...plan,
    order: plan.order.by === 'listed' && plan.target.kind !== 'children' ? { by: 'joining' } : plan.order,
    advance: {
      ...plan.advance,
      quorum: Math.max(Math.min(plan.advance.quorum, reachable), 0.0001),
      minChildren: byChild ? 1 : plan.advance.minChildren,
      ...(alone ? { soakMs: 0, metrics: null, approval: { ...plan.advance.approval, stages: [] } } : {}),
    },
    failure: { location, all },
  };
});
