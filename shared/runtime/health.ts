/** `/livez`, `/readyz`, `/metrics`: open, on every role at its port. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, Server as NetServer } from 'node:net';
import Koa, { type Middleware } from 'koa';
import type { Metrics } from './metrics.ts';
import { sharing, tellListening } from './processes.ts';

/** Null: this process itself can serve. Otherwise why not. */
export type Readiness = () => string | null;

export function healthRoutes(ready: Readiness, metrics: Metrics): Middleware {
  return async (ctx, next) => {
    if (ctx.method !== 'GET' && ctx.method !== 'HEAD') return next();
    if (ctx.path === '/livez') ctx.body = 'ok\n';
    else if (ctx.path === '/readyz') {
      const reason = ready();
      ctx.status = reason === null ? 200 : 503;
      ctx.body = `${reason ?? 'ready'}\n`;
    } else if (ctx.path === '/metrics') {
      ctx.type = metrics.registry.contentType;
      ctx.body = await metrics.text();
    } else await next();
  };
}

const IDLE_CHECK_MS = 50;
/** Agents that wait for a signal ask each second. */
const IDLE_GRACE_MS = 1_100;
const CLOSE_WITHIN_MS = 4_000;

/** Listens; `close` stops to take requests and lets those in hand end, for a while. */
export async function listen(
  server: Server,
  host: string,
  port: number,
): Promise<{ port: number; close(): Promise<void> }> {
  server.listen({ port, host, ...sharing() });
  await once(server, 'listening');
  const close = async (): Promise<void> => {
    server.prependListener('request', (_request, response) => {
      // A connection kept alive would hold the drain up until its client lets go of it.
      response.setHeader('Connection', 'close');
    });
    const closed = once(server, 'close');
    // Not the HTTP server's own: that one closes idle connections at once.
    NetServer.prototype.close.call(server);
    // A request may be on its way on a connection that looks idle here: closed under it, it would be lost.
    const begun = performance.now();
    const idle = setInterval(() => {
      if (performance.now() - begun > IDLE_GRACE_MS) server.closeIdleConnections();
    }, IDLE_CHECK_MS);
    const all = setTimeout(() => server.closeAllConnections(), CLOSE_WITHIN_MS);
    await closed;
    clearInterval(idle);
    clearTimeout(all);
  };
  const own = (server.address() as AddressInfo).port;
  tellListening(own);
  return { port: own, close };
}

/** Until a role is ready: it lives, and says that it's starting. */
export function startingApp(metrics: Metrics): ReturnType<Koa['callback']> {
  const app = new Koa();
  app.use(healthRoutes(() => 'starting', metrics));
  app.use((ctx) => {
    ctx.status = 503;
    ctx.set('Retry-After', '1');
    ctx.body = 'the manager is starting, try again\n';
  });
  return app.callback();
}

/** The health server of a role that serves nothing else. */
export async function serveHealth(
  { host, port }: { host: string; port: number },
  ready: Readiness,
  metrics: Metrics,
  stack: AsyncDisposableStack,
): Promise<number> {
  const app = new Koa();
  app.use(healthRoutes(ready, metrics));
  const handle = app.callback();
  const listening = await listen(
    createServer((request, response) => void handle(request, response)),
    host,
    port,
  );
  stack.defer(listening.close);
  return listening.port;
}
