/** Controls of single children in a release: promote, retry, eject. */
import { StageStatus } from '#domain/child/status.ts';
import { isToDo } from '#domain/controls/table.ts';
import { isWithdrawn } from '#domain/rollout/membership.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';
import { ejectRequest, retryRequest } from '#wire/operator/requests.ts';
import { ProblemError } from '#wire/operator/problem.ts';
import { type Changes, type Found, isExpected } from '../changes.ts';
import type { OperatorDeps } from '../deps.ts';
import type { OperatorRoute } from '../route.ts';
import { controlRoute } from './control-route.ts';

export const childControlRoutes = (deps: OperatorDeps, changes: Changes): OperatorRoute[] => [
  retryRoute(deps, changes),
  ejectRoute(deps, changes),
];

type ChildPromotion = { child: string; stage: string | undefined; confirmed: boolean; expected: number | undefined };

/** Lets one child pass the gate of a stage. */
export async function promoteChild(
  { deps: { children, flags }, changes: { find, possibly } }: { deps: OperatorDeps; changes: Changes },
  id: string,
  { child, stage, confirmed, expected }: ChildPromotion,
): Promise<Found> {
  const found = await find(id);
  const { rollout } = found;
  await possibly(id, 'promoted', () => isToDo('promote', rollout));
  const index = rollout.stages.findIndex(({ name }) => name === stage);
  if (stage === undefined || rollout.stages[index]?.type !== 'WaitForSignal')
    throw new ProblemError('bad-request', 'stage: names the WaitForSignal stage that is to end for the child');
  const head = await children.head(rollout.shortId, child);
  if (head === null) throw new ProblemError('not-found', `child ${child} is not enrolled in release ${id}`);
  if (head.promotedUpTo > index) return found;
  isExpected(id, rollout, expected);
  if (Number(head.statuses[index]) === StageStatus.InProgress && !confirmed)
    throw new ProblemError(
      'bad-request',
      `confirm: child ${child} is still InProgress in "${stage}", and ending it rolls out code that it hasn't tried; send true if that is meant`,
    );
  if (!(await flags.promote(rollout, child, index)))
    throw new ProblemError('wrong-state', `child ${child} is not in stage "${stage}" now`);
  return find(id);
}

const retryRoute = (deps: OperatorDeps, { find, possibly }: Changes): OperatorRoute =>
  controlRoute(deps, {
    name: 'retry',
    summary: 'Offer the release again to children that failed or are lost, as a new attempt',
    body: retryRequest,
    async run(id, { children: ids, location, version }) {
      const { rollout } = await find(id);
      await possibly(id, 'tried again', () => isToDo('retry', rollout));
      isExpected(id, rollout, version);
      if (rollout.withdrawn.some((each) => each.id === location))
        throw new ProblemError(
          'wrong-state',
          `location ${location} was withdrawn: no child in it is offered the release`,
        );
      if (ids === undefined) await retryAll(deps, rollout, location ?? '');
      else await retryNamed(deps, rollout, ids);
      await deps.releases.requestTick(id);
      return find(id);
    },
  });

async function retryAll({ children, enrolmentJobs }: OperatorDeps, rollout: Rollout, location: string): Promise<void> {
  const { release, epoch, version } = rollout;
  const job = { release, kind: 'retry' as const, epoch, location, version };
  await Promise.all(
    Array.from({ length: children.partitions }, (_, partition) => enrolmentJobs.add({ ...job, partition })),
  );
}

async function retryNamed({ children, flags }: OperatorDeps, rollout: Rollout, ids: readonly string[]): Promise<void> {
  const heads = await Promise.all(ids.map((child) => children.head(rollout.shortId, child)));
  const missing = ids.filter((_, i) => heads[i] === null);
  if (missing.length > 0)
    throw new ProblemError('not-found', `not enrolled in release ${rollout.release}: ${missing.join(', ')}`);
  const away = ids.filter((id, i) => isWithdrawn(rollout, { id, n: heads[i]?.membership.n ?? 0 }));
  if (away.length > 0)
    throw new ProblemError(
      'wrong-state',
      `the location of ${away.join(', ')} was withdrawn: no child in it is offered the release`,
    );
  await flags.retry(rollout, ids);
}

const ejectRoute = (deps: OperatorDeps, { find, possibly }: Changes): OperatorRoute =>
  controlRoute(deps, {
    name: 'eject',
    summary: 'Eject one child from a release: it is not offered it, and counts no more',
    body: ejectRequest,
    async run(id, { child, version }) {
      const { children, flags, releases } = deps;
      const { rollout } = await find(id);
      await possibly(id, 'changed', () => isToDo('eject', rollout));
      const [known, head] = await Promise.all([children.isKnown(child), children.head(rollout.shortId, child)]);
      if (!known && head === null) throw new ProblemError('not-found', `there is no child ${child}`);
      isExpected(id, rollout, version);
      const outcome = await flags.eject(rollout, child);
      if (outcome === 'done')
        throw new ProblemError(
          'wrong-state',
          `child ${child} is Done with release ${id}: it can't be ejected any more`,
        );
      if (outcome === 'unenrolled')
        throw new ProblemError(
          'wrong-state',
          `child ${child} isn't enrolled in release ${id}, and its plan enrols no more children`,
        );
      await releases.requestTick(id);
      return find(id);
    },
  });
