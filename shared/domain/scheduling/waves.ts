/** Whose turn it is: locations are opened wave by wave. */
import { type Rules, waveSize } from '#domain/plan/plan.ts';
import { isByCohorts, isByTurns, isOnItsOwn } from '#domain/rollout/membership.ts';
import { type OpenLocation, type Rollout, signalledStages, type WithdrawnLocation } from '#domain/rollout/rollout.ts';
import { creditUnder, isPaced, perMinute, roomFor, successesIn } from './pace.ts';
import type { NextLocation, Snapshot, Step } from './snapshot.ts';

/** Why the next wave may not start though the last one has completed, or null. */
export function waveWaits(rollout: Rollout, now: number): string | null {
  const { plan, started, waveEndedAt, approvedWaves } = rollout;
  if (started.waves === 0) return null;
  const left = waveEndedAt === null ? 0 : waveEndedAt + plan.waveSoakMs - now;
  if (left > 0) return `${Math.ceil(left / 1000)} s of soak between waves`;
  if (plan.advance.approval.waves && approvedWaves < started.waves)
    return 'an operator to approve the next wave (promote)';
  return null;
}

/** The next wave starts when the last location of this one has completed. */
export const openLocations: Step = (rollout, snapshot, now) => {
  if (!snapshot.ordered || rollout.open.length > 0 || rollout.effects.some(({ kind }) => kind === 'assign'))
    return rollout;
  if (snapshot.next.length === 0 || waveWaits(rollout, now) !== null) return rollout;
  const size = waveSize(rollout.plan.waves, rollout.started, snapshot.order?.locations ?? 1);
  return isByCohorts(rollout.plan) ? openCohort(rollout, snapshot, size) : openNext(rollout, snapshot, size, now);
};

function openCohort(rollout: Rollout, { order }: Snapshot, size: number): Rollout {
  const members = Math.min(size, order?.left ?? 0);
  if (members === 0) return rollout;
  const wave = rollout.started.waves + 1;
  return withOpened(rollout, [{ id: `wave-${wave}`, members }], members);
}

function openNext(rollout: Rollout, { totals, next }: Snapshot, size: number, now: number): Rollout {
  const { all } = rollout.plan.rate;
  const turns = isByTurns(rollout.plan);
  const inAll = creditUnder(perMinute(all, successesIn([totals]), rollout.bundleBytes), rollout.pace, now);
  if (turns && Math.min(inAll.credit, roomFor(all, [totals], 0)) < 1) return rollout;
  const first = next.slice(0, size);
  const after = withOpened(rollout, first, first.length);
  return turns && isPaced(rollout.plan) ? { ...after, pace: inAll.after(1) } : after;
}

type Numbered = NextLocation & { n: number };

/** `taken`: locations, or children of a wave of children, that have their turn. */
function withOpened(rollout: Rollout, next: readonly NextLocation[], taken: number): Rollout {
  const { plan, started, skip } = rollout;
  const first = (isByCohorts(plan) ? started.waves : started.locations) + 1;
  const numbered = next.map(({ id, members }, i): Numbered => ({ id, members, n: first + i }));
  const going = numbered.filter(({ id }) => !skip.includes(id));
  const isLimited = isPaced(plan) && !isByTurns(plan);
  const wave = going.reduce((sum, { members }) => sum + (members ?? 0), 0);
  const open = going.map((each) => opened(rollout, each, wave, isLimited));
  const upTo = (members: number | null): number | null => (isByCohorts(plan) ? members : null);
  const enrol = open.map(({ id, members }) => ({ kind: 'enrol', location: id, upTo: upTo(members) }) as const);
  return {
    ...rollout,
    open,
    withdrawn: [...rollout.withdrawn, ...numbered.filter(({ id }) => skip.includes(id)).map(skipped)],
    started: { locations: started.locations + taken, waves: started.waves + 1 },
    waveEndedAt: null,
    effects: isLimited ? rollout.effects : [...rollout.effects, ...enrol],
  };
}

function opened(rollout: Rollout, { id, n, members }: Numbered, wave: number, isLimited: boolean): OpenLocation {
  const held = neverEnds(rollout, members, wave);
  const quota = isLimited ? 0 : null;
  return { id, n, members, quota, children: null, gates: [], ...(held === null ? {} : { held }) };
}

const skipped = ({ id, n, members }: Numbered): WithdrawnLocation => ({
  id,
  n,
  as: 'skipped',
  reason: 'skipped by an operator',
  children: members ?? 1,
  gates: [],
});

/**
 * Why locations that are opened together could never end, or null: no stage ends before all of a location's children are
 * enrolled (in lockstep, all of all), and until then each keeps its room among those that may have the release at once.
 */
function neverEnds({ plan, stages }: Rollout, members: number | null, wave: number): string | null {
  const [stage] = signalledStages({ stages });
  if (stage === undefined || isOnItsOwn(plan) || plan.compensates !== null) return null;
  const [most, needed] = roomNeeded(plan, members ?? 0, wave);
  if (most === null || needed <= most) return null;
  return `at most ${most} children have the release at once, but stage "${stages[stage]?.name}" ends only when all ${needed} have it`;
}

function roomNeeded({ rate, stages }: Rules, here: number, wave: number): [most: number | null, needed: number] {
  const inAll = stages === 'lockstep' ? Math.max(wave, here) : here;
  return here > (rate.location.atOnce ?? Infinity)
    ? [rate.location.atOnce, here]
    : [rate.all.atOnce ?? Infinity, inAll];
}
