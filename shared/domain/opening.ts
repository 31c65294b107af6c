/** Whose turn it is: opening locations, wave by wave, and enrolling their children as fast as the plan allows. */
import type { LocationView, Step } from './decide.ts';
import { enrolledIn } from './gates.ts';
import { creditAt, perMinute, roomFor, successesIn } from './pace.ts';
import { type Rate, waveSize } from './plan.ts';
import { isByCohorts, isByTurns, isOnItsOwn } from './membership.ts';
import { type OpenLocation, type Pace, type Rollout, signalledStages } from './rollout.ts';

export const isPaced = ({ plan }: Pick<Rollout, 'plan'>): boolean =>
  [plan.rate.all, plan.rate.location].some(
    ({ perMinute: each, atOnce, bytesPerSecond }) => each !== null || atOnce !== null || bytesPerSecond !== null,
  );

/** What a pace still gives, and the pace once so many of it are used. */
function paced(rate: Rate, pace: Pace | null, successes: number, rollout: Rollout, now: number) {
  const limit = perMinute(rate, successes, rollout.bundleBytes);
  if (limit === null) return { credit: Infinity, after: () => pace };
  const filled = creditAt(pace, limit, now);
  return {
    credit: Math.floor(filled.credit + 1e-9),
    after: (used: number): Pace | null => ({ ...filled, credit: filled.credit - used }),
  };
}

type Grant = { upTo: number | null; own: Pace | null };

/** Lets more children of open locations in: late joiners, and whoever a rate has held back. One grant at a time. */
export const enrolMore: Step = (rollout, snapshot, now) => {
  const { plan, effects } = rollout;
  if (plan.direct || isByTurns(plan)) return rollout;
  const { all, location: own } = plan.rate;
  const isLimited = isPaced(rollout);
  const asked = new Set(effects.flatMap((effect) => (effect.kind === 'enrol' ? [effect.location] : [])));
  const grants = new Map<string, Grant>();
  const successes = successesIn([snapshot.totals]);
  let pace = rollout.pace;
  // What was granted to other locations isn't in the totals yet.
  let granted = rollout.open.reduce((sum, each) => sum + notYetEnrolled(each, snapshot.locations.get(each.id)), 0);
  const begun = begunIn(rollout, snapshot);
  const isEnrolling = rollout.open.some(
    ({ children, held }) => children === null && (held === undefined || plan.stages === 'lockstep'),
  );
  const fits = ({ children, members }: OpenLocation): boolean => {
    if (all.atOnce === null) return true;
    // Late joiners take no place that a member may need.
    return children === null ? begun.size === 0 || sumOf(begun) + (members ?? 0) <= all.atOnce : !isEnrolling;
  };
  for (const location of rollout.open) {
    const view = snapshot.locations.get(location.id);
    if (view === undefined || location.held !== undefined || asked.has(location.id)) continue;
    const wanted = wantedIn(rollout, location, view);
    if (wanted === 0) continue;
    if (!isLimited) {
      grants.set(location.id, { upTo: isByCohorts(plan) ? location.members : null, own: null });
      continue;
    }
    if (!begun.has(location.id) && !fits(location)) continue;
    const inAll = paced(all, pace, successes, rollout, now);
    const roomInAll = roomFor(all, [snapshot.totals], granted);
    if (Math.min(inAll.credit, roomInAll) < 1) break;
    const both = [view.counts, view.late];
    const here = paced(own, location.pace ?? null, successesIn(both), rollout, now);
    const more = Math.min(wanted, inAll.credit, here.credit, roomInAll, roomFor(own, both, 0));
    if (more <= 0) continue;
    grants.set(location.id, { upTo: enrolledIn(view) + more, own: here.after(more) });
    pace = inAll.after(more);
    granted += more;
    if (location.children === null) begun.set(location.id, location.members ?? 0);
  }
  return grants.size === 0 ? rollout : withGrants({ ...rollout, pace }, grants);
};

/**
 * Locations that have some of their children but not all, with their members. No stage of theirs ends before they have all:
 * were more begun than may have the release at once, each would keep what another waits for.
 */
function begunIn(rollout: Rollout, { locations }: Parameters<Step>[1]): Map<string, number> {
  const begun = new Map<string, number>();
  if (rollout.plan.rate.all.atOnce === null || isOnItsOwn(rollout.plan)) return begun;
  for (const { id, children, members, quota } of rollout.open) {
    const view = locations.get(id);
    const has = Math.max(view === undefined ? 0 : enrolledIn(view), quota ?? 0);
    if (children === null && has > 0) begun.set(id, members ?? 0);
  }
  return begun;
}

const sumOf = (sizes: ReadonlyMap<string, number>): number => [...sizes.values()].reduce((sum, n) => sum + n, 0);

/** How many children are still to be let in. */
function wantedIn({ plan }: Rollout, location: OpenLocation, view: LocationView): number {
  const left = view.left ?? 0;
  if (!isByCohorts(plan)) return left;
  return Math.min(left, Math.max((location.members ?? 0) - enrolledIn(view), 0));
}

/** Granted, and still to come: who has gone meanwhile takes no place. */
const notYetEnrolled = ({ quota }: OpenLocation, view: LocationView | undefined): number =>
  quota === null || view === undefined ? 0 : Math.max(Math.min(quota - enrolledIn(view), view.left ?? Infinity), 0);

function withGrants(rollout: Rollout, grants: ReadonlyMap<string, Grant>): Rollout {
  const open = rollout.open.map((each) => {
    const grant = grants.get(each.id);
    if (grant === undefined) return each;
    return { ...each, quota: grant.upTo, ...(grant.own === null ? {} : { pace: grant.own }) };
  });
  const enrol = [...grants].map(([location, { upTo }]) => ({ kind: 'enrol', location, upTo }) as const);
  return { ...rollout, open, effects: [...rollout.effects, ...enrol] };
}

/** Why the next wave may not start though the last one is through, or null. */
export function waveWaits(rollout: Rollout, now: number): string | null {
  const { plan, started, waveEndedAt, approvedWaves } = rollout;
  if (started.waves === 0) return null;
  const left = waveEndedAt === null ? 0 : waveEndedAt + plan.waveSoakMs - now;
  if (left > 0) return `${Math.ceil(left / 1000)} s of soak between waves`;
  if (plan.advance.approval.waves && approvedWaves < started.waves)
    return 'an operator to approve the next wave (promote)';
  return null;
}

/** The next wave starts when the last location of this one is through. */
export const openLocations: Step = (rollout, snapshot, now) => {
  if (!snapshot.ordered || rollout.open.length > 0 || rollout.effects.some(({ kind }) => kind === 'order'))
    return rollout;
  if (snapshot.next.length === 0 || waveWaits(rollout, now) !== null) return rollout;
  const size = waveSize(rollout.plan.waves, rollout.started, snapshot.order?.locations ?? 1);
  return isByCohorts(rollout.plan) ? openCohort(rollout, snapshot, size) : openNext(rollout, snapshot, size, now);
};

const openCohort = (rollout: Rollout, { order }: Parameters<Step>[1], size: number): Rollout => {
  const members = Math.min(size, order?.left ?? 0);
  if (members === 0) return rollout;
  const wave = rollout.started.waves + 1;
  return withOpened(rollout, [{ id: `wave-${wave}`, members }], members);
};

function openNext(rollout: Rollout, snapshot: Parameters<Step>[1], size: number, now: number): Rollout {
  const turns = isByTurns(rollout.plan);
  const inAll = paced(rollout.plan.rate.all, rollout.pace, successesIn([snapshot.totals]), rollout, now);
  const room = roomFor(rollout.plan.rate.all, [snapshot.totals], 0);
  if (turns && Math.min(inAll.credit, room) < 1) return rollout;
  const next = snapshot.next.slice(0, size);
  const opened = withOpened(rollout, next, next.length);
  return turns && isPaced(rollout) ? { ...opened, pace: inAll.after(1) } : opened;
}

function withOpened(rollout: Rollout, next: readonly { id: string; members: number | null }[], taken: number): Rollout {
  const { plan, started, skip } = rollout;
  const { waves } = started;
  const isLimited = isPaced(rollout) && !isByTurns(plan);
  const places = next.map(({ id, members }, i) => ({
    id,
    members,
    n: (isByCohorts(plan) ? waves : started.locations) + i + 1,
  }));
  const going = places.filter(({ id }) => !skip.includes(id));
  const wave = going.reduce((sum, { members }) => sum + (members ?? 0), 0);
  const open = going.map(({ id, members, n }): OpenLocation => {
    const held = impossible(rollout, members, wave);
    return {
      id,
      n,
      members,
      quota: isLimited ? 0 : null,
      children: null,
      gates: [],
      ...(held === null ? {} : { held }),
    };
  });
  const skipped = places.filter(({ id }) => skip.includes(id));
  const upTo = (members: number | null): number | null => (isByCohorts(plan) ? members : null);
  return {
    ...rollout,
    open,
    aside: [
      ...rollout.aside,
      ...skipped.map(({ id, n, members }) => ({
        id,
        n,
        as: 'skipped' as const,
        reason: 'skipped by an operator',
        children: members ?? 1,
        gates: [],
      })),
    ],
    started: { locations: started.locations + taken, waves: waves + 1 },
    waveEndedAt: null,
    effects: [
      ...rollout.effects,
      ...(isLimited
        ? []
        : open.map(({ id, members }) => ({ kind: 'enrol', location: id, upTo: upTo(members) }) as const)),
    ],
  };
}

/**
 * Why locations that are opened together could never end, or null: no stage ends before all of a location's children are
 * enrolled (in lockstep, all of all), and until then each keeps its place among those who may have the release at once.
 */
function impossible({ plan, stages }: Rollout, members: number | null, wave: number): string | null {
  const [stage] = signalledStages({ stages });
  if (stage === undefined || isOnItsOwn(plan) || plan.compensates !== null) return null;
  const { all, location: own } = plan.rate;
  const here = members ?? 0;
  const inAll = plan.stages === 'lockstep' ? Math.max(wave, here) : here;
  const [most, needed] = here > (own.atOnce ?? Infinity) ? [own.atOnce, here] : [all.atOnce ?? Infinity, inAll];
  if (most === null || needed <= most) return null;
  return `at most ${most} children have the release at once, but stage "${stages[stage]?.name}" ends only when all ${needed} have it`;
}
