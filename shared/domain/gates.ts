/** When a stage ends in a location: the conditions of its gate, with their numbers. Operators are shown the same. */
import { bucketsOf, type Counts, ejected, enrolled, entered, expectedIn, failedIn, passed } from './counts.ts';
import type { Rules } from './plan.ts';
import { type Condition, type OpenLocation, type Rollout } from './rollout.ts';
import { quantile, valueOf } from './sketch.ts';

/** What is known of a location's children. Late joiners are counted apart: they neither hold a gate nor replace another. */
export type LocationCounts = { counts: Counts; late: Counts };

export type Requirement = {
  kind: 'enrolment' | 'quorum' | 'minimum' | 'metrics' | 'soak' | 'approval';
  holds: boolean;
  /** With numbers, as it follows "waits for". */
  text: string;
};

/** What a share is off by in floating point. */
const EPSILON = 1e-9;

/** How many of so many children make the quorum. */
export const neededOf = ({ advance }: Pick<Rules, 'advance'>, children: number): number =>
  Math.ceil(advance.quorum * children - EPSILON);

/** Children that must have passed a stage in a location, and those that have. */
export function quorumOf(
  { plan }: Pick<Rollout, 'plan'>,
  children: number,
  { counts, late }: LocationCounts,
  stage: number,
): { passed: number; of: number; needed: number } {
  // Where nobody was there at its opening, those who came late are all that there is.
  if (children - ejected(counts) <= 0) {
    const of = Math.max(expectedIn(late, enrolled(late) - ejected(late), stage), 0);
    return { passed: passed(late, stage), of, needed: neededOf(plan, of) };
  }
  const own = expectedIn(counts, children - ejected(counts), stage);
  // A late joiner counts with its outcome, in the stages that it enters before the location leaves them.
  const latePassed = passed(late, stage);
  const of = Math.max(own, 0) + latePassed + failedIn(late, stage);
  const has = passed(counts, stage) + latePassed;
  // Many who came late don't stand in for those who were there.
  const ownMissing = neededOf(plan, own) - passed(counts, stage);
  const needed = Math.max(neededOf(plan, of), has + ownMissing);
  return { passed: has, of, needed };
}

/** All conditions of a stage's gate in a location, those that hold too. The gate opens only when each does. */
export function requirementsOf(
  rollout: Rollout,
  location: OpenLocation,
  view: LocationCounts,
  stage: number,
  now: number,
): Requirement[] {
  const { advance } = rollout.plan;
  if (location.children === null) return [{ kind: 'enrolment', holds: false, text: 'enrolment' }];
  const { passed: has, of, needed } = quorumOf(rollout, location.children, view, stage);
  const missing = Math.max(needed - has, 0);
  const all: Requirement[] = [
    // Never at count 0: nobody's success is no success.
    { kind: 'quorum', holds: needed > 0 && has >= needed, text: `${missing} of ${of} children` },
  ];
  if (advance.minChildren > 1)
    all.push({
      kind: 'minimum',
      holds: has >= advance.minChildren,
      text: `${has} of at least ${advance.minChildren} children to have passed`,
    });
  if (advance.metrics !== null)
    for (const condition of rollout.stages[stage]?.conditions ?? [])
      all.push(metricHolds(advance.metrics, condition, view, stage, has));
  const { stages: needApproval } = advance.approval;
  if (needApproval === 'all' || needApproval.includes(rollout.stages[stage]?.name ?? ''))
    all.push({
      kind: 'approval',
      holds: location.approved?.includes(stage) ?? false,
      text: 'an operator to approve the stage (promote)',
    });
  if (advance.soakMs > 0) {
    const met = location.met?.[stage];
    const left = met === undefined ? advance.soakMs : met + advance.soakMs - now;
    all.push({
      kind: 'soak',
      holds: met !== undefined && left <= 0,
      text: `${Math.ceil(Math.max(left, 0) / 1000)} s of soak`,
    });
  }
  return all;
}

/** Whether all that children bring about holds: soaking begins then. Approval may come before or after. */
export const isMet = (requirements: readonly Requirement[]): boolean =>
  requirements.every(({ kind, holds }) => holds || kind === 'soak' || kind === 'approval');

const NAMES = { f2: 'response time', e2: 'error rate' } as const;

function metricHolds(
  judged: NonNullable<Rollout['plan']['advance']['metrics']>,
  { metric, operator, limit }: Condition,
  { counts, late }: LocationCounts,
  stage: number,
  has: number,
): Requirement {
  const buckets = bucketsOf(counts, stage, metric);
  for (const [bucket, n] of bucketsOf(late, stage, metric)) buckets.set(bucket, (buckets.get(bucket) ?? 0) + n);
  const name = `${NAMES[metric]} ${operator}${limit}`;
  if (judged.judge === 'share') {
    let evidence = 0;
    let meeting = 0;
    for (const [bucket, n] of buckets) {
      evidence += n;
      if (compare(valueOf(bucket), operator, limit)) meeting += n;
    }
    // Children without calls bring no evidence, and meet no condition.
    const of = Math.max(evidence, has);
    const share = of === 0 ? 0 : meeting / of;
    const text = `${name} for ${percent(judged.share)} of the children (it holds for ${meeting} of ${of})`;
    return { kind: 'metrics', holds: meeting > 0 && share >= judged.share - EPSILON, text };
  }
  const upwards = operator === '>' || operator === '>=';
  const q = judged.judge === 'median' ? 0.5 : upwards ? 0 : 1;
  const value = quantile(buckets, q);
  const text = `the ${judged.judge} ${name} (it is ${value === null ? 'not known: no calls' : Number(value.toPrecision(3))})`;
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

/** Stages that children of a location, late or not, have been in. */
export const hasEntered = ({ counts, late }: LocationCounts, stage: number): boolean =>
  entered(counts, stage) + entered(late, stage) > 0;

export const enrolledIn = ({ counts, late }: LocationCounts): number => enrolled(counts) + enrolled(late);
