/** How many more children may be enrolled now: rates as a bucket of tokens, and room under what may be underway at once. */
import { FLAG } from '#domain/child/flags.ts';
import { type Counts, flagged, passed, underway } from '#domain/counts/counts.ts';
import type { Rate, Rules } from '#domain/plan/plan.ts';
import { ROUNDING } from '#domain/tolerance.ts';
import type { Pace } from '#domain/rollout/rollout.ts';

/** So much of a rate may be saved up: ticks come late, but a pause isn't made up for. */
const SAVED_MS = 5_000;
const MINUTE_MS = 60_000;

/** Children per minute under a rate, with so many children through the first stage; null: no limit. */
export function perMinute(rate: Rate, successes: number, bundleBytes: number): number | null {
  const { growth, bytesPerSecond } = rate;
  const grown =
    rate.perMinute === null || growth === null
      ? rate.perMinute
      : Math.min(growth.upTo, rate.perMinute * growth.factor ** Math.floor(successes / growth.every));
  const byBytes =
    bytesPerSecond === null || bundleBytes === 0 ? null : (bytesPerSecond / bundleBytes) * (MINUTE_MS / 1000);
  if (grown === null || byBytes === null) return grown ?? byBytes;
  return Math.min(grown, byBytes);
}

/** What may be given out at `now`; the first child may come at once. */
export function creditAt(pace: Pace | null, limit: number, now: number): Pace {
  if (pace === null) return { at: now, credit: 1 };
  const most = Math.max(1, (limit * SAVED_MS) / MINUTE_MS);
  const elapsed = Math.max(now - pace.at, 0);
  return { at: Math.max(now, pace.at), credit: Math.min(most, pace.credit + (limit * elapsed) / MINUTE_MS) };
}

/** Room for children under what may be underway at once: a lost child leaves its place to another. */
export function roomFor(rate: Rate, counts: readonly Counts[], granted: number): number {
  if (rate.atOnce === null) return Infinity;
  const busy = counts.reduce((sum, each) => sum + underway(each) - flagged(each, FLAG.lost), 0);
  return Math.max(rate.atOnce - busy - granted, 0);
}

export const isPaced = ({ rate }: Pick<Rules, 'rate'>): boolean =>
  [rate.all, rate.location].some(
    ({ perMinute: each, atOnce, bytesPerSecond }) => each !== null || atOnce !== null || bytesPerSecond !== null,
  );

/** Only so many may be underway at a time. */
export const isCapped = ({ rate }: Pick<Rules, 'rate'>): boolean =>
  rate.all.atOnce !== null || rate.location.atOnce !== null;

/** Children that make a rate grow. */
export const successesIn = (counts: readonly Counts[]): number =>
  counts.reduce((sum, each) => sum + passed(each, 0), 0);

/** What a rate still gives at a time (in whole children), and the pace once so many of it are used. */
export type Credit = { credit: number; after(used: number): Pace | null };

/** `limit`: children per minute; null: no limit. */
export function creditUnder(limit: number | null, pace: Pace | null, now: number): Credit {
  if (limit === null) return { credit: Infinity, after: () => pace };
  const filled = creditAt(pace, limit, now);
  return {
    credit: Math.floor(filled.credit + ROUNDING),
    after: (used) => ({ ...filled, credit: filled.credit - used }),
  };
}

/** The time at which a pace will give a child out. */
export function nextAt(pace: Pace | null, limit: number): number {
  if (pace === null || limit <= 0) return 0;
  return pace.at + Math.ceil((Math.max(1 - pace.credit, 0) * MINUTE_MS) / limit);
}
