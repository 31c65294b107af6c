/** `/api/v1/releases`: publish, list and show. */
import { ProblemError } from '#wire/operator/problem.ts';
import { pageQuery, releaseIdParam } from '#wire/operator/requests.ts';
import { pageOf, published, release, releaseItem } from '#wire/operator/responses.ts';
import type { Changes } from '../changes.ts';
import type { OperatorDeps } from '../deps.ts';
import { type OperatorRoute, route } from '../route.ts';
import { itemView, releaseView } from '../views/release-view.ts';
import { readParts } from './parts.ts';

export const releaseRoutes = (deps: OperatorDeps, changes: Changes): OperatorRoute[] => [
  publishRoute(deps),
  listRoute(deps, changes),
  showRoute(deps, changes),
];

const publishRoute = ({ publish, bundleLimit }: OperatorDeps): OperatorRoute =>
  route({
    method: 'post',
    path: '/releases',
    summary: 'Publish a release',
    multipart: { release: 'release.yml', functions: 'fns.zip' },
    responses: {
      201: { description: 'Published', schema: published },
      200: { description: 'These bytes were published before', schema: published },
    },
    problems: ['bad-request', 'release-exists', 'too-large', 'unsupported-media-type', 'invalid-release'],
    async handle({ ctx }) {
      const { yml, zip } = await readParts(ctx, bundleLimit);
      const { id, warnings, created } = await publish(yml, zip);
      if (created) ctx.set('Location', `/api/v1/releases/${id}`);
      return { status: created ? 201 : 200, body: { id, warnings } };
    },
  });

const listRoute = ({ releases }: OperatorDeps, { find }: Changes): OperatorRoute =>
  route({
    method: 'get',
    path: '/releases',
    summary: 'List releases in order of publishing',
    query: pageQuery,
    responses: { 200: { description: 'A page', schema: pageOf(releaseItem) } },
    problems: ['bad-request'],
    async handle({ query: { cursor, limit } }) {
      const ids = await releases.list(cursor ?? null, limit);
      if (ids === null) throw new ProblemError('bad-request', 'cursor: is none of ours');
      const found = await Promise.all(ids.map((id) => find(id)));
      const next = ids.length === limit ? (ids.at(-1) ?? null) : null;
      return { status: 200, body: { items: found.map(itemView), next } };
    },
  });

const showRoute = (deps: OperatorDeps, { find }: Changes): OperatorRoute =>
  route({
    method: 'get',
    path: '/releases/:id',
    summary: 'Show a release: its state, its progress and why it waits',
    params: releaseIdParam,
    responses: { 200: { description: 'The release', schema: release } },
    problems: ['not-found'],
    handle: async ({ params: { id } }) => ({
      status: 200,
      body: await releaseView(await find(id), deps, deps.clock.now()),
    }),
  });
