/** What all controls share: a call may be repeated, and answers with the release as it is afterwards. */
import { releaseIdParam } from '#wire/operator/requests.ts';
import type { z } from 'zod';
import { release } from '#wire/operator/responses.ts';
import type { Found } from '../changes.ts';
import type { OperatorDeps } from '../deps.ts';
import { type OperatorRoute, route } from '../route.ts';
import { releaseView } from '../views/release-view.ts';

export const BY_OPERATOR = 'by an operator';

type Control<B extends z.ZodType> = {
  /** Its path. */
  name: string;
  summary: string;
  body: B;
  /** Gives the release as it is afterwards. */
  run(id: string, body: z.infer<B>): Promise<Found>;
};

export const controlRoute = <B extends z.ZodType>(
  deps: OperatorDeps,
  { name, summary, body, run }: Control<B>,
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
      const found = await run(params.id, given);
      return { status: 200, body: await releaseView(found, deps, deps.clock.now()) };
    },
  });
