/** What the API answers before it's ready: polls are refused, but results and downloads are held, as in an outage. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { startingApp } from '#runtime/health.ts';
import type { Metrics } from '#runtime/metrics.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

/** Refusing these would lose a final result, or end an agent. */
const HELD = /^\/(?:result|release)\b/;

export function createStartingHandler(
  metrics: Metrics,
  holdMs: number,
  maxHeld: number,
): { handle: Handler; open(handler: Handler): void } {
  const refuse = startingApp(metrics);
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  let handler: Handler | null = null;
  let held = 0;

  async function hold(request: IncomingMessage, response: ServerResponse): Promise<void> {
    held++;
    const waiting = new AbortController();
    await Promise.race([ready, sleep(holdMs, undefined, { signal: waiting.signal }).catch(() => {})]);
    waiting.abort();
    held--;
    void (handler ?? refuse)(request, response);
  }

  return {
    handle: (request, response) => {
      if (handler !== null) return handler(request, response);
      return HELD.test(request.url ?? '') && held < maxHeld ? hold(request, response) : refuse(request, response);
    },
    open(opened) {
      handler = opened;
      resolve();
    },
  };
}
