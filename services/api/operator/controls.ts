/** What an operator may do to a release that was started. Each call may be repeated, and answers with the release. */
import {
  abort,
  isToDo,
  leaveOut,
  pause,
  promote,
  resume,
  resumeLocation,
  revert,
  revertLocation,
  NotPossible,
} from '#domain/controls.ts';
import { isWithdrawn } from '#domain/membership.ts';
import { StageStatus } from '#domain/status.ts';
import {
  abortRequest,
  ejectRequest,
  pauseRequest,
  promoteRequest,
  release,
  releaseIdParam,
  resumeRequest,
  retryRequest,
  revertRequest,
  skipRequest,
} from '#wire/operator.ts';
import type { z } from 'zod';
import { ProblemError } from '#wire/problem.ts';
import { type Changes, type Found, isExpected } from './changes.ts';
import type { OperatorDeps } from './releases.ts';
import { type OperatorRoute, route } from './route.ts';
import { releaseView } from './views.ts';

const BY_OPERATOR = 'by an operator';
const FORGOTTEN =
  'what its children did was forgotten after KEEP_RELEASES: publish the version from before as a release of its own';

export function controlRoutes(deps: OperatorDeps, { change, find, possibly }: Changes): OperatorRoute[] {
  const { releases, snapshots, children, marks, clock, walks } = deps;

  /** One call: its name is its path. `run` gives the release as it is afterwards. */
  const control = <B extends z.ZodType>(
    name: string,
    summary: string,
    body: B,
    run: (id: string, body: z.infer<B>) => Promise<Found>,
  ): OperatorRoute =>
    route({
      method: 'post',
      path: `/releases/:id/${name}`,
      summary,
      params: releaseIdParam,
      body,
      responses: { 200: { description: 'The release, in its new state', schema: release } },
      problems: ['bad-request', 'not-found', 'wrong-state', 'stale-version', 'changed-meanwhile'],
      async handle({ params, body: given }) {
        const { id } = params;
        const after = await run(id, given);
        return { status: 200, body: await releaseView(after.release, after.rollout, deps, clock.now()) };
      },
    });

  const isToCome = (rollout: Found['rollout'], location: string): Promise<boolean> =>
    snapshots.isToCome(rollout, location);

  const pauseRoute = control(
    'pause',
    'Pause: no gate opens and nobody more gets the release, until it is resumed',
    pauseRequest,
    (id, { version, reason }) => change(id, 'paused', version, ({ rollout }) => pause(rollout, reason ?? null)),
  );

  const resumeRoute = control(
    'resume',
    'Go on after a pause or a halt, or (with a location) where a location is held; failures so far are looked past',
    resumeRequest,
    (id, { location, version }) =>
      change(id, 'resumed', version, async ({ rollout }) => {
        const seen = await snapshots.aggregates(rollout);
        return location === undefined
          ? resume(rollout, seen, clock.now())
          : resumeLocation(rollout, location, seen, clock.now());
      }),
  );

  const promoteRoute = control(
    'promote',
    'Approve a stage or a wave; or end a stage now, for a location or for one child',
    promoteRequest,
    async (id, { child, confirm, stage, location, wave, now, version }) => {
      if (child !== undefined) return promoteChild(id, child, stage, confirm === true, version);
      const what = { stage, location, wave, now };
      return change(id, 'promoted', version, async ({ rollout }) =>
        promote(rollout, what, await snapshots.aggregates(rollout), clock.now()),
      );
    },
  );

  async function promoteChild(
    id: string,
    child: string,
    stage: string | undefined,
    confirmed: boolean,
    version: number | undefined,
  ): Promise<Found> {
    const found = await find(id);
    const { rollout } = found;
    await possibly(id, 'promoted', () => isToDo('promote', rollout));
    const index = rollout.stages.findIndex(({ name }) => name === stage);
    if (stage === undefined || rollout.stages[index]?.type !== 'WaitForSignal')
      throw new ProblemError('bad-request', 'stage: names the WaitForSignal stage that is to end for the child');
    const head = await children.head(rollout.tag, child);
    if (head === null) throw new ProblemError('not-found', `child ${child} is not enrolled in release ${id}`);
    if (head.hand > index) return found;
    isExpected(id, rollout, version);
    if (Number(head.statuses[index]) === StageStatus.InProgress && !confirmed)
      throw new ProblemError(
        'bad-request',
        `confirm: child ${child} is still InProgress in "${stage}", and ending it rolls out code that it hasn't tried; send true if that is meant`,
      );
    if (!(await marks.endByHand(rollout, child, index)))
      throw new ProblemError('wrong-state', `child ${child} is not in stage "${stage}" now`);
    return find(id);
  }

  const abortRoute = control(
    'abort',
    'Abort a release, or one open location: nobody more gets it, children underway stay in their stage',
    abortRequest,
    (id, { location, reason, version }) =>
      change(id, 'aborted', version, async ({ rollout }) => {
        const why = reason ?? `aborted ${BY_OPERATOR}`;
        if (location === undefined) return abort(rollout, why, clock.now());
        return leaveOut(rollout, location, 'aborted', why, await isToCome(rollout, location), clock.now());
      }),
  );

  const skipRoute = control(
    'skip',
    'Leave a location out: one that is to come is passed over, one that is open is given up',
    skipRequest,
    (id, { location, reason, version }) =>
      change(id, 'changed', version, async ({ rollout }) =>
        leaveOut(
          rollout,
          location,
          'skipped',
          reason ?? `skipped ${BY_OPERATOR}`,
          await isToCome(rollout, location),
          clock.now(),
        ),
      ),
  );

  const revertRoute = control(
    'revert',
    'Take a release back, or one location: children that are Done get the version from before',
    revertRequest,
    (id, { location, release_held: released, reason, version }) =>
      change(
        id,
        'reverted',
        version,
        async ({ rollout }) => {
          const why = reason ?? `reverted ${BY_OPERATOR}`;
          if (rollout.plan.compensates !== null) throw new NotPossible('it takes another release back itself');
          if (location === undefined && isToDo('revert', rollout) && (await releases.isForgotten(id)))
            throw new NotPossible(FORGOTTEN);
          return location === undefined
            ? revert(rollout, why, released ?? rollout.plan.releaseHeld, clock.now())
            : revertLocation(rollout, location, why, clock.now(), released ?? rollout.plan.releaseHeld);
        },
        async (before, after) => {
          // Its tick may have ended with it.
          await releases.addUnfinished(id);
          const written = await releases.write(before, after);
          if (written !== false) await deps.ticks.schedule(id);
          return written;
        },
      ).then(async (found) => {
        // Said again, it also makes sure that somebody is at it.
        if (found.rollout.state === 'reverting') {
          await releases.addUnfinished(id);
          await deps.ticks.schedule(id);
        }
        return found;
      }),
  );

  const retryRoute = control(
    'retry',
    'Offer the release again to children that failed or are lost, as a new attempt',
    retryRequest,
    async (id, { children: ids, location, version }) => {
      const { rollout } = await find(id);
      await possibly(id, 'tried again', () => isToDo('retry', rollout));
      isExpected(id, rollout, version);
      if (rollout.aside.some((each) => each.id === location))
        throw new ProblemError('wrong-state', `location ${location} was left out: nobody there is offered the release`);
      if (ids !== undefined) await retryNamed(rollout, ids);
      else {
        const { release: name, epoch, version: at } = rollout;
        const job = { release: name, kind: 'retry' as const, epoch, location: location ?? '', version: at };
        await Promise.all(
          Array.from({ length: children.partitions }, (_, partition) => walks.add({ ...job, partition })),
        );
      }
      await releases.look(id);
      return find(id);
    },
  );

  async function retryNamed(rollout: Found['rollout'], ids: readonly string[]): Promise<void> {
    const heads = await Promise.all(ids.map((child) => children.head(rollout.tag, child)));
    const missing = ids.filter((_, i) => heads[i] === null);
    if (missing.length > 0)
      throw new ProblemError('not-found', `not enrolled in release ${rollout.release}: ${missing.join(', ')}`);
    const away = ids.filter((id, i) => isWithdrawn(rollout, { id, n: heads[i]?.n ?? 0 }));
    if (away.length > 0)
      throw new ProblemError(
        'wrong-state',
        `the location was left out of ${away.join(', ')}: nobody there is offered the release`,
      );
    await marks.retry(rollout, ids);
  }

  const ejectRoute = control(
    'eject',
    'Take one child out of a release: it is not offered it, and counts no more',
    ejectRequest,
    async (id, { child, version }) => {
      const { rollout } = await find(id);
      await possibly(id, 'changed', () => isToDo('eject', rollout));
      const [known, head] = await Promise.all([children.isKnown(child), children.head(rollout.tag, child)]);
      if (!known && head === null) throw new ProblemError('not-found', `there is no child ${child}`);
      isExpected(id, rollout, version);
      const outcome = await marks.eject(rollout, child);
      if (outcome === 'done')
        throw new ProblemError(
          'wrong-state',
          `child ${child} is Done with release ${id}: there is nothing to take it out of`,
        );
      if (outcome === 'unenrolled')
        throw new ProblemError(
          'wrong-state',
          `child ${child} isn't enrolled in release ${id}, and its plan enrols nobody more`,
        );
      await releases.look(id);
      return find(id);
    },
  );

  return [pauseRoute, resumeRoute, promoteRoute, abortRoute, retryRoute, skipRoute, ejectRoute, revertRoute];
}
