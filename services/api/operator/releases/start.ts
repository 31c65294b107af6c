/** Starting a release, and what a start would do. */
import { releaseView } from '../views/release-view.ts';
import { type OperatorRoute, route } from '../route.ts';
import type { Changes, Found } from '../changes.ts';
import { release } from '#wire/operator/responses.ts';
import { isToDo } from '#domain/controls/table.ts';
import { geoFaults } from '#domain/geo/faults.ts';
import { mayOverlap } from '#domain/geo/target.ts';
import type { Plan } from '#domain/plan/plan.ts';
import { lostAfterFault, planStageFaults } from '#domain/plan/check.ts';
import { startRollout } from '#domain/rollout/rollout.ts';
import type { Finding, Strategy } from '#domain/strategy/strategy.ts';
import { underLock } from '#store/connection/lock.ts';
import { releaseIdParam, startRequest } from '#wire/operator/requests.ts';
import { readPlan, underPlan } from '#wire/plan/read-plan.ts';
import { ProblemError } from '#wire/operator/problem.ts';
import type { OperatorDeps } from '../deps.ts';

export type Conflict = { release: string; functions: string[] };

/** The plan that a start would go by: the one given, else the release's own. Every fault of it at once. */
export function planFor(
  { given, own, strategy }: { given: unknown; own: Plan; strategy: Strategy },
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

const faultCount = (n: number): string => `${n} fault${n === 1 ? '' : 's'}`;

export const startRoutes = (deps: OperatorDeps, changes: Changes): OperatorRoute[] => [
  route({
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
      const { release: known } = await changes.find(id);
      const own = await deps.releases.plan(id);
      if (own === null) throw new Error(`the plan of release ${id} is gone`);
      const { plan, faults } = planFor({ given: body.plan, own, ...known }, deps.seenPrecisionMs);
      if (plan === null) throw new ProblemError('invalid-plan', faultCount(faults.length), faults);
      const found = await startAlone(deps, changes, { id, strategy: known.strategy, plan, version: body.version });
      await deps.ticks.schedule(id);
      await deps.releases.requestTick(id);
      return { status: 200, body: await releaseView(found, deps, deps.clock.now()) };
    },
  }),
];

type Start = { id: string; strategy: Strategy; plan: Plan; version: number | undefined };

/** Two that are in one another's way and start at once would each find the other not started yet. */
async function startAlone(deps: OperatorDeps, changes: Changes, wanted: Start): Promise<Found> {
  const started = await underLock(deps.client, deps.keys.starts, (holds) => start(deps, changes, wanted, holds));
  if (started === null)
    throw new ProblemError('changed-meanwhile', 'other releases are being started just now, try again');
  return started.value;
}

/** `holds`: no other start is being decided. */
function start(
  deps: OperatorDeps,
  { change }: Changes,
  { id, strategy, plan, version }: Start,
  holds: () => boolean,
): Promise<Found> {
  const { releases, clock } = deps;
  return change(id, {
    what: 'started',
    expected: version,
    async next({ rollout }) {
      const isSame = JSON.stringify(await releases.plan(id)) === JSON.stringify(plan);
      if (rollout.state === 'running' && !isSame)
        throw new ProblemError('wrong-state', `release ${id} runs already, under another plan (${rollout.plan.name})`);
      if (!isToDo('start', rollout)) return rollout;
      await refuseConflicts(deps, id, strategy, plan);
      const now = clock.now();
      return startRollout(rollout, plan, now, now - deps.freshForMs);
    },
    async write(before, after) {
      // Only now does nothing refuse it any more; others find it by its entry, and so that comes first.
      await releases.addUnfinished(id);
      if (!holds()) throw new ProblemError('changed-meanwhile', `starting release ${id} took too long, try again`);
      return releases.write(before, after, plan);
    },
  });
}

async function refuseConflicts(deps: OperatorDeps, id: string, strategy: Strategy, plan: Plan): Promise<void> {
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
