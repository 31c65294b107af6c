/** Starting a release, and what a start would do. */
import { geoFaults } from '#domain/geo/faults.ts';
import { mayOverlap } from '#domain/geo/target.ts';
import { isToDo } from '#domain/controls.ts';
import type { Plan } from '#domain/plan.ts';
import { lostAfterFault, planStageFaults } from '#domain/plan-check.ts';
import { startRollout } from '#domain/rollout.ts';
import type { Finding, Strategy } from '#domain/strategy.ts';
import { underLock } from '#store/lock.ts';
import { release, releaseIdParam, startRequest } from '#wire/operator.ts';
import { readPlan, underPlan } from '#wire/plan.ts';
import { ProblemError } from '#wire/problem.ts';
import type { Changes, Found } from './changes.ts';
import type { OperatorDeps } from './releases.ts';
import { type OperatorRoute, route } from './route.ts';
import { releaseView } from './views.ts';

export type Conflict = { release: string; functions: string[] };

/** The plan that a start would go by: the one given, else the release's own. Every fault of it at once. */
export function planFor(
  given: unknown,
  own: Plan,
  strategy: Strategy,
  seenPrecisionMs: number,
): { plan: Plan | null; faults: Finding[] } {
  const also = (plan: Plan): Finding[] => [
    ...geoFaults(plan),
    ...planStageFaults(plan, strategy),
    ...lostAfterFault(plan, seenPrecisionMs),
  ];
  if (given !== undefined) {
    const { plan, faults } = readPlan(given, also);
    return { plan, faults: faults.map(underPlan) };
  }
  const faults = also(own).map(underPlan);
  return { plan: faults.length === 0 ? own : null, faults };
}

/** Unfinished releases that touch the same functions, in children that this one may reach. */
export async function conflictsOf(
  id: string,
  strategy: Strategy,
  plan: Plan,
  { releases }: Pick<OperatorDeps, 'releases'>,
): Promise<Conflict[]> {
  const touched = new Set(strategy.stages.map((stage) => stage.func_name));
  const others = (await releases.unfinished()).filter((other) => other !== id);
  const found = await Promise.all(
    others.map(async (other): Promise<Conflict[]> => {
      const [known, rollout, theirs] = await Promise.all([
        releases.release(other),
        releases.rollout(other),
        releases.plan(other),
      ]);
      if (known === null || rollout === null || theirs === null || rollout.plan.compensates !== null) return [];
      if (rollout.state !== 'running' && rollout.state !== 'paused' && rollout.state !== 'halted') return [];
      const functions = new Set(
        known.strategy.stages.map((stage) => stage.func_name).filter((name) => touched.has(name)),
      );
      if (functions.size === 0 || !mayOverlap(plan.target, theirs.target)) return [];
      return [{ release: other, functions: [...functions] }];
    }),
  );
  return found.flat().sort((a, b) => (a.release < b.release ? -1 : 1));
}

export function startRoutes(deps: OperatorDeps, { change, find }: Changes): OperatorRoute[] {
  const { client, keys, releases, clock, ticks } = deps;

  async function refuseConflicts(id: string, strategy: Strategy, plan: Plan): Promise<void> {
    if (plan.conflicts === 'allow') return;
    const conflicts = await conflictsOf(id, strategy, plan, deps);
    if (conflicts.length === 0) return;
    throw new ProblemError(
      'conflicting-release',
      `release ${id} touches what others do, in children that they may share; with "conflicts: allow" in its plan it starts all the same`,
      conflicts.map(({ release: other, functions }) => ({
        path: 'plan.conflicts',
        message: `release ${other} touches ${functions.join(', ')} too`,
      })),
    );
  }

  const start = (
    id: string,
    strategy: Strategy,
    plan: Plan,
    version: number | undefined,
    holds: () => boolean,
  ): Promise<Found> =>
    change(
      id,
      'started',
      version,
      async ({ rollout }) => {
        const isSame = JSON.stringify(await releases.plan(id)) === JSON.stringify(plan);
        if (rollout.state === 'running' && !isSame)
          throw new ProblemError(
            'wrong-state',
            `release ${id} runs already, under another plan (${rollout.plan.name})`,
          );
        if (!isToDo('start', rollout)) return rollout;
        await refuseConflicts(id, strategy, plan);
        const now = clock.now();
        return startRollout(rollout, plan, now, now - deps.freshForMs);
      },
      async (before, after) => {
        // Only now does nothing refuse it any more; others find it by its entry, and so that comes first.
        await releases.addUnfinished(id);
        if (!holds()) throw new ProblemError('changed-meanwhile', `starting release ${id} took too long, try again`);
        return releases.write(before, after, plan);
      },
    );

  const startRoute = route({
    method: 'post',
    path: '/releases/:id/start',
    summary: 'Start a release; starting it again the same way is no error',
    params: releaseIdParam,
    body: startRequest,
    large: true,
    responses: { 200: { description: 'The release', schema: release } },
    problems: [
      'bad-request',
      'not-found',
      'wrong-state',
      'stale-version',
      'changed-meanwhile',
      'conflicting-release',
      'invalid-plan',
    ],
    async handle({ params: { id }, body }) {
      const { release: known } = await find(id);
      const own = await releases.plan(id);
      if (own === null) throw new Error(`the plan of release ${id} is gone`);
      const { plan, faults } = planFor(body.plan, own, known.strategy, deps.seenPrecisionMs);
      if (plan === null)
        throw new ProblemError('invalid-plan', `${faults.length} fault${faults.length === 1 ? '' : 's'}`, faults);
      // Two that are in one another's way and start at once would each find the other not started yet.
      const started = await underLock(client, keys.starts, (holds) =>
        start(id, known.strategy, plan, body.version, holds),
      );
      if (started === null)
        throw new ProblemError('changed-meanwhile', 'other releases are being started just now, try again');
      const found = started.value;
      await ticks.schedule(id);
      await releases.look(id);
      return { status: 200, body: await releaseView(found.release, found.rollout, deps, clock.now()) };
    },
  });
  return [startRoute];
}
