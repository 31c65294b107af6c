/**
 * `/api/v1/events`: what happens to releases, as server-sent events. Each is the release as it reads then, with why it waits;
 * whoever connects gets the unfinished ones first, so that nothing needs to be remembered for those who were away.
 */
import { PassThrough } from 'node:stream';
import { z } from 'zod';
import type { Logger } from '#runtime/log.ts';
import type { Keys } from '#store/keys.ts';
import type { Client } from '#store/redis.ts';
import type { Clock } from '#store/redis-clock.ts';
import type { Stores } from '#store/stores.ts';
import { releaseId } from '#wire/operator.ts';
import { ProblemError } from '#wire/problem.ts';
import { type OperatorRoute, route } from './route.ts';
import { releaseView } from './views.ts';

/** Together, and not one by one: a release under load changes hundreds of times a second. */
const FLUSH_MS = 500;
/** Silence grows without anything happening; and news may be lost. */
const LOOK_MS = 5_000;
const KEEP_ALIVE_MS = 15_000;
const MAX_STREAMS = 256;
/** A client that reads more slowly than this is let go: it reconnects and starts from what is. */
const MAX_UNREAD = 1024 * 1024;

type Listener = { stream: PassThrough; release: string | undefined };

export type Events = ReturnType<typeof createEvents>;

type Deps = Pick<Stores, 'releases' | 'snapshots' | 'children'> & { clock: Clock; keys: Keys };

export function createEvents(deps: Deps, subscriber: Client, log: Logger, stack: AsyncDisposableStack) {
  const { releases, clock, keys } = deps;
  const listeners = new Set<Listener>();
  const dirty = new Set<string>();
  const sent = new Map<string, string>();
  let flushing = false;

  subscriber.on('message', (channel: string, text: string) => {
    if (listeners.size === 0 || (channel !== keys.changes && channel !== keys.looks)) return;
    dirty.add(text.split(' ', 1)[0] ?? '');
  });

  async function eventOf(id: string): Promise<string | null> {
    const [known, rollout] = await Promise.all([releases.release(id), releases.rollout(id)]);
    if (known === null || rollout === null) return null;
    const view = await releaseView(known, rollout, deps, clock.now());
    return `event: release\nid: ${id}.${rollout.version}\ndata: ${JSON.stringify(view)}\n\n`;
  }

  function send(listener: Listener, text: string): void {
    listener.stream.write(text);
    if (listener.stream.writableLength > MAX_UNREAD) listener.stream.end();
  }

  async function flush(): Promise<void> {
    if (flushing || listeners.size === 0) return;
    flushing = true;
    try {
      const ids = [...dirty];
      dirty.clear();
      for (const id of ids) {
        const text = await eventOf(id);
        if (text === null || sent.get(id) === text) continue;
        sent.set(id, text);
        for (const listener of listeners)
          if (listener.release === undefined || listener.release === id) send(listener, text);
      }
    } catch (error) {
      log.debug({ error: (error as Error).message }, 'events wait for Redis');
    } finally {
      flushing = false;
    }
  }

  async function lookAround(): Promise<void> {
    if (listeners.size === 0) return sent.clear();
    for (const id of await releases.unfinished()) dirty.add(id);
  }

  const quietly = (work: Promise<void>): void => void work.catch(() => {});
  const timers = [
    setInterval(() => quietly(flush()), FLUSH_MS),
    setInterval(() => quietly(lookAround()), LOOK_MS),
    setInterval(() => listeners.forEach((listener) => send(listener, ': still here\n\n')), KEEP_ALIVE_MS),
  ];
  for (const timer of timers) timer.unref();
  stack.defer(() => timers.forEach((timer) => clearInterval(timer)));

  return {
    async listen(release: string | undefined): Promise<PassThrough> {
      if (listeners.size >= MAX_STREAMS) throw new ProblemError('unavailable', 'too many listen to events already');
      const ids = release === undefined ? await releases.unfinished() : [release];
      const texts = await Promise.all(ids.map(eventOf));
      if (release !== undefined && texts[0] === null)
        throw new ProblemError('not-found', `there is no release ${release}`);
      const listener = { stream: new PassThrough(), release };
      listeners.add(listener);
      listener.stream.on('close', () => listeners.delete(listener));
      listener.stream.write('retry: 1000\n\n');
      for (const text of texts) if (text !== null) send(listener, text);
      return listener.stream;
    },
    /** Ends all streams: their clients come back, to whoever serves then. */
    close: (): void => listeners.forEach(({ stream }) => stream.end()),
  };
}

export function eventRoutes({ events }: { events: Pick<Events, 'listen'> }): OperatorRoute[] {
  return [
    route({
      method: 'get',
      path: '/events',
      summary: 'What happens to releases, as server-sent events: `release`, with the release as data',
      query: z.object({ release: releaseId.optional().meta({ description: 'Only of this one' }) }),
      responses: { 200: { description: 'text/event-stream' } },
      problems: ['bad-request', 'not-found'],
      async handle({ query, ctx }) {
        const stream = await events.listen(query.release);
        ctx.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache', 'X-Accel-Buffering': 'no' });
        ctx.req.on('close', () => stream.destroy());
        return { status: 200, body: stream };
      },
    }),
  ];
}
