/** The five child endpoints. */
import { Router } from '@koa/router';
import type { ChildDeps } from './deps.ts';
import { functionsHandler, releaseHandler } from './download.ts';
import { endStageHandler } from './end-stage.ts';
import { ChildError } from './errors.ts';
import { pollHandler } from './poll.ts';
import { resultHandler } from './result.ts';

export function childRoutes(deps: ChildDeps): Router {
  const router = new Router();
  router.post('/poll', pollHandler(deps));
  router.get('/release', releaseHandler(deps));
  router.get('/release/functions/:release_id', functionsHandler(deps));
  router.post('/result', resultHandler(deps));
  router.post('/end_stage', endStageHandler(deps));
  return router;
}

export const methodNotAllowed = (method: string, path: string): ChildError =>
  new ChildError(405, `${method} is not allowed on ${path}`);
export const notFound = (path: string): ChildError => new ChildError(404, `there is nothing at ${path}`);
