/** Why a release waits: the conditions that don't hold yet, with their numbers. Read from what `decide` reads. */
import { expectedIn, failedIn, inStage, marked } from './counts.ts';
import { MARK } from './marks.ts';
import type { LocationView, Snapshot } from './decide.ts';
import { enrolledIn, requirementsOf } from './gates.ts';
import { isPaced, waveWaits } from './opening.ts';
import { perMinute, roomFor, successesIn } from './pace.ts';
import { stageRank } from './record.ts';
import { compensationId, isOnItsOwn, type OpenLocation, type Rollout } from './rollout.ts';
import { StageStatus } from './status.ts';

export type Wait = {
  location: string | null;
  stage: string | null;
  for: string;
  /** Ranks, both ends included, of the children that it waits for; null: it waits for no child in particular. */
  ranks: readonly [number, number] | null;
  /** A stage that some children failed and then went on: they hold it as well, from behind. */
  failedStage?: number;
};

export type WaitView = Pick<Snapshot, 'locations' | 'totals' | 'ordered' | 'order' | 'next' | 'compensations'> & {
  partitionsDone: number;
  partitions: number;
};

const general = (text: string): Wait => ({ location: null, stage: null, for: text, ranks: null });

export function waitsOf(rollout: Rollout, view: WaitView, now: number): Wait[] {
  if (rollout.state === 'halted') return [general(`an operator: ${rollout.reason ?? 'halted'}`)];
  if (rollout.state === 'paused') return [general('an operator to resume it: it is paused')];
  const aside = rollout.aside.flatMap(({ id, n, as }): Wait[] =>
    as === 'reverting' ? [{ ...general(`release ${compensationId(rollout, n)} to take it back`), location: id }] : [],
  );
  if (rollout.state === 'reverting') return [general(`release ${compensationId(rollout, null)} to take it back`)];
  if (rollout.state !== 'running') return [];
  const partitions = `${view.partitionsDone} of ${view.partitions} partitions are through`;
  if (rollout.effects.some((effect) => effect.kind === 'order'))
    return [general(`the order of locations: ${partitions}`)];
  const waits = [
    ...rollout.open.flatMap((location) => locationWaits(rollout, location, view, partitions, now)),
    ...aside,
  ];
  if (waits.length > 0 || rollout.open.length > 0) return waits;
  if (!view.ordered || view.next.length > 0)
    return [general(waveWaits(rollout, now) ?? paceText(rollout, view) ?? 'the scheduler to open the next location')];
  return rollout.closed.children === 0 ? [nobody(null)] : [];
}

const nobody = (location: string | null): Wait => ({
  ...general('children: at the start nobody had given a sign of life lately enough to be enrolled'),
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
  if (held !== undefined) return [{ ...general(`an operator: ${held}`), location: id }];
  const here = view.locations.get(id);
  if (children === null) {
    const left = here?.left ?? null;
    const why = left === null ? partitions : `${enrolledIn(here ?? NOBODY)} enrolled, ${left} to come`;
    const pace = paceText(rollout, view);
    const detail = rollout.plan.by === 'child' && left === null ? '' : `: ${why}${pace === null ? '' : `, at ${pace}`}`;
    return [{ ...general(`enrolment${detail}`), location: id }];
  }
  if (children === 0) return [nobody(id)];
  return stageWaits(rollout, { ...location, children }, here ?? NOBODY, now);
}

const NOBODY: LocationView = { counts: new Map(), late: new Map(), left: null, enrolled: null, failed: null };

/** What holds children back before they are enrolled, or null. */
function paceText(rollout: Rollout, { totals }: WaitView): string | null {
  if (!isPaced(rollout)) return null;
  const { all } = rollout.plan.rate;
  if (roomFor(all, [totals], 0) === 0) return `most ${all.atOnce} children at once`;
  const limit = perMinute(all, successesIn([totals]), rollout.bundleBytes);
  return limit === null ? null : `a rate of ${Number(limit.toPrecision(3))} children a minute`;
}

/** The earliest stage that isn't through here: children are before it, in it, or wait for its gate. */
function stageWaits(
  rollout: Rollout,
  location: OpenLocation & { children: number },
  view: LocationView,
  now: number,
): Wait[] {
  const { counts } = view;
  for (const [i, stage] of rollout.stages.entries()) {
    const expected = expectedIn(counts, location.children, i);
    if (expected <= 0) return [];
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
      return unmet.length === 0
        ? [wait('the other open locations: stages end in lockstep', null)]
        : unmet.map(({ kind, text }) =>
            kind === 'quorum'
              ? {
                  ...wait(`${text}${failedText}${lostText}`, StageStatus.SuccessWaiting),
                  ...(failed === 0 ? {} : { failedStage: i }),
                }
              : wait(text, null),
          );
    }
    const through = inStage(counts, i, StageStatus.Completed) + failedIn(counts, i);
    if (through < expected)
      return [wait(`${expected - through} of ${expected} children${lostText}`, StageStatus.Completed)];
  }
  return [];
}
