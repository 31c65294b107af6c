/** Which location a child belongs to, and what that lets it do: to be offered the release, and to pass a stage's gate. */
import { ALL, type Rules } from './plan.ts';
import type { Aside, OpenLocation, Rollout } from './rollout.ts';

/** Each child is a location, and its turn comes alone. */
export const isByTurns = ({ by, waves }: Pick<Rules, 'by' | 'waves'>): boolean =>
  by === 'child' && waves.kind === 'fixed' && waves.size === 1;

/** Waves of children: a wave is opened and closed as one location, `wave-<n>`. */
export const isByCohorts = (plan: Pick<Rules, 'by' | 'waves'>): boolean => plan.by === 'child' && !isByTurns(plan);

/** Each child is let through as soon as it has reported SuccessWaiting: it's all of its location. */
export const isOnItsOwn = ({ by, stages, advance }: Pick<Rules, 'by' | 'stages' | 'advance'>): boolean =>
  by === 'child' &&
  stages === 'own-pace' &&
  advance.soakMs === 0 &&
  advance.metrics === null &&
  advance.minChildren <= 1 &&
  advance.approval.stages.length === 0;

/** Where a child was enrolled, as its record says: `n` 0 = a location of its own. */
export type Membership = { id: string; n: number; late: boolean };

/** How a membership stands in a record: '' the child itself, `all`, or `[+]<n>/<id>`, + for a late joiner. */
export function membershipToken({ id, n }: Pick<OpenLocation, 'id' | 'n'>, plan: Rules, late: boolean): string {
  if (isByTurns(plan)) return '';
  return plan.direct ? ALL : `${late ? '+' : ''}${n}/${id}`;
}

export function parseMembership(token: string, child: string): Membership {
  if (token === '') return { id: child, n: 0, late: false };
  const match = /^(\+?)(\d+)\/(.*)$/.exec(token);
  if (match === null) return { id: token, n: 1, late: false };
  return { id: match[3] ?? '', n: Number(match[2]), late: match[1] === '+' };
}

/** A location by its number; 0: it's the child of that id, or where all are in one, that one. */
export type Place = Pick<Membership, 'id' | 'n'>;

/**
 * Whether a stage's gate is open to the children of a location. One that is through leaves `open`: its gates, all of
 * which had opened but for those in `shut`, stay as they were. `end`: the stage with which the child's release ended, or -1:
 * the gates before it were open and stay so.
 */
export function gatePassed(rollout: Rollout, { id, n }: Place, stage: number, end: number): boolean {
  if (stage < end) return true;
  const { plan, open, shut, started } = rollout;
  const aside = asideOf(rollout, { id, n });
  if (aside !== undefined) return aside.gates.includes(stage);
  const here = open.find((each) => (n === 0 ? each.id === id : each.n === n));
  if (isByCohorts(plan) && isOnItsOwn(plan)) {
    // Nobody else is waited for, so its gate is no more than the child's own word while the rollout goes on.
    if (here?.held !== undefined) return false;
    return goesOn(rollout);
  }
  if (here !== undefined) return here.gates.includes(stage);
  if (n === 0) return isOnItsOwn(plan) && goesOn(rollout);
  // A copy of the rollout from before the location was opened knows nothing of its gates.
  const places = isByCohorts(plan) ? started.waves : started.locations;
  const known = plan.direct ? rollout.closed.locations > 0 : n <= places;
  if (!known) return false;
  return shut.find((each) => each.n === n)?.gates.includes(stage) ?? true;
}

const goesOn = ({ state, plan }: Rollout): boolean =>
  state === 'running' || state === 'completed' || (state === 'reverting' && plan.releaseHeld);

/** A pending release counts only while its rollout runs at the epoch under which the child was enrolled, and so does its location. */
export function offers(rollout: Rollout, epoch: number, place: Place): boolean {
  if (rollout.state !== 'running' || rollout.epoch !== epoch || isWithdrawn(rollout, place)) return false;
  return rollout.open.every((each) => each.held === undefined || !isPlace(rollout, each, place));
}

/** Nobody more is offered the release in that location. */
export const isWithdrawn = (rollout: Rollout, place: Place): boolean => asideOf(rollout, place) !== undefined;

const asideOf = (rollout: Rollout, place: Place): Aside | undefined =>
  rollout.aside.find((each) => isPlace(rollout, each, place));

/** Whether a location is the one that a child belongs to: by its number, or where it has none as the child itself, or all. */
const isPlace = ({ plan }: Rollout, { id, n }: Place, place: Place): boolean =>
  place.n === 0 ? plan.direct || id === place.id : n === place.n;
