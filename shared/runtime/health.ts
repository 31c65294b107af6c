/** `/livez`, `/readyz`, `/metrics`: open, on every role at its port. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, Server as NetServer } from 'node:net';
import Koa, { type Middleware } from 'koa';
import { ConfigError } from './config.ts';
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
const CLOSE_WITHIN_MS = 4_000;

/**
 * Listens; `close` takes no more connections and lets requests in hand end, for a while. `graceMs`: so long it also keeps
 * idle connections for one more request, whose answer says that it was the last. A connection that is closed under a
 * request on its way loses it, and with it a final result, which is sent only once.
 */
export async function listen(
  server: Server,
  host: string,
  port: number,
  graceMs = 0,
): Promise<{ port: number; close(): Promise<void> }> {
  server.listen({ port, host, ...sharing() });
  try {
    await once(server, 'listening');
  } catch (error) {
    throw listenFault(error as NodeJS.ErrnoException, host, port);
  }
  const close = async (): Promise<void> => {
    server.prependListener('request', (_request, response) => {
      // A connection kept alive would delay the drain until its client closes it.
      response.setHeader('Connection', 'close');
    });
    const closed = once(server, 'close');
    // Not HTTP's own way to close, which cuts idle connections at once.
    NetServer.prototype.close.call(server);
    const graceOver = performance.now() + graceMs;
    const closeIdle = (): void => {
      if (performance.now() >= graceOver) server.closeIdleConnections();
    };
    // Requests that were in hand when it began leave idle connections behind.
    const idle = setInterval(closeIdle, IDLE_CHECK_MS);
    const all = setTimeout(() => server.closeAllConnections(), graceMs + CLOSE_WITHIN_MS);
    closeIdle();
    await closed;
    clearInterval(idle);
    clearTimeout(all);
  };
  const own = (server.address() as AddressInfo).port;
  tellListening(own);
  return { port: own, close };
}

const NO_ADDRESS = new Set(['EADDRNOTAVAIL', 'EINVAL', 'ENOTFOUND', 'EAI_AGAIN']);

/** Which setting the system doesn't take, in a sentence. */
function listenFault(error: NodeJS.ErrnoException, host: string, port: number): Error {
  const { code = '' } = error;
  if (code === 'EADDRINUSE')
    return new ConfigError(`PORT ${port} is in use by another process: stop it, or set PORT to a free one`);
  if (code === 'EACCES')
    return new ConfigError(`PORT ${port} is not allowed for this user: set PORT to one from 1024 on`);
  if (NO_ADDRESS.has(code))
    return new ConfigError(`HOST ${host} is no address of this machine: 0.0.0.0 stands for all of them`);
  return error;
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
