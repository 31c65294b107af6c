/** The Koa application: health, the child endpoints (errors as text), the operator API (errors as problems). */
import { startRoutes } from './operator/releases/start.ts';
import { releaseRoutes } from './operator/releases/releases.ts';
import { previewRoutes } from './operator/releases/preview.ts';
import { eventRoutes } from './operator/events/events.ts';
import { controlRoutes } from './operator/controls/controls.ts';
import type { RequestListener } from 'node:http';
import { Router } from '@koa/router';
import Koa from 'koa';
import { healthRoutes, type Readiness } from '#runtime/health.ts';
import type { Logger } from '#runtime/log.ts';
import type { Metrics } from '#runtime/metrics.ts';
import { ProblemError } from '#wire/operator/problem.ts';
import type { ChildDeps } from './child/deps.ts';
import { childEndpoints, type Endpoint } from './child/endpoints.ts';
import { describeErrors, type DescribeError, textErrors } from './child/errors.ts';
import { createHotPath } from './child/hot-path.ts';
import { childRoutes, methodNotAllowed, notFound } from './child/routes.ts';
import { createChanges } from './operator/changes.ts';
import { fleetRoutes } from './operator/fleet.ts';
import { openApiDocument } from './operator/openapi.ts';
import type { OperatorDeps } from './operator/deps.ts';
import { releaseChildRoutes } from './operator/releases/children.ts';
import { bearer, mountRoutes, type OperatorRoute, problems } from './operator/route.ts';

export const API_VERSION = '1.0.0';

type AppDeps = {
  child: ChildDeps;
  operator: OperatorDeps;
  token: string;
  ready: Readiness;
  metrics: Metrics;
  log: Logger;
};

export function operatorRoutes(deps: OperatorDeps): OperatorRoute[] {
  const changes = createChanges(deps.releases);
  return [
    ...releaseRoutes(deps, changes),
    ...releaseChildRoutes(deps, changes),
    ...startRoutes(deps, changes),
    ...controlRoutes(deps, changes),
    ...previewRoutes(deps, changes),
    ...eventRoutes(deps),
    ...fleetRoutes(deps),
  ];
}

/** The application with the hot path in front of it. */
export function createHandler(deps: AppDeps): RequestListener {
  const { child, metrics, log } = deps;
  const endpoints = childEndpoints(child);
  const describe = describeErrors(log);
  const { load, steering, config } = child;
  const application = createApp(deps, endpoints, describe).callback();
  return createHotPath(
    { endpoints, bodyLimit: config.bodyLimit, load, steering, metrics, describe },
    (request, response) => void application(request, response),
  );
}

export function createApp(
  { child, operator, token, ready, metrics, log }: AppDeps,
  endpoints: readonly Endpoint[],
  describe: DescribeError,
): Koa {
  const app = new Koa();
  app.on('error', (error: Error) => log.debug({ error: error.message }, 'a connection broke'));
  app.use(async (ctx, next) => {
    if (!URL.canParse(ctx.req.url ?? '', 'http://any')) {
      ctx.status = 400;
      ctx.body = 'the request target is no path\n';
      return;
    }
    await next();
    const route = (ctx as unknown as { _matchedRoute?: string })._matchedRoute ?? 'none';
    metrics.answered(route, ctx.status);
    // An answer that comes before the whole body was read leaves the rest of it on the connection.
    if (!ctx.req.complete && ctx.status >= 400) ctx.set('Connection', 'close');
  });
  app.use(healthRoutes(ready, metrics));
  app.use(operatorApi(operator, token, child.config.bodyLimit, log));
  app.use(childApi(child, endpoints, describe));
  return app;
}

function operatorApi(deps: OperatorDeps, token: string, bodyLimit: number, log: Logger): Koa.Middleware {
  const routes = operatorRoutes(deps);
  const document = JSON.stringify(openApiDocument(routes, API_VERSION));
  const router = new Router();
  mountRoutes(router, routes, { usual: bodyLimit, large: Math.max(bodyLimit, deps.bundleLimit) });
  const authorize = bearer(token);
  const handle = router.routes();
  const errors = problems(log);
  return async (ctx, next) => {
    if (ctx.path === '/openapi.json') {
      ctx.type = 'application/json';
      ctx.body = document;
      return;
    }
    if (ctx.path !== '/api' && !ctx.path.startsWith('/api/')) return next();
    await errors(ctx, () =>
      authorize(ctx, () =>
        handle(ctx as never, async () => {
          if (!allowOthers(ctx, router)) throw new ProblemError('not-found', `there is nothing at ${ctx.path}`);
          throw new ProblemError('method-not-allowed', `${ctx.method} is not allowed on ${ctx.path}`);
        }),
      ),
    );
  };
}

function childApi(deps: ChildDeps, endpoints: readonly Endpoint[], describe: DescribeError): Koa.Middleware {
  const router = childRoutes(deps, endpoints);
  const errors = textErrors(describe);
  const handle = router.routes();
  return async (ctx) =>
    errors(ctx, () =>
      handle(ctx as never, async () => {
        if (!allowOthers(ctx, router)) throw notFound(ctx.path);
        throw methodNotAllowed(ctx.method, ctx.path);
      }),
    );
}

/** Names the methods that a path has, if any. */
function allowOthers(ctx: Koa.Context, router: Router): boolean {
  const allowed = router.match(ctx.path, ctx.method).path.flatMap((layer) => layer.methods);
  ctx.set('Allow', [...new Set(allowed)].join(', '));
  if (allowed.length === 0) ctx.remove('Allow');
  return allowed.length > 0;
}
