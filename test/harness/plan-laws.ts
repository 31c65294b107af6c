/** The laws of spreading, each recounted from the children themselves: a watcher that throws where one is broken. */
import type { OpenLocation, Rollout } from '#domain/rollout.ts';
import { gatePassed } from '#domain/membership.ts';
import { bucketOf, valueOf } from '#domain/sketch.ts';
import { StageStatus } from '#domain/status.ts';
import type { Child, Fleet } from './plan-model.ts';
import { type Decision, DELAYS, type Played, type Scenario, type Watcher } from './plan-play.ts';

class Broken extends Error {}

function hold(condition: boolean, law: string): asserts condition {
  if (!condition) throw new Broken(law);
}

const MINUTE_MS = 60_000;
const SAVED_MS = 5_000;
/** What a release is, once its budget has been acted on. */
const STOPPED = { hold: 'halted', abort: 'aborted', revert: 'reverting' } as const;
const isTakenBack = ({ state }: Rollout): boolean => state === 'reverting' || state === 'reverted';

export type Laws = Watcher & { ended(played: Played): void };

export function createLaws(scenario: Scenario): Laws {
  const { plan, stages } = scenario;
  const { advance } = plan;
  const signalled = stages.flatMap(({ type }, i) => (type === 'WaitForSignal' ? [i] : []));
  /** Since when all that children bring about holds, by location and stage; seconds in which it didn't leave no trace. */
  const metSince = new Map<string, number>();
  /** When the last location of the last wave was through. */
  let emptySince: number | null = null;
  const hadTurn: string[] = [];
  const enrolments: { at: number; place: string }[] = [];
  const placeNumbers = new Map<string, number>();
  const isDelayed = scenario.faults.some(
    (fault) => (DELAYS as readonly string[]).includes(fault) && fault !== 'no tick',
  );
  const fastest = { all: 0, location: new Map<string, number>() };

  let wasOpen = false;

  /** An operator may take the last one out of it as well. */
  function noteOpen({ open }: Rollout, now: number): void {
    if (wasOpen && open.length === 0) emptySince = now;
    wasOpen = open.length > 0;
  }

  const membersIn = (fleet: Fleet, place: string): Child[] =>
    fleet.membersOf(place).filter(({ ejected, late }) => !ejected && !late);
  const lateIn = (fleet: Fleet, place: string): Child[] =>
    fleet.membersOf(place).filter(({ ejected, late }) => !ejected && late);

  const hasPassed = ({ statuses }: Child, stage: number): boolean =>
    statuses[stage] === StageStatus.SuccessWaiting || statuses[stage] === StageStatus.Completed;
  const hasFailed = ({ statuses }: Child, stage: number): boolean => (statuses[stage] ?? 0) >= StageStatus.Failure;

  /** Locations of which it is known how many children they have: who comes later is late. */
  const known = new Set<string>();
  const isCapped = plan.rate.all.atOnce !== null || plan.rate.location.atOnce !== null;

  function isFullyEnrolled(fleet: Fleet, { id, members }: OpenLocation): boolean {
    const has = fleet.membersOf(id).length;
    if (known.has(id)) return true;
    if (fleet.isDirect || fleet.byTurns) return has > 0 && fleet.toCome(id).length === 0;
    return fleet.toCome(id).length === 0 || ((fleet.byCohorts || isCapped) && has >= (members ?? Infinity));
  }

  function noteKnown({ before, after, fleet }: Decision): void {
    for (const location of after.open) {
      const { id, children } = location;
      if (children === null || known.has(id)) continue;
      if (children > 0) hold(isFullyEnrolled(fleet, location), `all are enrolled in ${id}`);
      hold(
        before.open.some((each) => each.id === id),
        `${id} was opened before it was enrolled`,
      );
      known.add(id);
    }
  }

  /** All that children bring about, but for soak and approval. */
  function conditionsHold(fleet: Fleet, location: OpenLocation, stage: number): boolean {
    const { id } = location;
    const own = membersIn(fleet, id).filter((child) => !(child.ended === 'Done' && child.stage < stage));
    const late = lateIn(fleet, id).filter((child) => hasPassed(child, stage) || hasFailed(child, stage));
    const of = own.length + late.length;
    const passed = [...own, ...late].filter((child) => hasPassed(child, stage)).length;
    if (of === 0 || passed === 0 || !isFullyEnrolled(fleet, location)) return false;
    if (passed < Math.ceil(advance.quorum * of - 1e-9) || passed < advance.minChildren) return false;
    const judged = advance.metrics;
    if (judged === null) return true;
    return (stages[stage]?.conditions ?? []).every(({ metric, limit }) => {
      const values = [...membersIn(fleet, id), ...lateIn(fleet, id)]
        .filter(({ statuses }) => (statuses[stage] ?? 0) > StageStatus.InProgress)
        .map(({ script }) => script.stages[stage])
        .filter((script) => script !== undefined && script.median >= 0)
        .map((script) => valueOf(bucketOf((metric === 'f2' ? script?.median : script?.errors) ?? 0)))
        .sort((a, b) => a - b);
      const meeting = values.filter((value) => value <= limit).length;
      if (meeting === 0) return false;
      if (judged.judge === 'worst') return meeting === values.length;
      if (judged.judge === 'share') return meeting / Math.max(values.length, passed) >= judged.share - 1e-9;
      return (values[Math.floor((values.length - 1) / 2)] ?? Infinity) <= limit;
    });
  }

  const keyOf = (id: string, stage: number): string => `${id} ${stage}`;

  function noteMet(rollout: Rollout, fleet: Fleet, now: number): void {
    for (const location of rollout.open)
      for (const stage of signalled) {
        const key = keyOf(location.id, stage);
        if (!conditionsHold(fleet, location, stage)) metSince.delete(key);
        else if (!metSince.has(key)) metSince.set(key, now);
      }
  }

  function isSoaked(id: string, stage: number, now: number): boolean {
    const since = metSince.get(keyOf(id, stage));
    return since !== undefined && now - since >= advance.soakMs;
  }

  function isApproved({ approved = [] }: OpenLocation, stage: number): boolean {
    const { stages: needed } = advance.approval;
    const isNeeded = needed === 'all' || needed.includes(stages[stage]?.name ?? '');
    return !isNeeded || approved.includes(stage);
  }

  function checkGates({ before, after, now, fleet }: Decision): void {
    if (after.state !== 'running' && after.state !== 'completed') return;
    const aside = new Set(after.aside.map(({ id }) => id));
    for (const { id, gates } of after.open)
      if (before.open.every((each) => each.id !== id)) hold(gates.length === 0, 'no gate is open from the beginning');
    for (const was of before.open) {
      if (aside.has(was.id)) continue;
      for (const stage of fleet.gatesIn(after, was)) {
        if (was.gates.includes(stage)) continue;
        hold(before.state === 'running', 'a gate opens only while it runs');
        hold(was.held === undefined, 'no gate opens in a location that is held');
        hold(signalled.includes(stage), 'only stages that wait for a signal have gates');
        // Who was set aside in the same decision is no longer waited for.
        const all = plan.stages === 'lockstep' ? before.open.filter(({ id }) => !aside.has(id)) : [was];
        for (const each of all) {
          if (each.gates.includes(stage)) continue;
          hold(each.held === undefined, 'no gate opens while another location is held in lockstep');
          hold(conditionsHold(fleet, each, stage), `the conditions of stage ${stage} hold in ${each.id}`);
          hold(isSoaked(each.id, stage, now), `the conditions of stage ${stage} have held long enough in ${each.id}`);
          hold(isApproved(each, stage), `stage ${stage} is approved in ${each.id}`);
        }
      }
    }
  }

  function checkOpening({ before, after, now, fleet }: Decision): void {
    const fresh = after.open.filter(({ id }) => !hadTurn.includes(id));
    const passedOver = after.aside.filter(({ id, as }) => as === 'skipped' && !hadTurn.includes(id));
    if (fresh.length + passedOver.length === 0) return;
    hold(before.state === 'running', 'a location opens only while it runs');
    hold(fleet.isOrdered(), 'a location opens only when their order is known');
    hold(
      after.open.every(({ id }) => fresh.some((each) => each.id === id)),
      'a wave starts only when the one before is through',
    );
    if (before.started.waves > 0) {
      // In the same decision its last location may have been through.
      const since = before.open.length > 0 ? now : emptySince;
      // A wave of locations that were all skipped has no end to look at.
      const isFirst = before.aside.length === before.started.locations;
      hold(isFirst || (since !== null && now - since >= plan.waveSoakMs), 'a wave starts only after its soak');
      hold(!advance.approval.waves || before.approvedWaves >= before.started.waves, 'a wave starts only when approved');
    }
    const size =
      plan.waves.kind === 'fixed' ? plan.waves.size : plan.waves.kind === 'doubling' ? 2 ** before.started.waves : null;
    const taken = fleet.byCohorts ? (fresh[0]?.members ?? 0) : fresh.length + passedOver.length;
    if (size !== null) hold(taken <= size, `wave of ${taken} where ${size} may start`);
    for (const { id } of fresh) hold(!before.skip.includes(id), 'who is skipped is not opened');
    hadTurn.push(...[...fresh, ...passedOver].map(({ id }) => id));
    if (!fleet.byCohorts && !fleet.byTurns) {
      const inOrder = [...fresh, ...passedOver].sort((a, b) => a.n - b.n).map(({ id }) => id);
      const from = hadTurn.length - inOrder.length;
      if (!fleet.isDirect)
        hold(String(fleet.order().slice(from, from + inOrder.length)) === String(inOrder), 'in order');
    }
  }

  function checkClosing({ before, after, fleet }: Decision): void {
    const stays = new Set([...after.open, ...after.aside].map(({ id }) => id));
    for (const location of before.open) {
      if (stays.has(location.id)) continue;
      hold(before.state === 'running' && location.held === undefined, 'a location is through only while it goes on');
      const members = membersIn(fleet, location.id);
      if (fleet.membersOf(location.id).length > 0)
        hold(isFullyEnrolled(fleet, location), 'a location is through only when all are enrolled');
      const isOut = (child: Child): boolean =>
        child.ended !== null || child.lost || (child.overdue && plan.deadline?.then === 'fail');
      hold(members.every(isOut), `nobody is underway in ${location.id}, which is through`);
      if (!fleet.isPaced && !fleet.byCohorts)
        hold(fleet.toCome(location.id).length === 0, `nobody is left behind in ${location.id}, which is through`);
      // Where a child waits for no other, the budget alone says how many may fail.
      if (plan.locations.by === 'child' && plan.stages === 'own-pace') continue;
      const done = members.filter(({ ended }) => ended === 'Done').length;
      hold(
        done >= Math.ceil(advance.quorum * members.length - 1e-9),
        'a location is through only with its quorum Done',
      );
    }
    if (after.state === 'completed' && before.state === 'running') {
      hold(
        fleet.children.some(({ ended }) => ended === 'Done'),
        'nobody’s success is no success',
      );
      hold(after.open.length === 0, 'nothing is open in what is completed');
      const aside = new Set(after.aside.map(({ id }) => id));
      for (const child of fleet.children) {
        if (child.place !== null && aside.has(child.place)) continue;
        hold(!fleet.isUnderway(child) || child.lost || child.overdue, `${child.id} is underway in what is completed`);
      }
      if (plan.locations.by !== 'child' && !fleet.isDirect)
        for (const id of fleet.order()) hold(hadTurn.includes(id), `${id} has had its turn`);
    }
  }

  const usedBy = (children: readonly Child[]): number =>
    children.filter(
      (child) =>
        !child.ejected &&
        (child.ended === 'Failed' ||
          (child.ended === null && (child.lost || (child.overdue && plan.deadline?.then === 'fail')))),
    ).length;
  const allowed = ({ count, share }: { count: number; share: number }, of: number): number =>
    Math.max(count, Math.floor(share * of + 1e-9));

  /** Nothing is stopped but by a budget that is spent, or by a stage that takes too long. */
  function checkStopping({ before, after, fleet }: Decision): void {
    const enrolled = fleet.children.filter(({ enrolledAt }) => enrolledAt !== null);
    const { all, location: own } = plan.failure;
    // Where there is one location, one that takes too long halts the release.
    const isLate = after.state === 'halted' && plan.deadline !== null && plan.locations.by === 'all';
    if (before.state === 'running' && after.state !== 'running' && after.state !== 'completed' && !isLate) {
      hold(all !== null, 'only a budget stops a release');
      const children = enrolled.length;
      hold(usedBy(enrolled) - before.forgiven > allowed(all, children), 'it is stopped, and its budget is not spent');
      hold(STOPPED[all.then] === after.state, 'it is stopped as its budget says');
    }
    for (const location of before.open) {
      const { id, forgiven, members, held } = location;
      const here = fleet.membersOf(id);
      const of = Math.max(members ?? 0, here.filter(({ late }) => !late).length);
      const isSpent = own !== null && usedBy(here) - (forgiven?.used ?? 0) > allowed(own, of);
      const aside = after.aside.find((each) => each.id === id);
      if (aside !== undefined) hold(isSpent && own.then !== 'hold', `${id} is set aside, and its budget is not spent`);
      const isHeld = after.open.some((each) => each.id === id && each.held !== undefined);
      if (!isHeld || held !== undefined) continue;
      hold((isSpent && own.then === 'hold') || plan.deadline !== null, `${id} is held for no reason`);
    }
  }

  /** After a tick a budget that is spent has been acted on. */
  function checkBudgets({ rollout, fleet }: { rollout: Rollout; fleet: Fleet }): void {
    if (rollout.state !== 'running') return;
    const enrolled = fleet.children.filter(({ enrolledAt }) => enrolledAt !== null);
    const { all, location: own } = plan.failure;
    if (all !== null) {
      const children = enrolled.length;
      hold(usedBy(enrolled) - rollout.forgiven <= allowed(all, children), 'the budget over all is spent, and it runs');
    }
    for (const { id, held, forgiven, members } of rollout.open) {
      const here = fleet.membersOf(id);
      const overdue = here.filter((child) => child.overdue && !child.ejected && child.ended === null).length;
      if (plan.deadline?.then === 'hold' && held === undefined)
        hold(overdue <= (forgiven?.overdue ?? 0), `${overdue} children are overdue in ${id}, and it goes on`);
      if (own === null) continue;
      const of = Math.max(members ?? 0, here.filter(({ late }) => !late).length);
      if (held === undefined)
        hold(usedBy(here) - (forgiven?.used ?? 0) <= allowed(own, of), `the budget of ${id} is spent, and it goes on`);
    }
  }

  /** Children a minute that a rate gives by now. */
  function rateOf(limit: typeof plan.rate.all, children: readonly Child[]): number {
    const { perMinute, growth, bytesPerSecond } = limit;
    const passed = children.filter((child) => !child.ejected && hasPassed(child, 0)).length;
    const grown =
      growth === null
        ? perMinute
        : Math.min(growth.upTo, (perMinute ?? 0) * growth.factor ** Math.floor(passed / growth.every));
    const byBytes = bytesPerSecond === null ? Infinity : (bytesPerSecond / scenario.bundleBytes) * 60;
    return Math.min(grown ?? Infinity, byBytes);
  }

  function checkRates(fleet: Fleet, now: number): void {
    const enrolled = fleet.children.filter(({ enrolledAt }) => enrolledAt !== null);
    const fresh = enrolled.filter(({ enrolledAt }) => enrolledAt === now);
    fastest.all = Math.max(fastest.all, rateOf(plan.rate.all, enrolled));
    const windows = (times: number[], rate: number, what: string): void => {
      if (rate === Infinity) return;
      times.forEach((from, i) => {
        const n = times.length - i;
        hold(
          n <= (rate * (now - from + SAVED_MS)) / MINUTE_MS + 1 + 1e-6,
          `${n} in ${now - from} ms at ${rate} a minute${what}`,
        );
      });
    };
    if (fresh.length === 0) return;
    for (const child of fresh) enrolments.push({ at: now, place: child.place ?? '' });
    windows(
      enrolments.map(({ at }) => at),
      fastest.all,
      '',
    );
    const cap = (limit: number | null, children: readonly Child[], what: string): void => {
      const busy = children.filter((child) => fleet.isUnderway(child) && !child.lost).length;
      if (limit !== null) hold(busy <= limit, `${busy} have it at once${what}, where ${limit} may`);
    };
    cap(plan.rate.all.atOnce, enrolled, '');
    if (fleet.byTurns) return;
    for (const place of new Set(fresh.map((child) => child.place ?? ''))) {
      const here = fleet.membersOf(place);
      fastest.location.set(place, Math.max(fastest.location.get(place) ?? 0, rateOf(plan.rate.location, here)));
      windows(
        enrolments.filter((each) => each.place === place).map(({ at }) => at),
        fastest.location.get(place) ?? 0,
        ` in ${place}`,
      );
      cap(plan.rate.location.atOnce, here, ` in ${place}`);
    }
  }

  function checkPassing(rollout: Rollout, fleet: Fleet): void {
    for (const child of fleet.children) {
      if (child.enrolledAt === null || child.place === null || child.ended !== null) continue;
      const location = rollout.open.find(({ id }) => id === child.place);
      const place = placeNumbers.get(child.place);
      if (place === undefined) continue;
      for (const stage of signalled) {
        if (stage < child.stage) continue;
        const passed = gatePassed(rollout, { id: child.place, n: fleet.byTurns ? 0 : place }, stage, -1);
        const isOpen = fleet.isGateOpen(child, stage);
        // Where all who are held are to be let through, a gate that had stayed shut opens too, and stays so.
        const isReleased = isTakenBack(rollout) && rollout.plan.releaseHeld && location === undefined;
        hold(
          !passed || isOpen || isReleased,
          `gate ${stage} of ${child.place} lets ${child.id} through, and was never opened`,
        );
        if (location !== undefined)
          hold(passed === isOpen, `gate ${stage} of ${child.place} is open, and holds ${child.id}`);
      }
    }
  }

  return {
    second({ rollout, fleet, now }) {
      noteMet(rollout, fleet, now);
      noteOpen(rollout, now);
      fastest.all = Math.max(
        fastest.all,
        rateOf(
          plan.rate.all,
          fleet.children.filter(({ enrolledAt }) => enrolledAt !== null),
        ),
      );
      for (const { id } of rollout.open)
        fastest.location.set(
          id,
          Math.max(fastest.location.get(id) ?? 0, rateOf(plan.rate.location, fleet.membersOf(id))),
        );
    },
    decided(decision) {
      const { before, after, now, fleet } = decision;
      noteMet(before, fleet, now);
      for (const { id, n } of after.open) placeNumbers.set(id, n);
      checkStopping(decision);
      noteKnown(decision);
      checkGates(decision);
      checkOpening(decision);
      checkClosing(decision);
      noteOpen(after, now);
    },
    settled({ rollout, fleet, now }) {
      checkBudgets({ rollout, fleet });
      if (!isDelayed) checkRates(fleet, now);
      checkPassing(rollout, fleet);
    },
    ended({ rollout, waits, isStill }) {
      if (!isStill) throw new Broken('it never comes to a standstill');
      const isOver = ['completed', 'aborted', 'reverted'].includes(rollout.state);
      hold(isOver || waits.length > 0, `it stands still in ${rollout.state}, and nobody is told why`);
    },
  };
}
