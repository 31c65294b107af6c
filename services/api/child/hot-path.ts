/**
 * The hot path: the endpoints that a fleet calls every second are answered before the application sees them. Koa with a
 * router takes more time than the answer itself (its context, its promises, its headers); most of those requests need none
 * of it. Whatever isn't plainly one of them goes on to the application, which answers by the same functions: the two differ
 * in nothing that a child can see, and a conformance test runs both.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Metrics } from '#runtime/metrics.ts';
import type { LoadGuard } from '../overload/load-guard.ts';
import type { Steering } from '../overload/steering.ts';
import { readBody } from './body.ts';
import type { Endpoint } from './endpoints.ts';
import { type DescribeError, OVERLOADED } from './errors.ts';

type Deps = {
  endpoints: readonly Endpoint[];
  bodyLimit: number;
  load: Pick<LoadGuard, 'enter' | 'leave' | 'refuses'>;
  steering: Pick<Steering, 'refused'>;
  metrics: Pick<Metrics, 'answered' | 'answersOf'>;
  describe: DescribeError;
};

/** With the place where its good answers are counted. */
type Hot = Endpoint & { good: { count: number } };

const JSON_TYPE = 'application/json; charset=utf-8';
const REFUSED = `${OVERLOADED}\n`;

export function createHotPath(
  { endpoints, bodyLimit, load, steering, metrics, describe }: Deps,
  application: RequestListener,
): RequestListener {
  const byPath = new Map(
    endpoints.map((endpoint): [string, Hot] => [
      endpoint.path,
      { ...endpoint, good: metrics.answersOf(endpoint.path, 200) },
    ]),
  );

  function refuse(response: ServerResponse, { path }: Endpoint): void {
    metrics.answered(path, 503);
    response.writeHead(503, {
      'Content-Type': 'text/plain; charset=utf-8',
      'Content-Length': REFUSED.length,
      'Retry-After': steering.refused(),
    });
    response.end(REFUSED);
  }

  function answer(response: ServerResponse, { good, askAgain }: Hot, body: string): void {
    good.count++;
    // A flat list is written as it is; an object would be walked and checked name by name.
    const headers = ['Content-Length', String(body.length)];
    if (body !== '') headers.push('Content-Type', JSON_TYPE);
    const again = askAgain(body);
    if (again !== null) headers.push('Retry-After', again);
    response.writeHead(200, headers);
    response.end(body, 'latin1');
  }

  function fail(request: IncomingMessage, response: ServerResponse, { path }: Endpoint, error: unknown): void {
    const { status, headers, text } = describe(error);
    metrics.answered(path, status);
    // An answer that comes before the whole body was read leaves the rest of it on the connection.
    if (!request.complete) response.setHeader('Connection', 'close');
    response.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(text) });
    response.end(text);
  }

  async function work(request: IncomingMessage, response: ServerResponse, endpoint: Hot, text: string): Promise<void> {
    load.enter();
    try {
      answer(response, endpoint, await endpoint.answer(text, (callback) => response.once('close', callback)));
    } catch (error) {
      fail(request, response, endpoint, error);
    } finally {
      load.leave();
    }
  }

  return (request, response) => {
    const endpoint = request.method === 'POST' ? byPath.get(request.url ?? '') : undefined;
    if (endpoint === undefined) return application(request, response);
    if (load.refuses(endpoint.kind)) return refuse(response, endpoint);
    readBody(request, bodyLimit, (error, text) => {
      if (error !== null) return fail(request, response, endpoint, error);
      const body = endpoint.instantly(text);
      if (body !== null) return answer(response, endpoint, body);
      void work(request, response, endpoint, text);
    });
  };
}
