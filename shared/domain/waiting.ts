/** Why a release waits: the conditions that don't hold yet, with their numbers. Read from what `decide` reads. */
import { bothCounts } from './budget.ts';
import { underwayNotLost } from './closing.ts';
import { type Counts, ejected, expectedIn, failedIn, inRelease, inStage, marked, underway } from './counts.ts';
import { MARK } from './marks.ts';
import type { LocationView, Snapshot } from './decide.ts';
import { enrolledIn, neededOf, requirementsOf } from './gates.ts';
import { isPaced, waveWaits } from './opening.ts';
import { perMinute, roomFor, successesIn } from './pace.ts';
import { rankRange, stageRank } from './record.ts';
import { isOnItsOwn } from './membership.ts';
import { compensationId, type OpenLocation, type Rollout } from './rollout.ts';
import { ReleaseStatus, StageStatus } from './status.ts';

export type Wait = {
  location: string | null;
  stage: string | null;
  for: string;
  /** Ranks, both ends included, of the children that it waits for; null: it waits for no child in particular. */
  ranks: readonly [number, number] | null;
  /** A stage that some children failed and then went on: they hold it as well, from behind. */
  failedStage?: number;
};

export type WaitView = Pick<
  Snapshot,
  'locations' | 'totals' | 'ordered' | 'order' | 'next' | 'compensations' | 'source'
> & {
  partitionsDone: number;
  partitions: number;
};

const general = (text: string): Wait => ({ location: null, stage: null, for: text, ranks: null });

export function waitsOf(rollout: Rollout, view: WaitView, now: number): Wait[] {
  const aside = rollout.aside.flatMap(({ id, n, as }): Wait[] =>
    as === 'reverting' ? [{ ...general(`release ${compensationId(rollout, n)} to take it back`), location: id }] : [],
  );
  if (rollout.state === 'halted') return [general(`an operator: ${rollout.reason ?? 'halted'}`), ...aside];
  if (rollout.state === 'paused') return [general('an operator to resume it: it is paused'), ...aside];
  if (rollout.state === 'reverting') return [general(`release ${compensationId(rollout, null)} to take it back`)];
  if (rollout.state !== 'running') return aside;
  const partitions = `${view.partitionsDone} of ${view.partitions} partitions are through`;
  if (rollout.effects.some((effect) => effect.kind === 'order'))
    return [general(`the order of locations: ${partitions}`)];
  const waits = [
    ...rollout.open.flatMap((location) => locationWaits(rollout, location, view, partitions, now)),
    ...aside,
  ];
  if (rollout.plan.compensates !== null && view.source !== null)
    return [...waits, ...sourceWaits(rollout, view.source)];
  if (waits.length > 0 || rollout.open.length > 0) return waits;
  if (!view.ordered || view.next.length > 0) return [general(waveWaits(rollout, now) ?? turnText(rollout, view))];
  return endWaits(rollout, view);
}

/** What a release that takes another one back waits for beside its own children. */
function sourceWaits({ plan, order }: Rollout, { done, coming, held }: NonNullable<Snapshot['source']>): Wait[] {
  if (coming > 0) return [general(`${coming} children who may yet be Done with release ${plan.compensates}`)];
  if (held > 0)
    return [
      general(
        `${held} children who are held in a stage of release ${plan.compensates} (revert with release_held lets them through)`,
      ),
    ];
  return order !== null && order.children === 0 && done > 0 ? [general(`${done} children to be enrolled`)] : [];
}

function turnText(rollout: Rollout, view: WaitView): string {
  const pace = paceText(rollout, view, null);
  return pace === null ? 'the scheduler to open the next location' : `the turn of the next location, ${pace}`;
}

/** Nothing is open, and no location is to come. Late joiners and those who are tried again may still be underway. */
function endWaits({ aside, closed }: Rollout, { totals, locations }: WaitView): Wait[] {
  const stay = aside.flatMap(({ id }) => bothCounts(locations.get(id) ?? NOBODY));
  const left = stay.reduce((sum, counts) => sum - underwayNotLost(counts), underwayNotLost(totals));
  if (left > 0)
    return [
      general(
        `${left} children who are underway in locations that are through (one that waits at a shut gate is let through by promote, by its id)`,
      ),
    ];
  if (closed.children > 0 && inRelease(totals, ReleaseStatus.Done) > 0) return [];
  if (aside.length > 0) return [general('an operator: every location was taken out of the course')];
  return [closed.children > 0 ? general(noneDone(totals)) : nobody(null)];
}

const nobody = (location: string | null): Wait => ({
  ...general('children: at the start nobody had given a sign of life lately enough to be enrolled, or nobody is meant'),
  location,
});

function locationWaits(
  rollout: Rollout,
  location: OpenLocation,
  view: WaitView,
  partitions: string,
  now: number,
): Wait[] {
  const { id, held, children } = location;
  if (held !== undefined)
    return [{ ...general(`an operator: ${held} (resume, skip or revert this location)`), location: id }];
  const here = view.locations.get(id);
  if (children === null) {
    const left = here?.left ?? null;
    const why = left === null ? partitions : `${enrolledIn(here ?? NOBODY)} enrolled, ${left} to come`;
    const pace = paceText(rollout, view, here ?? null);
    const detail = rollout.plan.by === 'child' && left === null ? '' : `: ${why}${pace === null ? '' : `, ${pace}`}`;
    return [{ ...general(`enrolment${detail}`), location: id }];
  }
  const waits = children === 0 ? [] : stageWaits(rollout, { ...location, children }, here ?? NOBODY, now);
  if (waits.length > 0) return waits;
  const late = here === undefined ? 0 : underwayNotLost(here.late);
  if (late > 0) return [{ ...general(`${late} children who joined late`), location: id }];
  if (children === 0) return rollout.plan.compensates === null ? [nobody(id)] : [];
  return children > ejected(here?.counts ?? NOBODY.counts) ? [] : [{ ...general(NOBODY_LEFT), location: id }];
}

function noneDone(counts: Counts): string {
  const failed = inRelease(counts, ReleaseStatus.Failed);
  return failed === 0 ? NOBODY_LEFT : `an operator: nobody is Done with it, ${failed} failed`;
}

const NOBODY_LEFT = 'an operator: all of its children were taken out of it';

const NOBODY: LocationView = { counts: new Map(), late: new Map(), left: null, enrolled: null, failed: null };

/** What holds children back before they are enrolled, or null. `here`: in a location, which may be paced on its own. */
function paceText(rollout: Rollout, { totals }: WaitView, here: LocationView | null): string | null {
  if (!isPaced(rollout)) return null;
  const { all, location: own } = rollout.plan.rate;
  const both = here === null ? [] : [here.counts, here.late];
  const limits = [
    { rate: all, counts: [totals], where: '' },
    ...(here === null ? [] : [{ rate: own, counts: both, where: ' in a location' }]),
  ];
  const full = limits.find(({ rate, counts }) => roomFor(rate, counts, 0) === 0);
  if (full !== undefined) return `at most ${full.rate.atOnce} children at once${full.where}`;
  const slowest = limits
    .map(({ rate, counts, where }) => ({ limit: perMinute(rate, successesIn(counts), rollout.bundleBytes), where }))
    .filter(({ limit }) => limit !== null)
    .sort((a, b) => Number(a.limit) - Number(b.limit))[0];
  if (slowest === undefined) return null;
  return `at a rate of ${Number(Number(slowest.limit).toPrecision(3))} children a minute${slowest.where}`;
}

/** The earliest stage that isn't through here: children are before it, in it, or wait for its gate. */
function stageWaits(
  rollout: Rollout,
  location: OpenLocation & { children: number },
  view: LocationView,
  now: number,
): Wait[] {
  const { counts } = view;
  // Whoever has ended is in no stage any more.
  if (underway(counts) === 0) return quorumWaits(rollout, location, counts);
  const waits: Wait[] = [];
  for (const [i, stage] of rollout.stages.entries()) {
    const expected = expectedIn(counts, location.children - ejected(counts), i);
    if (expected <= 0) break;
    const wait = (text: string, before: StageStatus | null): Wait => ({
      location: location.id,
      stage: stage.name,
      for: text,
      ranks: before === null ? null : [0, stageRank(i, before) - 1],
    });
    const lost = marked(counts, MARK.lost);
    const lostText = lost > 0 ? ` (${lost} lost)` : '';
    if (stage.type === 'WaitForSignal' && !location.gates.includes(i) && !isOnItsOwn(rollout.plan)) {
      const unmet = requirementsOf(rollout, location, view, i, now).filter(({ holds }) => !holds);
      const failed = failedIn(counts, i);
      const failedText = failed === 0 ? '' : ` (${failed} failed it)`;
      const others =
        rollout.plan.stages === 'lockstep' ? 'the other open locations: stages end in lockstep' : 'the scheduler';
      if (unmet.length === 0) return [...waits, wait(others, null)];
      const gate = unmet.map(({ kind, text }) =>
        kind === 'quorum'
          ? {
              ...wait(`${text}${failedText}${lostText}`, StageStatus.SuccessWaiting),
              ...(failed === 0 ? {} : { failedStage: i }),
            }
          : wait(text, null),
      );
      return [...waits, ...gate];
    }
    const through = inStage(counts, i, StageStatus.Completed) + failedIn(counts, i);
    if (lost === 0 && through < expected)
      return [wait(`${expected - through} of ${expected} children`, StageStatus.Completed)];
    // Those who are lost hold nothing, so whoever does may be in a later stage: each is told of.
    const here = inStage(counts, i, StageStatus.InProgress) + inStage(counts, i, StageStatus.SuccessWaiting);
    const inIt = here + (i === 0 ? inRelease(counts, ReleaseStatus.Todo) : 0);
    if (lost === 0 || inIt === 0) continue;
    const ranks = [i === 0 ? 0 : stageRank(i, StageStatus.Pending), stageRank(i, StageStatus.Completed) - 1] as const;
    waits.push({ ...wait(`${inIt} of ${expected} children${lostText}`, null), ranks });
  }
  return waits.length > 0 ? waits : quorumWaits(rollout, location, counts);
}

/** All have ended, but too few of them Done: whoever failed stays in the count. */
function quorumWaits({ plan }: Rollout, { id, children }: OpenLocation & { children: number }, counts: Counts): Wait[] {
  const of = children - ejected(counts);
  const done = inRelease(counts, ReleaseStatus.Done);
  const missing = neededOf(plan, of) - done;
  if (missing <= 0) return [];
  const failed = inRelease(counts, ReleaseStatus.Failed);
  const text = `${missing} more of ${of} children to be Done (${done} are, ${failed} failed)`;
  return [{ ...general(text), location: id, ranks: rankRange(ReleaseStatus.Failed) }];
}
