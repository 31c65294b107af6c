/** `/api/v1/releases/{id}/children`: how far children are in a release. */
import { rankRange } from '#domain/child/progress.ts';
import { ReleaseStatus, type ReleaseStatusName } from '#domain/child/status.ts';
import type { Rollout } from '#domain/rollout/rollout.ts';
import { isCursor } from '#store/children/pages.ts';
import type { Aggregates } from '#store/releases/snapshot-store.ts';
import { ProblemError } from '#wire/operator/problem.ts';
import { childParams, childrenQuery, releaseIdParam } from '#wire/operator/requests.ts';
import { pageOf, releaseChild, type ReleaseChildView } from '#wire/operator/responses.ts';
import type { Changes } from '../changes.ts';
import type { OperatorDeps } from '../deps.ts';
import { type OperatorRoute, route } from '../route.ts';
import { readsAs, releaseChildView } from '../views/child-view.ts';

export const releaseChildRoutes = (deps: OperatorDeps, changes: Changes): OperatorRoute[] => [
  listRoute(deps, changes),
  showRoute(deps, changes),
];

const listRoute = (deps: OperatorDeps, { find }: Changes): OperatorRoute =>
  route({
    method: 'get',
    path: '/releases/:id/children',
    summary: 'List the children that are enrolled in a release',
    params: releaseIdParam,
    query: childrenQuery,
    responses: { 200: { description: 'A page', schema: pageOf(releaseChild) } },
    problems: ['bad-request', 'not-found'],
    async handle({ params: { id }, query: { cursor, limit, status } }) {
      const { rollout } = await find(id);
      if (cursor !== undefined && !isCursor(cursor)) throw new ProblemError('bad-request', 'cursor: is none of ours');
      const ranks = status === undefined ? null : ranksOf(rollout, status);
      if (ranks === 'nobody') return { status: 200, body: { items: [], next: null } };
      const page = await deps.children.enrolledPage(id, { cursor: cursor ?? null, limit, ranks });
      const aggregates = aggregatesOf(deps, rollout);
      const items = await Promise.all(page.ids.map((childId) => oneChild(deps, rollout, childId, aggregates)));
      return { status: 200, body: { items, next: page.next } };
    },
  });

const showRoute = (deps: OperatorDeps, { find }: Changes): OperatorRoute =>
  route({
    method: 'get',
    path: '/releases/:id/children/:childId',
    summary: 'Show one child in a release; a known child that is not enrolled reads No',
    params: childParams,
    responses: { 200: { description: 'The child', schema: releaseChild } },
    problems: ['not-found'],
    async handle({ params: { id, childId } }) {
      const { rollout } = await find(id);
      return { status: 200, body: await oneChild(deps, rollout, childId, aggregatesOf(deps, rollout)) };
    },
  });

/** The ranks of the enrolled children that read a status: after an abort Todo reads No. */
function ranksOf(rollout: Rollout, status: ReleaseStatusName): readonly [number, number] | 'nobody' {
  const stored = Object.values(ReleaseStatus).find(
    (each) => each !== ReleaseStatus.No && readsAs(rollout, each) === ReleaseStatus[status],
  );
  return stored === undefined ? 'nobody' : rankRange(stored);
}

/** Read when first asked for, and once for all children of a page. */
function aggregatesOf({ snapshots }: OperatorDeps, rollout: Rollout): () => Promise<Aggregates> {
  let read: Promise<Aggregates> | undefined;
  return () => (read ??= snapshots.aggregates(rollout));
}

async function oneChild(
  { children, clock }: OperatorDeps,
  rollout: Rollout,
  id: string,
  aggregates: () => Promise<Aggregates>,
): Promise<ReleaseChildView> {
  const [record, [details]] = await Promise.all([children.record(rollout.shortId, id), children.details([id])]);
  if (record === null && details == null) throw new ProblemError('not-found', `there is no child ${id}`);
  const known = { id, record, leftAt: details?.leftAt ?? null, runs: details?.underway ?? null };
  return releaseChildView(rollout, known, aggregates, clock.now());
}
