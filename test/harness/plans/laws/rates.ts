/** Nobody is enrolled faster than a rate allows, and never more have it at once than may. */
import type { Rate } from '#domain/plan/plan.ts';
import type { Child } from '../model/child.ts';
import type { Fleet } from '../model.ts';
import { enrolledIn, hasPassed, type LawState, type Moment, must } from './state.ts';

const MINUTE_MS = 60_000;
/** For how long a rate that isn't used is saved up. */
const SAVED_MS = 5_000;

/** Children a minute that a rate gives by now. */
function rateOf({ perMinute, growth, bytesPerSecond }: Rate, children: readonly Child[], bundleBytes: number): number {
  const passed = children.filter((child) => !child.ejected && hasPassed(child, 0)).length;
  const grown =
    growth === null
      ? perMinute
      : Math.min(growth.upTo, (perMinute ?? 0) * growth.factor ** Math.floor(passed / growth.every));
  const byBytes = bytesPerSecond === null ? Infinity : (bytesPerSecond / bundleBytes) * 60;
  return Math.min(grown ?? Infinity, byBytes);
}

function noteFastest({ fastest, plan, bundleBytes }: LawState, fleet: Fleet, locations: Iterable<string>): void {
  fastest.all = Math.max(fastest.all, rateOf(plan.rate.all, enrolledIn(fleet), bundleBytes));
  for (const id of locations) {
    const rate = rateOf(plan.rate.location, fleet.membersOf(id), bundleBytes);
    fastest.location.set(id, Math.max(fastest.location.get(id) ?? 0, rate));
  }
}

/** Rates grow and shrink with what children do: the greatest so far is what none may exceed. */
export const noteRates = (state: LawState, { rollout, fleet }: Moment): void =>
  noteFastest(
    state,
    fleet,
    rollout.open.map(({ id }) => id),
  );

export function checkRates(state: LawState, { fleet, now }: Moment): void {
  const { plan, enrolments, fastest } = state;
  const enrolled = enrolledIn(fleet);
  const fresh = enrolled.filter(({ enrolledAt }) => enrolledAt === now);
  for (const child of fresh) enrolments.push({ at: now, location: child.location ?? '' });
  const locations = fleet.byTurns ? [] : new Set(fresh.map(({ location }) => location ?? ''));
  noteFastest(state, fleet, locations);
  if (fresh.length === 0) return;
  checkWindows(enrolments, fastest.all, now, '');
  checkAtOnce(fleet, plan.rate.all.atOnce, enrolled, '');
  for (const id of locations) {
    const own = enrolments.filter(({ location }) => location === id);
    checkWindows(own, fastest.location.get(id) ?? 0, now, ` in ${id}`);
    checkAtOnce(fleet, plan.rate.location.atOnce, fleet.membersOf(id), ` in ${id}`);
  }
}

/** From each enrolment up to now. */
function checkWindows(enrolments: readonly { at: number }[], rate: number, now: number, where: string): void {
  if (rate === Infinity) return;
  enrolments.forEach(({ at }, i) => {
    const n = enrolments.length - i;
    const most = (rate * (now - at + SAVED_MS)) / MINUTE_MS + 1 + 1e-6;
    must(n <= most, `${n} in ${now - at} ms at ${rate} a minute${where}`);
  });
}

function checkAtOnce(fleet: Fleet, limit: number | null, children: readonly Child[], where: string): void {
  if (limit === null) return;
  const busy = children.filter((child) => fleet.isUnderway(child) && !child.lost).length;
  must(busy <= limit, `${busy} have it at once${where}, where ${limit} may`);
}
