/** What the API answers before it's ready: polls are refused, but results and downloads wait, as in an outage. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { startingApp } from '#runtime/health.ts';
import type { Metrics } from '#runtime/metrics.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

/** Refusing these would lose a final result, or end an agent. */
const WAITING = /^\/(?:result|release)\b/;

export function createStartingHandler(
  metrics: Metrics,
  limitMs: number,
  limit: number,
): { handle: Handler; open(handler: Handler): void } {
  const refuse = startingApp(metrics);
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  let handler: Handler | null = null;
  let waiting = 0;

  async function waitUntilReady(request: IncomingMessage, response: ServerResponse): Promise<void> {
    waiting++;
    const patience = new AbortController();
    await Promise.race([ready, sleep(limitMs, undefined, { signal: patience.signal }).catch(() => {})]);
    patience.abort();
    waiting--;
    void (handler ?? refuse)(request, response);
  }

  return {
    handle: (request, response) => {
      if (handler !== null) return handler(request, response);
      const waits = WAITING.test(request.url ?? '') && waiting < limit;
      return waits ? waitUntilReady(request, response) : refuse(request, response);
    },
    open(opened) {
      handler = opened;
      resolve();
    },
  };
}
