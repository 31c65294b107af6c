/** What a location's stages wait for. */
import { FLAG } from '#domain/child/flags.ts';
import { rankRange, stageRank } from '#domain/child/progress.ts';
import { ReleaseStatus, StageStatus } from '#domain/child/status.ts';
import { ejected, expectedIn, failedIn, flagged, inRelease, inStage, underway } from '#domain/counts/counts.ts';
import { isOnItsOwn } from '#domain/rollout/membership.ts';
import type { OpenLocation } from '#domain/rollout/rollout.ts';
import { type GateFacts, neededOf, requirementsOf } from '#domain/scheduling/gates.ts';
import { general, type Wait } from './wait.ts';

type Facts = GateFacts & { location: OpenLocation & { children: number } };

/** The earliest stage that hasn't ended here: children are before it, in it, or wait for its gate. */
export function stageWaits(facts: Facts): Wait[] {
  const { rollout, location, view } = facts;
  const { counts } = view;
  // A child that has ended is in no stage any more.
  if (underway(counts) === 0) return quorumWaits(facts);
  const waits: Wait[] = [];
  for (const [i, stage] of rollout.stages.entries()) {
    const expected = expectedIn(counts, location.children - ejected(counts), i);
    if (expected <= 0) break;
    if (stage.type === 'WaitForSignal' && !location.gates.includes(i) && !isOnItsOwn(rollout.plan))
      return [...waits, ...gateWaits(facts, i)];
    const lost = flagged(counts, FLAG.lost);
    const over = inStage(counts, i, StageStatus.Completed) + failedIn(counts, i);
    if (lost === 0 && over < expected)
      return [
        stageWait(facts, i, `${expected - over} of ${expected} children`, [0, rankBefore(i, StageStatus.Completed)]),
      ];
    // Lost children keep nothing from ending, so the others may be in a later stage: each is told of.
    const inIt = childrenIn(facts, i);
    if (lost === 0 || inIt === 0) continue;
    const ranks = [i === 0 ? 0 : stageRank(i, StageStatus.Pending), rankBefore(i, StageStatus.Completed)] as const;
    waits.push(stageWait(facts, i, `${inIt} of ${expected} children${lostText(facts)}`, ranks));
  }
  return waits.length > 0 ? waits : quorumWaits(facts);
}

const rankBefore = (stage: number, status: StageStatus): number => stageRank(stage, status) - 1;

const stageWait = ({ rollout, location }: Facts, stage: number, text: string, ranks: Wait['ranks']): Wait => ({
  location: location.id,
  stage: rollout.stages[stage]?.name ?? '',
  for: text,
  ranks,
});

function lostText({ view }: Facts): string {
  const lost = flagged(view.counts, FLAG.lost);
  return lost > 0 ? ` (${lost} lost)` : '';
}

/** Children that are in a stage; before the first one also those that are offered the release. */
function childrenIn({ view: { counts } }: Facts, stage: number): number {
  const here = inStage(counts, stage, StageStatus.InProgress) + inStage(counts, stage, StageStatus.SuccessWaiting);
  return here + (stage === 0 ? inRelease(counts, ReleaseStatus.Todo) : 0);
}

function gateWaits(facts: Facts, stage: number): Wait[] {
  const { rollout, view } = facts;
  const unmet = requirementsOf(facts, stage).filter(({ holds }) => !holds);
  if (unmet.length === 0) {
    const isLockstep = rollout.plan.stages === 'lockstep';
    const text = isLockstep ? 'the other open locations: stages end in lockstep' : 'the scheduler';
    return [stageWait(facts, stage, text, null)];
  }
  const failed = failedIn(view.counts, stage);
  const failedText = failed === 0 ? '' : ` (${failed} failed it)`;
  return unmet.map(({ kind, text }): Wait => {
    if (kind !== 'quorum') return stageWait(facts, stage, text, null);
    const ranks = [0, rankBefore(stage, StageStatus.SuccessWaiting)] as const;
    const wait = stageWait(facts, stage, `${text}${failedText}${lostText(facts)}`, ranks);
    return failed === 0 ? wait : { ...wait, failedStage: stage };
  });
}

/** All have ended, but too few of them Done: a child that failed stays in the count. */
function quorumWaits({ rollout, location: { id, children }, view: { counts } }: Facts): Wait[] {
  const of = children - ejected(counts);
  const done = inRelease(counts, ReleaseStatus.Done);
  const missing = neededOf(rollout.plan, of) - done;
  if (missing <= 0) return [];
  const failed = inRelease(counts, ReleaseStatus.Failed);
  const text = `${missing} more of ${of} children to be Done (${done} are, ${failed} failed)`;
  return [{ ...general(text), location: id, ranks: rankRange(ReleaseStatus.Failed) }];
}
