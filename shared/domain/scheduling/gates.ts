/** When a stage ends in a location: the conditions of its gate, with their numbers. Operators are shown the same. */
import { type Counts, ejected, entered, expectedIn, failedIn, passed, sketchOf } from '#domain/counts/counts.ts';
import { quantile, type Sketch, valueOf } from '#domain/counts/sketch.ts';
import type { Rules } from '#domain/plan/plan.ts';
import type { Condition, OpenLocation, Rollout } from '#domain/rollout/rollout.ts';
import { ROUNDING } from '#domain/tolerance.ts';
import type { LocationCounts } from './snapshot.ts';

export type Requirement = {
  kind: 'enrolment' | 'quorum' | 'minimum' | 'metrics' | 'soak' | 'approval';
  holds: boolean;
  /** With numbers, as it follows "waits for". */
  text: string;
};

/** How many of so many children make the quorum. */
export const neededOf = ({ advance }: Pick<Rules, 'advance'>, children: number): number =>
  Math.ceil(advance.quorum * children - ROUNDING);

export type Quorum = { passed: number; of: number; needed: number };

/** Children that must have passed a stage in a location, and those that have. */
export function quorumOf(
  { plan }: Pick<Rollout, 'plan'>,
  children: number,
  { counts, late }: LocationCounts,
  stage: number,
): Quorum {
  // Where nobody was there at its opening, late joiners are all that there is.
  if (children - ejected(counts) <= 0) {
    const of = Math.max(expectedIn(late, late.enrolled - ejected(late), stage), 0);
    return { passed: passed(late, stage), of, needed: neededOf(plan, of) };
  }
  const own = expectedIn(counts, children - ejected(counts), stage);
  // A late joiner counts with its outcome, in the stages that it enters before the location leaves them.
  const latePassed = passed(late, stage);
  const of = Math.max(own, 0) + latePassed + failedIn(late, stage);
  const has = passed(counts, stage) + latePassed;
  // Many late joiners don't stand in for the members.
  const ownMissing = neededOf(plan, own) - passed(counts, stage);
  const needed = Math.max(neededOf(plan, of), has + ownMissing);
  return { passed: has, of, needed };
}

/** What a gate is judged by. */
export type GateFacts = { rollout: Rollout; location: OpenLocation; view: LocationCounts; now: number };

/** All conditions of a stage's gate in a location, those that hold too. The gate opens only when each does. */
export function requirementsOf(facts: GateFacts, stage: number): Requirement[] {
  const { rollout, location, view } = facts;
  if (location.children === null) return [{ kind: 'enrolment', holds: false, text: 'enrolment' }];
  const quorum = quorumOf(rollout, location.children, view, stage);
  const { passed: has, of, needed } = quorum;
  const missing = Math.max(needed - has, 0);
  return [
    // Never at count 0: nobody's success is no success.
    { kind: 'quorum', holds: needed > 0 && has >= needed, text: `${missing} of ${of} children` },
    ...minimumOf(rollout, has),
    ...metricsOf(facts, stage, has),
    ...approvalOf(rollout, location, stage),
    ...soakOf(facts, stage),
  ];
}

function minimumOf({ plan }: Rollout, has: number): Requirement[] {
  const { minChildren } = plan.advance;
  if (minChildren <= 1) return [];
  const text = `${has} of at least ${minChildren} children to have passed`;
  return [{ kind: 'minimum', holds: has >= minChildren, text }];
}

function approvalOf({ plan, stages }: Rollout, { approved }: OpenLocation, stage: number): Requirement[] {
  const wanted = plan.advance.approval.stages;
  if (wanted !== 'all' && !wanted.includes(stages[stage]?.name ?? '')) return [];
  const text = 'an operator to approve the stage (promote)';
  return [{ kind: 'approval', holds: approved?.includes(stage) ?? false, text }];
}

function soakOf({ rollout, location, now }: GateFacts, stage: number): Requirement[] {
  const { soakMs } = rollout.plan.advance;
  if (soakMs === 0) return [];
  const met = location.metSince?.[stage];
  const left = met === undefined ? soakMs : met + soakMs - now;
  const text = `${Math.ceil(Math.max(left, 0) / 1000)} s of soak`;
  return [{ kind: 'soak', holds: met !== undefined && left <= 0, text }];
}

/** Whether all that children bring about holds: soaking begins then. Approval may come before or after. */
export const isMet = (requirements: readonly Requirement[]): boolean =>
  requirements.every(({ kind, holds }) => holds || kind === 'soak' || kind === 'approval');

const NAMES = { f2: 'response time', e2: 'error rate' } as const;

function metricsOf({ rollout, view }: GateFacts, stage: number, has: number): Requirement[] {
  const judged = rollout.plan.advance.metrics;
  if (judged === null) return [];
  return (rollout.stages[stage]?.conditions ?? []).map((condition) => {
    const sketch = bothSketches(view, stage, condition.metric);
    return judged.judge === 'share'
      ? shareHolds(condition, sketch, judged.share, has)
      : quantileHolds(condition, sketch, judged.judge);
  });
}

function bothSketches({ counts, late }: LocationCounts, stage: number, metric: Condition['metric']): Sketch {
  const more = sketchOf(late, stage, metric);
  if (more.size === 0) return sketchOf(counts, stage, metric);
  const both = new Map(sketchOf(counts, stage, metric));
  for (const [bucket, n] of more) both.set(bucket, (both.get(bucket) ?? 0) + n);
  return both;
}

function shareHolds(
  { metric, operator, limit }: Condition,
  sketch: Sketch,
  wanted: number,
  passedStage: number,
): Requirement {
  let evidence = 0;
  let meeting = 0;
  for (const [bucket, n] of sketch) {
    evidence += n;
    if (compare(valueOf(bucket), operator, limit)) meeting += n;
  }
  // Children without calls bring no evidence, and meet no condition.
  const of = Math.max(evidence, passedStage);
  const share = of === 0 ? 0 : meeting / of;
  const name = `${NAMES[metric]} ${operator}${limit}`;
  const text = `${name} for ${percent(wanted)} of the children (it holds for ${meeting} of ${of})`;
  return { kind: 'metrics', holds: meeting > 0 && share >= wanted - ROUNDING, text };
}

function quantileHolds({ metric, operator, limit }: Condition, sketch: Sketch, judge: 'worst' | 'median'): Requirement {
  const upwards = operator === '>' || operator === '>=';
  const q = judge === 'median' ? 0.5 : upwards ? 0 : 1;
  const value = quantile(sketch, q);
  const is = value === null ? 'not known: no calls' : Number(value.toPrecision(3));
  const text = `the ${judge} ${NAMES[metric]} ${operator}${limit} (it is ${is})`;
  return { kind: 'metrics', holds: value !== null && compare(value, operator, limit), text };
}

export const percent = (share: number): string => `${Number((share * 100).toFixed(2))} %`;

function compare(value: number, operator: Condition['operator'], limit: number): boolean {
  if (operator === '<') return value < limit;
  if (operator === '<=') return value <= limit;
  if (operator === '>') return value > limit;
  if (operator === '>=') return value >= limit;
  return value === limit;
}

/** Whether children of a location, late or not, have been in a stage. */
export const hasEntered = ({ counts, late }: LocationCounts, stage: number): boolean =>
  entered(counts, stage) + entered(late, stage) > 0;

export const enrolledIn = ({ counts, late }: LocationCounts): number => counts.enrolled + late.enrolled;

export const bothCounts = ({ counts, late }: LocationCounts): Counts[] => [counts, late];
