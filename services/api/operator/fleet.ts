/** `/api/v1/children`: the fleet. And what could not be applied. */
import { child, deadLetter, pageOf } from '#wire/operator/responses.ts';
import { releasesOf } from '#store/children/child-views.ts';
import { z } from 'zod';
import { isCursor } from '#store/children/pages.ts';
import { childIdParam, pageQuery } from '#wire/operator/requests.ts';
import { ProblemError } from '#wire/operator/problem.ts';
import type { OperatorDeps } from './deps.ts';
import { type OperatorRoute, route } from './route.ts';
import { childView } from './views/child-view.ts';

const QUIET_MS = 5 * 60_000;
const DEAD_LETTERS_SHOWN = 1000;

const unknown = (id: string): ProblemError => new ProblemError('not-found', `there is no child ${id}`);

export const fleetRoutes = (deps: OperatorDeps): OperatorRoute[] => [
  listRoute(deps),
  showRoute(deps),
  deleteRoute(deps),
  deadLetterRoute(deps),
];

const listRoute = ({ children }: OperatorDeps): OperatorRoute =>
  route({
    method: 'get',
    path: '/children',
    summary: 'List the fleet',
    query: pageQuery,
    responses: { 200: { description: 'A page', schema: pageOf(child) } },
    problems: ['bad-request'],
    async handle({ query: { cursor, limit } }) {
      if (cursor !== undefined && !isCursor(cursor)) throw new ProblemError('bad-request', 'cursor: is none of ours');
      const page = await children.page({ cursor: cursor ?? null, limit });
      const found = await children.details(page.ids);
      const items = found.flatMap((each) => (each === null ? [] : [childView(each)]));
      return { status: 200, body: { items, next: page.next } };
    },
  });

const showRoute = ({ children }: OperatorDeps): OperatorRoute =>
  route({
    method: 'get',
    path: '/children/:id',
    summary: 'Show a child',
    params: childIdParam,
    responses: { 200: { description: 'The child', schema: child } },
    problems: ['not-found'],
    async handle({ params: { id } }) {
      const [found] = await children.details([id]);
      if (found == null) throw unknown(id);
      return { status: 200, body: childView(found) };
    },
  });

const deleteRoute = ({ children, releases, clock }: OperatorDeps): OperatorRoute =>
  route({
    method: 'delete',
    path: '/children/:id',
    summary: 'Forget a child that is not underway and was not seen for 5 minutes; its release records stay',
    params: childIdParam,
    responses: { 204: { description: 'Forgotten' } },
    problems: ['not-found', 'child-active'],
    async handle({ params: { id } }) {
      const [found] = await children.details([id]);
      if (found == null) throw unknown(id);
      const finished = await releases.finished(releasesOf(found));
      const outcome = await children.delete(id, clock.now() - QUIET_MS, finished);
      if (outcome === 'unknown') throw unknown(id);
      if (outcome === 'underway') throw new ProblemError('child-active', `child ${id} takes part in a release`);
      if (outcome === 'recent') throw new ProblemError('child-active', `child ${id} was seen within 5 minutes`);
      return { status: 204 };
    },
  });

const deadLetterRoute = ({ deadLetters }: OperatorDeps): OperatorRoute =>
  route({
    method: 'get',
    path: '/dead-letters',
    summary: 'Messages that could not be applied, newest first',
    responses: { 200: { description: 'At most 1,000', schema: z.object({ items: z.array(deadLetter) }) } },
    problems: [],
    async handle() {
      const letters = await deadLetters.list(DEAD_LETTERS_SHOWN);
      const items = letters.map((letter) => JSON.parse(letter) as z.infer<typeof deadLetter>);
      items.sort((a, b) => (a.at < b.at ? 1 : -1));
      return { status: 200, body: { items } };
    },
  });
