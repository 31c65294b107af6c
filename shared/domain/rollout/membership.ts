/** Which location a child belongs to, and what that lets it do: to be offered the release, and to pass a stage's gate. */
import { ALL, type Rules } from '#domain/plan/plan.ts';
import type { LocationRef, Rollout, WithdrawnLocation } from './rollout.ts';

/** Each child is a location, and its turn comes alone. */
export const isByTurns = ({ by, waves }: Pick<Rules, 'by' | 'waves'>): boolean =>
  by === 'child' && waves.kind === 'fixed' && waves.size === 1;

/** Waves of children: a wave is opened and completed as one location, `wave-<n>`. */
export const isByCohorts = (plan: Pick<Rules, 'by' | 'waves'>): boolean => plan.by === 'child' && !isByTurns(plan);

/** Each child passes a gate as soon as it has reported SuccessWaiting: it is all of its location. */
export const isOnItsOwn = ({ by, stages, advance }: Pick<Rules, 'by' | 'stages' | 'advance'>): boolean =>
  by === 'child' &&
  stages === 'own-pace' &&
  advance.soakMs === 0 &&
  advance.metrics === null &&
  advance.minChildren <= 1 &&
  advance.approval.stages.length === 0;

/** Where a child was enrolled, as its record says: `n` 0 = a location of its own. */
export type Membership = LocationRef & { late: boolean };

/** How a membership stands in a record: '' the child itself, `all`, or `[+]<n>/<id>`, + for a late joiner. */
export function membershipToken({ id, n }: LocationRef, plan: Rules, late: boolean): string {
  if (isByTurns(plan)) return '';
  return plan.direct ? ALL : `${late ? '+' : ''}${n}/${id}`;
}

export function parseMembership(token: string, child: string): Membership {
  if (token === '') return { id: child, n: 0, late: false };
  const match = /^(\+?)(\d+)\/(.*)$/.exec(token);
  if (match === null) return { id: token, n: 1, late: false };
  return { id: match[3] ?? '', n: Number(match[2]), late: match[1] === '+' };
}

/** Whether children of a location are counted apart, beside the counts of all. */
export const hasOwnCounts = (membership: string): boolean => membership !== '' && membership !== ALL;

/**
 * Whether a stage's gate is open to the children of a location. One that has completed leaves `open`: its gates stay as they
 * were. `endedAt`: the stage with which the child's release ended, or -1: the gates before it were open and stay so.
 */
export function isGateOpen(rollout: Rollout, { id, n }: LocationRef, stage: number, endedAt: number): boolean {
  if (stage < endedAt) return true;
  const { plan, open, neverOpened } = rollout;
  const withdrawn = withdrawnAt(rollout, { id, n });
  if (withdrawn !== undefined) return withdrawn.gates.includes(stage);
  const here = open.find((each) => (n === 0 ? each.id === id : each.n === n));
  if (isByCohorts(plan) && isOnItsOwn(plan)) {
    // Nobody else is waited for, so its gate is no more than the child's own word while the rollout goes on.
    if (here?.held !== undefined) return false;
    return goesOn(rollout);
  }
  if (here !== undefined) return here.gates.includes(stage);
  if (n === 0) return isOnItsOwn(plan) && goesOn(rollout);
  if (!wasOpened(rollout, n)) return false;
  return !(neverOpened.find((each) => each.n === n)?.stages.includes(stage) ?? false);
}

/** A copy of the rollout from before the location was opened knows nothing of its gates. */
function wasOpened({ plan, completed, started }: Rollout, n: number): boolean {
  if (plan.direct) return completed.locations > 0;
  return n <= (isByCohorts(plan) ? started.waves : started.locations);
}

const goesOn = ({ state, plan }: Rollout): boolean =>
  state === 'running' || state === 'completed' || (state === 'reverting' && plan.openGatesOnRevert);

/** A pending release counts only while its rollout runs at the epoch under which the child was enrolled, and so does its location. */
export function offers(rollout: Rollout, epoch: number, location: LocationRef): boolean {
  if (rollout.state !== 'running' || rollout.epoch !== epoch || isWithdrawn(rollout, location)) return false;
  return rollout.open.every((each) => each.held === undefined || !isSame(rollout, each, location));
}

/** Nobody more is offered the release in that location. */
export const isWithdrawn = (rollout: Rollout, location: LocationRef): boolean =>
  withdrawnAt(rollout, location) !== undefined;

const withdrawnAt = (rollout: Rollout, location: LocationRef): WithdrawnLocation | undefined =>
  rollout.withdrawn.find((each) => isSame(rollout, each, location));

/** Whether a location is the one that a child belongs to: by its number, or where it has none as the child itself, or all. */
const isSame = ({ plan }: Rollout, { id, n }: LocationRef, location: LocationRef): boolean =>
  location.n === 0 ? plan.direct || id === location.id : n === location.n;
