/** The five child endpoints. */
import { Router } from '@koa/router';
import { readText } from './body.ts';
import type { ChildDeps } from './deps.ts';
import { functionsHandler, releaseHandler } from './download.ts';
import type { Endpoint } from './endpoints.ts';
import { ChildError, OVERLOADED } from './errors.ts';

export function childRoutes(deps: ChildDeps, endpoints: readonly Endpoint[]): Router {
  const router = new Router();
  for (const { path, kind, answer, askAgain } of endpoints)
    router.post(path, async (ctx) => {
      if (deps.load.refuses(kind)) throw new ChildError(503, OVERLOADED);
      const text = await readText(ctx.req, deps.config.bodyLimit);
      const body = await answer(text, (callback) => ctx.res.once('close', callback));
      ctx.status = 200;
      if (body !== '') ctx.type = 'application/json';
      const again = askAgain(body);
      if (again !== null) ctx.set('Retry-After', again);
      ctx.body = body;
      if (body === '') ctx.remove('Content-Type');
    });
  router.get('/release', releaseHandler(deps));
  router.get('/release/functions/:release_id', functionsHandler(deps));
  return router;
}

export const methodNotAllowed = (method: string, path: string): ChildError =>
  new ChildError(405, `${method} is not allowed on ${path}`);
export const notFound = (path: string): ChildError => new ChildError(404, `there is nothing at ${path}`);
