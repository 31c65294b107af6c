/** What an operator may do to a release that was started. */
import { isToDo, NotPossible } from '#domain/controls/table.ts';
import { abort, leaveOut, pause, resume, resumeLocation, revert, revertLocation } from '#domain/controls/controls.ts';
import { promote } from '#domain/controls/promote.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';
import {
  abortRequest,
  pauseRequest,
  promoteRequest,
  resumeRequest,
  revertRequest,
  skipRequest,
} from '#wire/operator/requests.ts';
import type { Changes, Found } from '../changes.ts';
import type { OperatorDeps } from '../deps.ts';
import type { OperatorRoute } from '../route.ts';
import { childControlRoutes, promoteChild } from './child-controls.ts';
import { BY_OPERATOR, controlRoute } from './control-route.ts';

const FORGOTTEN =
  'what its children did was forgotten after KEEP_RELEASES: publish the version from before as a release of its own';

export const controlRoutes = (deps: OperatorDeps, changes: Changes): OperatorRoute[] => [
  pauseRoute(deps, changes),
  resumeRoute(deps, changes),
  promoteRoute(deps, changes),
  abortRoute(deps, changes),
  skipRoute(deps, changes),
  revertRoute(deps, changes),
  ...childControlRoutes(deps, changes),
];

const pauseRoute = (deps: OperatorDeps, { change }: Changes): OperatorRoute =>
  controlRoute(deps, {
    name: 'pause',
    summary: 'Pause: no gate opens and nobody more gets the release, until it is resumed',
    body: pauseRequest,
    run: (id, { version: expected, reason }) =>
      change(id, { what: 'paused', expected, next: ({ rollout }) => pause(rollout, reason ?? null) }),
  });

const resumeRoute = (deps: OperatorDeps, { change }: Changes): OperatorRoute =>
  controlRoute(deps, {
    name: 'resume',
    summary:
      'Go on after a pause or a halt, or (with a location) where a location is held; failures so far are looked past',
    body: resumeRequest,
    run: (id, { location, version: expected }) =>
      change(id, {
        what: 'resumed',
        expected,
        async next({ rollout }) {
          const seen = await deps.snapshots.aggregates(rollout);
          const now = deps.clock.now();
          return location === undefined ? resume(rollout, seen, now) : resumeLocation(rollout, location, seen, now);
        },
      }),
  });

const promoteRoute = (deps: OperatorDeps, changes: Changes): OperatorRoute =>
  controlRoute(deps, {
    name: 'promote',
    summary: 'Approve a stage or a wave; or end a stage now, for a location or for one child',
    body: promoteRequest,
    async run(id, { child, confirm, version: expected, reason: _reason, ...what }) {
      if (child !== undefined)
        return promoteChild({ deps, changes }, id, { child, stage: what.stage, confirmed: confirm === true, expected });
      return changes.change(id, {
        what: 'promoted',
        expected,
        next: async ({ rollout }) => promote(rollout, what, await deps.snapshots.aggregates(rollout), deps.clock.now()),
      });
    },
  });

const abortRoute = (deps: OperatorDeps, { change }: Changes): OperatorRoute =>
  controlRoute(deps, {
    name: 'abort',
    summary: 'Abort a release, or one open location: nobody more gets it, children underway stay in their stage',
    body: abortRequest,
    run: (id, { location, reason = `aborted ${BY_OPERATOR}`, version: expected }) =>
      change(id, {
        what: 'aborted',
        expected,
        async next({ rollout }) {
          const now = deps.clock.now();
          if (location === undefined) return abort(rollout, reason, now);
          const isToCome = await deps.snapshots.isToCome(rollout, location);
          return leaveOut(rollout, location, { as: 'aborted', reason, isToCome }, now);
        },
      }),
  });

const skipRoute = (deps: OperatorDeps, { change }: Changes): OperatorRoute =>
  controlRoute(deps, {
    name: 'skip',
    summary: 'Leave a location out: one that is to come is passed over, one that is open is given up',
    body: skipRequest,
    run: (id, { location, reason = `skipped ${BY_OPERATOR}`, version: expected }) =>
      change(id, {
        what: 'changed',
        expected,
        async next({ rollout }) {
          const isToCome = await deps.snapshots.isToCome(rollout, location);
          return leaveOut(rollout, location, { as: 'skipped', reason, isToCome }, deps.clock.now());
        },
      }),
  });

type Revert = { location?: string | undefined; openGates: boolean | undefined; reason: string };

const revertRoute = (deps: OperatorDeps, { change }: Changes): OperatorRoute =>
  controlRoute(deps, {
    name: 'revert',
    summary: 'Take a release back, or one location: children that are Done get the version from before',
    body: revertRequest,
    async run(id, { location, open_gates: openGates, reason = `reverted ${BY_OPERATOR}`, version: expected }) {
      const found = await change(id, {
        what: 'reverted',
        expected,
        next: (before) => reverted(deps, id, before, { location, openGates, reason }),
        async write(before, after) {
          // Its tick may have ended with it.
          await deps.releases.addUnfinished(id);
          const written = await deps.releases.write(before, after);
          if (written !== false) await deps.ticks.schedule(id);
          return written;
        },
      });
      // Said again, it also makes sure that a scheduler is at it.
      if (found.rollout.state === 'reverting') {
        await deps.releases.addUnfinished(id);
        await deps.ticks.schedule(id);
      }
      return found;
    },
  });

async function reverted(
  { releases, clock }: OperatorDeps,
  id: string,
  { rollout }: Found,
  { location, openGates = rollout.plan.openGatesOnRevert, reason }: Revert,
): Promise<Rollout> {
  if (rollout.plan.compensates !== null) throw new NotPossible('it takes another release back itself');
  if (location !== undefined) return revertLocation(rollout, location, { reason, openGates }, clock.now());
  if (isToDo('revert', rollout) && (await releases.isForgotten(id))) throw new NotPossible(FORGOTTEN);
  return revert(rollout, { reason, openGates }, clock.now());
}
