/** A plan in its long form: every key as users write it, so that it can be given back. */
import type { Advance, Budget, Locations, Order, Plan, Rate, Target, Waves } from '#domain/plan/plan.ts';
import { durationText } from '#domain/duration.ts';
import { percentOf } from '#domain/plan/check.ts';

export type PlanView = { name: string; [key: string]: unknown };

/** Regions are only counted: their geometry may be long. */
export function planView(plan: Plan): PlanView {
  const { failure, deadline, lostAfterMs, rate } = plan;
  const perLocation = limitsView(rate.location);
  const limits = { ...limitsView(rate.all), ...(isEmpty(perLocation) ? {} : { per_location: perLocation }) };
  return {
    name: plan.name,
    target: targetView(plan.target),
    locations: locationsView(plan.locations),
    order: orderView(plan.order),
    waves: wavesView(plan.waves),
    wave_soak: durationText(plan.waveSoakMs),
    stages: plan.stages,
    advance: advanceView(plan.advance),
    failure: { location: budgetView(failure.location), all: budgetView(failure.all) },
    lost_after: lostAfterMs === null ? 'never' : durationText(lostAfterMs),
    stage_deadline: deadline === null ? 'never' : { after: durationText(deadline.afterMs), then: deadline.then },
    late_joiners: plan.lateJoiners,
    ...(isEmpty(limits) ? {} : { rate: limits }),
    priority: plan.priority,
    conflicts: plan.conflicts,
    open_gates_on_revert: plan.openGatesOnRevert,
    ...(plan.compensates === null ? {} : { compensates: plan.compensates }),
  };
}

const isEmpty = (view: object): boolean => Object.keys(view).length === 0;

function targetView(target: Target): unknown {
  switch (target.kind) {
    case 'everyone':
      return 'everyone';
    case 'intersects':
    case 'within':
      return { [target.kind]: target.area };
    case 'children':
      return { children: target.ids };
    case 'share':
      return { percent: percentOf(target.share), seed: target.seed };
    case 'done':
      return { done: target.release, ...(target.location === null ? {} : { location: target.location }) };
  }
}

function locationsView(locations: Locations): unknown {
  if (locations.by === 'regions') return { regions: locations.regions.length, outside: locations.outside };
  return locations.by === 'grid' ? { grid_km: locations.cellKm } : locations.by;
}

function orderView(order: Order): unknown {
  if (order.by === 'distance') return { distance_from: order.from };
  return order.by === 'shuffled' ? { shuffle: order.seed } : order.by;
}

function wavesView(waves: Waves): unknown {
  if (waves.kind === 'fixed') return waves.size;
  if (waves.kind === 'doubling') return 'doubling';
  return waves.shares.length === 1 && waves.shares[0] === 1 ? 'all' : { percent: waves.shares.map(percentOf) };
}

function advanceView({ quorum, minChildren, soakMs, metrics, approval }: Advance): unknown {
  return {
    quorum: percentOf(quorum),
    min_children: minChildren,
    soak: durationText(soakMs),
    metrics: metricsView(metrics),
    approval: { stages: approval.stages, waves: approval.waves },
  };
}

function metricsView(metrics: Advance['metrics']): unknown {
  if (metrics === null) return 'none';
  return metrics.judge === 'share' ? { share: percentOf(metrics.share) } : metrics.judge;
}

const budgetView = (budget: Budget | null): unknown =>
  budget === null ? 'none' : { count: budget.count, share: percentOf(budget.share), then: budget.then };

function limitsView({ perMinute, growth, atOnce, bytesPerSecond }: Rate): Record<string, unknown> {
  return {
    ...(perMinute === null ? {} : { per_minute: perMinute }),
    ...(growth === null ? {} : { growth: { factor: growth.factor, every: growth.every, up_to: growth.upTo } }),
    ...(atOnce === null ? {} : { at_once: atOnce }),
    ...(bytesPerSecond === null ? {} : { bytes_per_second: bytesPerSecond }),
  };
}
