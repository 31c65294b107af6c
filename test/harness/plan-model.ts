/**
 * A fleet child by child, as plain as can be: what each does second by second, and every count by counting. It shares
 * nothing with shared/domain/model, so that each checks the other, and recounts what `decide` is held against.
 */
import type { CompensationView, FailedChild, LocationView, Snapshot } from '#domain/decide.ts';
import { MARK } from '#domain/marks.ts';
import type { Plan } from '#domain/plan.ts';
import type { OpenLocation, Rollout, RolloutStage } from '#domain/rollout.ts';
import { bucketOf } from '#domain/sketch.ts';
import { ReleaseStatus, StageStatus } from '#domain/status.ts';

export type StageScript = {
  does: 'succeeds' | 'fails' | 'fails and goes on' | 'ends early' | 'falls silent';
  seconds: number;
  /** What it measures; a median of -1: no calls. */
  median: number;
  errors: number;
};

export type ChildScript = {
  home: number;
  stages: StageScript[];
  /** Seconds after the start; 0: it's there. */
  joinsAt: number;
  leavesAt: number | null;
  /** A child that fell silent is back after so many seconds, and has succeeded. */
  returnsAfter: number | null;
};

export type Child = {
  id: string;
  script: ChildScript;
  /** It joined when nobody more was to get the release. */
  isOut: boolean;
  /** The id of the location that it belongs to; null where that isn't known yet. */
  place: string | null;
  late: boolean;
  enrolledAt: number | null;
  downloaded: boolean;
  stage: number;
  statuses: StageStatus[];
  ended: 'Done' | 'Failed' | null;
  lost: boolean;
  overdue: boolean;
  ejected: boolean;
  seenAt: number;
  stageSince: number;
};

export type FleetOptions = {
  plan: Plan;
  stages: readonly RolloutStage[];
  /** How many locations there are, where they are regions or a grid. */
  homes: number;
  children: readonly ChildScript[];
};

/** How many seconds a compensating release takes. */
const TAKING_BACK = 3;

export const homeName = (home: number): string => `h${home}`;

export type Fleet = ReturnType<typeof createFleet>;

export function createFleet({ plan, stages, homes, children: scripts }: FleetOptions) {
  const by = plan.locations.by;
  const byTurns = by === 'child' && plan.waves.kind === 'fixed' && plan.waves.size === 1;
  const byCohorts = by === 'child' && !byTurns;
  const { all: rate, location: ownRate } = plan.rate;
  const isPaced = [rate, ownRate].some((each) => each.perMinute ?? each.atOnce ?? each.bytesPerSecond);
  const isDirect = by === 'all' && !isPaced && plan.lateJoiners === 'none' && plan.order.by !== 'distance';
  const alone =
    by === 'child' &&
    plan.stages === 'own-pace' &&
    plan.advance.soakMs === 0 &&
    plan.advance.metrics === null &&
    plan.advance.minChildren <= 1 &&
    plan.advance.approval.stages.length === 0;

  let now = 0;
  let rollout: Rollout | null = null;
  let ordered = isDirect;
  /** The ids of locations in their order; where each child is one, of children. */
  let order: string[] = [];
  const children: Child[] = [];
  /** Locations that have been opened: all gates that ever were open in them. */
  const gates = new Map<string, Set<number>>();
  const compensated = new Map<string, number>();
  /** Directly enrolled: marked as done. */
  let isMarked = false;

  scripts.forEach((script, i) => {
    if (script.joinsAt === 0) add(script, i);
  });

  function add(script: ChildScript, i: number): Child {
    const child: Child = {
      id: `c${i}`,
      script,
      isOut: false,
      place: null,
      late: false,
      enrolledAt: null,
      downloaded: false,
      stage: -1,
      statuses: stages.map(() => StageStatus.Pending),
      ended: null,
      lost: false,
      overdue: false,
      ejected: false,
      seenAt: now,
      stageSince: 0,
    };
    children.push(child);
    return child;
  }

  const isThere = ({ script }: Child): boolean => script.leavesAt === null || now < script.leavesAt * 1000;
  const isUnderway = (child: Child): boolean => child.enrolledAt !== null && child.ended === null && !child.ejected;
  const locationOf = (child: Child): OpenLocation | undefined => rollout?.open.find(({ id }) => id === child.place);
  const isAside = (child: Child): boolean => rollout?.aside.some(({ id }) => id === child.place) ?? false;
  const signalled = (stage: number): boolean => stages[stage]?.type === 'WaitForSignal';

  function isOffered(child: Child): boolean {
    if (rollout?.state !== 'running') return false;
    return byTurns || (!isAside(child) && locationOf(child)?.held === undefined);
  }

  /** By what it has seen opened, never by what decides it. */
  function isGateOpen(child: Child, stage: number): boolean {
    if (rollout === null || child.place === null) return false;
    if (alone) {
      const goesOn = ['running', 'completed'].includes(rollout.state);
      const letThrough = rollout.state === 'reverting' && rollout.plan.releaseHeld;
      if (byTurns && gates.get(child.place)?.has(stage) === true) return true;
      if (byTurns && locationOf(child) !== undefined) return false;
      return (goesOn || letThrough) && (byTurns || locationOf(child)?.held === undefined);
    }
    return gates.get(child.place)?.has(stage) ?? false;
  }

  function act(child: Child): void {
    if (!isThere(child) || child.enrolledAt === null || child.ejected || child.ended !== null) return;
    const script = child.script.stages[child.stage];
    if (script?.does === 'falls silent' && child.statuses[child.stage] === StageStatus.InProgress) {
      const back = child.script.returnsAfter;
      if (back === null || now - child.stageSince < back * 1000) return;
    }
    // In an A/B stage it makes no request before its result.
    const isQuiet = script !== undefined && !signalled(child.stage) && now - child.stageSince < script.seconds * 1000;
    if (!isQuiet) {
      child.seenAt = now;
      child.lost = false;
    }
    if (!child.downloaded) {
      if (!isOffered(child)) return;
      child.downloaded = true;
      return enter(child, 0);
    }
    if (script === undefined) return;
    const status = child.statuses[child.stage];
    if (status === StageStatus.SuccessWaiting && isGateOpen(child, child.stage)) return complete(child);
    if (status !== StageStatus.InProgress || now - child.stageSince < script.seconds * 1000) return;
    if (script.does === 'fails' || script.does === 'fails and goes on') {
      child.statuses[child.stage] = StageStatus.Failure;
      if (script.does === 'fails') return end(child, 'Failed');
      return goOn(child);
    }
    if (!signalled(child.stage)) return complete(child);
    child.statuses[child.stage] = StageStatus.SuccessWaiting;
    child.overdue = false;
  }

  function enter(child: Child, stage: number): void {
    child.stage = stage;
    child.statuses[stage] = StageStatus.InProgress;
    child.stageSince = now;
    child.overdue = false;
  }

  function complete(child: Child): void {
    child.statuses[child.stage] = StageStatus.Completed;
    if (child.script.stages[child.stage]?.does === 'ends early') return end(child, 'Done');
    goOn(child);
  }

  function goOn(child: Child): void {
    if (child.stage + 1 < stages.length) return enter(child, child.stage + 1);
    end(child, child.statuses[child.stage] === StageStatus.Completed ? 'Done' : 'Failed');
  }

  function end(child: Child, as: 'Done' | 'Failed'): void {
    child.ended = as;
    child.lost = false;
    child.overdue = false;
  }

  function mark(child: Child): void {
    if (!isUnderway(child)) return;
    const inProgress = child.statuses[child.stage] === StageStatus.InProgress;
    const inTest = inProgress && !signalled(child.stage);
    if (plan.lostAfterMs !== null && !inTest && now - child.seenAt > plan.lostAfterMs) child.lost = true;
    if (plan.deadline !== null && inProgress && now - child.stageSince > plan.deadline.afterMs) child.overdue = true;
  }

  /** How far everyone is. */
  const traces = (): string =>
    children
      .map(({ stage, statuses, ended, lost, overdue }) => `${stage}${statuses.join('')}${ended}${lost}${overdue}`)
      .join();

  /** Where a child belongs, once locations are known. */
  function assign(child: Child): void {
    if (by === 'child') {
      order.push(child.id);
      if (byTurns) child.place = child.id;
      return;
    }
    child.place = by === 'all' ? 'all' : homeName(child.script.home);
    if (!gates.has(child.place)) return;
    // One that is through takes nobody more.
    child.isOut = locationOf(child) === undefined;
  }

  function putInOrder(): void {
    if (ordered) return;
    ordered = true;
    if (by === 'all') order = ['all'];
    else if (by !== 'child') order = Array.from({ length: homes }, (_, home) => homeName(home));
    for (const child of children) if (isThere(child)) assign(child);
  }

  const toComeAtAll = (): Child[] =>
    children.filter((child) => child.enrolledAt === null && !child.isOut && isThere(child));

  /** Members who are still to be enrolled; where each child is a location, all whose turn is to come. */
  function toCome(place: string): Child[] {
    const all = toComeAtAll();
    return byCohorts ? all : all.filter((child) => child.place === place);
  }

  function enrol(place: string, upTo: number | null): void {
    if (isDirect) {
      if (isMarked) return;
      isMarked = true;
      for (const child of children)
        if (isThere(child) && !child.isOut) {
          child.place = 'all';
          child.enrolledAt = now;
        }
      return;
    }
    const location = locationAt(place);
    if (location === undefined) return;
    for (const child of toCome(place)) {
      if (upTo !== null && membersOf(place).length >= upTo) return;
      child.place = place;
      child.enrolledAt = now;
      // Whoever belongs to it when it's known how many they are holds its gates; the others come late.
      child.late = location.children !== null;
    }
  }
  const locationAt = (place: string): OpenLocation | undefined => rollout?.open.find(({ id }) => id === place);

  const membersOf = (place: string): Child[] =>
    children.filter((child) => child.enrolledAt !== null && child.place === place);

  function viewOf(place: string): LocationView {
    const own = membersOf(place);
    const failed = own.find((child) => child.ended === 'Failed');
    const turn = children.find(({ id }) => id === place);
    let enrolled: number | null = null;
    if (isDirect && isMarked) enrolled = own.length;
    if (byTurns && own.length === 1) enrolled = 1;
    // Gone before its turn came.
    else if (byTurns && (turn === undefined || !isThere(turn))) enrolled = 0;
    return {
      counts: countsOf(own.filter(({ late }) => !late)),
      late: countsOf(own.filter(({ late }) => late)),
      left: isDirect || byTurns ? null : toCome(place).length,
      enrolled,
      failed: failed === undefined ? null : failureOf(failed),
    };
  }

  function failureOf(child: Child): FailedChild {
    return { child: child.id, stage: child.stage, status: child.statuses[child.stage] ?? StageStatus.Failure };
  }

  function nextOnes(): { id: string; members: number | null }[] {
    if (rollout === null) return [];
    // Nothing of it is true before the order is known.
    if (!ordered) return [{ id: 'nowhere', members: 1 }];
    const { started, open, aside } = rollout;
    if (isDirect) return started.locations === 0 ? [{ id: 'all', members: null }] : [];
    if (by === 'child') {
      const had = new Set([...open, ...aside].map(({ id }) => id));
      const waiting = new Set(toComeAtAll().map(({ id }) => id));
      const inTurn = order.filter((id) => waiting.has(id) && !had.has(id));
      return inTurn.map((id) => ({ id, members: null }));
    }
    return order.slice(started.locations).map((id) => ({ id, members: toCome(id).length }));
  }

  /** The gates of a location that was open before, one that may be through by now. */
  function gatesIn(after: Rollout, { id, n, gates: known }: OpenLocation): readonly number[] {
    const here = [...after.open, ...after.aside].find((each) => each.id === id);
    if (here !== undefined) return here.gates;
    if (byTurns || alone) return known;
    const all = stages.flatMap((_, stage) => (signalled(stage) ? [stage] : []));
    return after.shut.find((each) => each.n === n)?.gates ?? all;
  }

  return {
    children,
    isDirect,
    byTurns,
    byCohorts,
    alone,
    isPaced,
    isThere,
    isUnderway,
    isGateOpen,
    toCome,
    membersOf,
    /** In their order. */
    order: (): readonly string[] => order,
    isOrdered: (): boolean => ordered,

    /** One second of the fleet's life, up to `time`. True: something happened. */
    live(time: number): boolean {
      const before = traces();
      now = time;
      scripts.forEach((script, i) => {
        if (script.joinsAt === 0 || script.joinsAt * 1000 !== time) return;
        const child = add(script, i);
        if (isDirect ? !isMarked : !ordered) return;
        if (!isDirect && plan.lateJoiners === 'join') assign(child);
        else child.isOut = true;
      });
      for (const child of children) act(child);
      for (const child of children) mark(child);
      return before !== traces();
    },

    /** Children see gates and offers as they are in it. */
    see(after: Rollout): void {
      const closed = (rollout?.open ?? []).map((location) => ({ id: location.id, gates: gatesIn(after, location) }));
      rollout = after;
      for (const { id, gates: open } of [...closed, ...after.open, ...after.aside]) {
        if (!gates.has(id)) gates.set(id, new Set());
        for (const gate of open) gates.get(id)?.add(gate);
      }
    },

    gatesIn,

    perform(after: Rollout): void {
      for (const effect of after.effects) {
        if (effect.kind === 'order') putInOrder();
        else if (effect.kind === 'compensate') {
          const key = effect.location ?? '';
          if (!compensated.has(key)) compensated.set(key, now);
        } else enrol(effect.location, effect.upTo);
      }
    },

    snapshot(): Snapshot {
      const enrolled = children.filter((child) => child.enrolledAt !== null);
      const failed = enrolled.find((child) => child.ended === 'Failed');
      const places = [...(rollout?.open ?? []), ...(rollout?.aside ?? [])];
      const back = (key: string, at: number): CompensationView => ({
        through: now - at >= TAKING_BACK * 1000,
        unreached: enrolled.filter(({ place, lost }) => lost && (key === '' || place === key)).length,
        aborted: false,
      });
      const left = by === 'child' ? nextOnes().length : order.length - (rollout?.started.locations ?? 0);
      const known = children.filter((child) => child.enrolledAt !== null || (!child.isOut && isThere(child)));
      return {
        totals: countsOf(enrolled),
        locations: new Map(places.map(({ id }) => [id, viewOf(id)])),
        next: nextOnes(),
        ordered,
        order: isDirect || !ordered ? null : { locations: order.length, children: known.length, outside: 0, left },
        failed: failed === undefined ? null : failureOf(failed),
        compensations: new Map([...compensated].map(([key, at]) => [key, back(key, at)])),
        source: null,
      };
    },
  };
}

/** What children add up to, in the fields of an aggregate. */
export function countsOf(children: readonly Child[]): Map<string, number> {
  const counts = new Map<string, number>();
  const add = (field: string): unknown => counts.set(field, (counts.get(field) ?? 0) + 1);
  for (const child of children) {
    add('n');
    const marks = (child.lost ? MARK.lost : 0) + (child.overdue ? MARK.overdue : 0);
    if (child.ejected) {
      add(`m${marks + MARK.ejected}`);
      continue;
    }
    if (child.ended !== null) add(`r${ReleaseStatus[child.ended]}`);
    else add(`r${child.downloaded ? ReleaseStatus.Doing : ReleaseStatus.Todo}`);
    if (child.ended === 'Done') add(`d${child.stage}`);
    if (marks > 0) add(`m${marks}`);
    child.statuses.forEach((status, stage) => {
      if (status === StageStatus.Pending) return;
      add(`s${stage}.${status}`);
      const { median, errors } = child.script.stages[stage] ?? { median: -1, errors: 0 };
      if (status === StageStatus.InProgress || median < 0) return;
      add(`${stage}.f2:${bucketOf(median)}`);
      add(`${stage}.e2:${bucketOf(errors)}`);
    });
  }
  return counts;
}
