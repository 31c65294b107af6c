/**
 * A release that is taken back by another one, seen from either side. Every child that is Done with the one, and is still
 * known, must have the other. Stores read the facts; what they come to is decided here.
 */
import { FLAG } from '#domain/child/flags.ts';
import { type ChildRecord, currentStage } from '#domain/child/record.ts';
import { ReleaseStatus, StageStatus } from '#domain/child/status.ts';
import { type Counts, flagged, inRelease, inStage, underway } from '#domain/counts/counts.ts';
import { isGateOpen } from '#domain/rollout/membership.ts';
import { type LocationRef, type Rollout, signalledStages } from '#domain/rollout/rollout.ts';
import type { CompensationView, TakenBack } from './snapshot.ts';

/** Silent for good, as far as is known, or too slow to be waited for. */
const AWAY = FLAG.lost | FLAG.overdue;

/** Children that may still become Done; `unheard`: those of them in an A/B stage, which say nothing until it ends. */
export type Coming = { coming: number; unheard: number; gated: number };

export const NOBODY_COMES: Coming = { coming: 0, unheard: 0, gated: 0 };

/** The stages of a location whose gate is closed: children stay in them. */
export const closedStages = (source: Rollout, location: LocationRef): number[] =>
  signalledStages(source).filter((stage) => !isGateOpen(source, location, stage, -1));

/** Children that stay in one of the stages, as its gate is closed to them. */
export const gatedIn = (counts: Counts, stages: readonly number[]): number =>
  stages.reduce(
    (sum, stage) =>
      sum + inStage(counts, stage, StageStatus.InProgress) + inStage(counts, stage, StageStatus.SuccessWaiting),
    0,
  );

/**
 * Children that have the release, may yet be Done, and are not away: as many at least, and 0 only if there is none. Null:
 * counts alone don't tell, and records must be read. Some of the away may be gated, or may never have downloaded it, so
 * that their number says nothing of the others.
 */
export function comingByCounts(source: Rollout, counts: Counts, gated: number): Coming | null {
  const doing = inRelease(counts, ReleaseStatus.Doing);
  if (doing === 0) return NOBODY_COMES;
  const free = Math.max(doing - gated, 0);
  if (free === 0) return { ...NOBODY_COMES, gated };
  const unheard = Math.min(inTests(source, counts), free);
  const away = flagged(counts, AWAY);
  return away === 0 || free - unheard > away ? { coming: free, unheard, gated } : null;
}

/** What the answer depends on: as long as it's the same, the records need not be read again. */
export const comingSignature = (source: Rollout, counts: Counts, gated: number): string =>
  [source.version, inRelease(counts, ReleaseStatus.Doing), flagged(counts, AWAY), gated, inTests(source, counts)].join(
    ' ',
  );

const inTests = ({ stages }: Rollout, counts: Counts): number =>
  stages.reduce((sum, { type }, i) => (type === 'A/B' ? sum + inStage(counts, i, StageStatus.InProgress) : sum), 0);

/** Whether a child that is Doing may still become Done. */
export function comesAs(source: Rollout, record: ChildRecord, location: LocationRef): 'coming' | 'unheard' | null {
  if ((record.flags & (AWAY | FLAG.ejected)) !== 0) return null;
  const stage = currentStage(record);
  if (source.stages[stage]?.type === 'A/B') return 'unheard';
  const isGated = stage >= 0 && stage >= record.promotedUpTo && !isGateOpen(source, location, stage, -1);
  return isGated ? null : 'coming';
}

/** A compensating release as it was read. `members`: children that are known to be meant. */
export type CompensationFacts = {
  rollout: Rollout;
  counts: Counts;
  about: (TakenBack & Pick<Coming, 'unheard'> & { members: number }) | null;
};

export function compensationView({ rollout, counts, about }: CompensationFacts): CompensationView {
  const aborted = rollout.state === 'aborted' || rollout.state === 'reverted';
  const unheard = about?.unheard ?? 0;
  const unreached = counts.enrolled - inRelease(counts, ReleaseStatus.Done) + unheard + (about?.gated ?? 0);
  if (aborted || rollout.state === 'completed') return { unreached, aborted, completed: true };
  if (rollout.state !== 'running' || rollout.order === null) return { unreached, aborted, completed: false };
  const waits = underway(counts) - flagged(counts, FLAG.lost);
  const missing = Math.max(about?.done ?? 0, about?.members ?? 0) - counts.enrolled;
  return { unreached, aborted, completed: waits === 0 && missing <= 0 && (about?.coming ?? 0) <= unheard };
}
