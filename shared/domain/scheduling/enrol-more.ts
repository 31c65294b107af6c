/** Lets more children of open locations in, as fast as the plan allows: late joiners, and children that a rate has kept back. */
import { isByCohorts, isByTurns, isOnItsOwn } from '#domain/rollout/membership.ts';
import type { OpenLocation, Pace, Rollout } from '#domain/rollout/rollout.ts';
import { enrolledIn } from './gates.ts';
import { creditUnder, isPaced, perMinute, roomFor, successesIn } from './pace.ts';
import type { LocationView, Snapshot, Step } from './snapshot.ts';

type Grant = { upTo: number | null; own: Pace | null };
type Grants = Map<string, Grant>;

/** One grant at a time for a location. */
export const enrolMore: Step = (rollout, snapshot, now) => {
  const { plan } = rollout;
  if (plan.direct || isByTurns(plan)) return rollout;
  const waiting = waitingLocations(rollout, snapshot);
  if (waiting.length === 0) return rollout;
  return isPaced(plan) ? grantPaced(rollout, snapshot, waiting, now) : grantAll(rollout, waiting);
};

type WaitingLocation = { location: OpenLocation; view: LocationView; wanted: number };

/** Open locations with children that are still to be let in and weren't asked for yet. */
function waitingLocations(rollout: Rollout, { locations }: Snapshot): WaitingLocation[] {
  const asked = new Set(rollout.effects.flatMap((effect) => (effect.kind === 'enrol' ? [effect.location] : [])));
  return rollout.open.flatMap((location) => {
    const view = locations.get(location.id);
    if (view === undefined || location.held !== undefined || asked.has(location.id)) return [];
    const wanted = wantedIn(rollout, location, view);
    return wanted === 0 ? [] : [{ location, view, wanted }];
  });
}

function grantAll(rollout: Rollout, waiting: readonly WaitingLocation[]): Rollout {
  const upTo = ({ members }: OpenLocation): number | null => (isByCohorts(rollout.plan) ? members : null);
  const grants: Grants = new Map(waiting.map(({ location }) => [location.id, { upTo: upTo(location), own: null }]));
  return withGrants(rollout, grants);
}

function grantPaced(rollout: Rollout, snapshot: Snapshot, waiting: readonly WaitingLocation[], now: number): Rollout {
  const { all, location: own } = rollout.plan.rate;
  const grants: Grants = new Map();
  const limitInAll = perMinute(all, successesIn([snapshot.totals]), rollout.bundleBytes);
  const begun = begunIn(rollout, snapshot);
  const fits = fitsBeside(rollout, begun);
  let pace = rollout.pace;
  // What was granted to other locations isn't in the totals yet.
  let granted = rollout.open.reduce((sum, each) => sum + notYetEnrolled(each, snapshot.locations.get(each.id)), 0);
  for (const { location, view, wanted } of waiting) {
    if (!begun.has(location.id) && !fits(location)) continue;
    const inAll = creditUnder(limitInAll, pace, now);
    const roomInAll = roomFor(all, [snapshot.totals], granted);
    if (Math.min(inAll.credit, roomInAll) < 1) break;
    const both = [view.counts, view.late];
    const limitHere = perMinute(own, successesIn(both), rollout.bundleBytes);
    const here = creditUnder(limitHere, location.pace ?? null, now);
    const more = Math.min(wanted, inAll.credit, here.credit, roomInAll, roomFor(own, both, 0));
    if (more <= 0) continue;
    grants.set(location.id, { upTo: enrolledIn(view) + more, own: here.after(more) });
    pace = inAll.after(more);
    granted += more;
    if (location.children === null) begun.set(location.id, location.members ?? 0);
  }
  return withGrants({ ...rollout, pace }, grants, rollout);
}

/**
 * Locations that have some of their children but not all, with their members. No stage of theirs ends before they have all:
 * were more begun than may have the release at once, each would keep what another waits for.
 */
function begunIn(rollout: Rollout, { locations }: Snapshot): Map<string, number> {
  const begun = new Map<string, number>();
  if (rollout.plan.rate.all.atOnce === null || isOnItsOwn(rollout.plan)) return begun;
  for (const { id, children, members, quota } of rollout.open) {
    const view = locations.get(id);
    const has = Math.max(view === undefined ? 0 : enrolledIn(view), quota ?? 0);
    if (children === null && has > 0) begun.set(id, members ?? 0);
  }
  return begun;
}

/** Whether a location may be begun beside those that are. */
function fitsBeside({ plan, open }: Rollout, begun: ReadonlyMap<string, number>): (location: OpenLocation) => boolean {
  const { atOnce } = plan.rate.all;
  const isEnrolling = open.some(
    ({ children, held }) => children === null && (held === undefined || plan.stages === 'lockstep'),
  );
  return ({ children, members }) => {
    if (atOnce === null) return true;
    // Late joiners take no room that a member may need.
    if (children !== null) return !isEnrolling;
    const taken = [...begun.values()].reduce((sum, n) => sum + n, 0);
    return begun.size === 0 || taken + (members ?? 0) <= atOnce;
  };
}

/** How many children are still to be let in. */
function wantedIn({ plan }: Rollout, location: OpenLocation, view: LocationView): number {
  const left = view.left ?? 0;
  if (!isByCohorts(plan)) return left;
  return Math.min(left, Math.max((location.members ?? 0) - enrolledIn(view), 0));
}

/** Granted, and still to come: a child that has gone meanwhile takes no room. */
const notYetEnrolled = ({ quota }: OpenLocation, view: LocationView | undefined): number =>
  quota === null || view === undefined ? 0 : Math.max(Math.min(quota - enrolledIn(view), view.left ?? Infinity), 0);

/** `otherwise`: what it is where nothing is granted. */
function withGrants(rollout: Rollout, grants: Grants, otherwise = rollout): Rollout {
  if (grants.size === 0) return otherwise;
  const open = rollout.open.map((each) => {
    const grant = grants.get(each.id);
    if (grant === undefined) return each;
    return { ...each, quota: grant.upTo, ...(grant.own === null ? {} : { pace: grant.own }) };
  });
  const enrol = [...grants].map(([location, { upTo }]) => ({ kind: 'enrol', location, upTo }) as const);
  return { ...rollout, open, effects: [...rollout.effects, ...enrol] };
}
