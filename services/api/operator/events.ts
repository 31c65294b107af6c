/**
 * `/api/v1/events`: what happens to releases, as server-sent events. Each is the release as it reads then, with why it waits;
 * whoever connects gets the unfinished ones first, so that nothing needs to be remembered for those who were away.
 */
import { PassThrough } from 'node:stream';
import { z } from 'zod';
import { isFinished } from '#domain/rollout.ts';
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
/** A client that has left more than this unread is let go: it reconnects and starts from what is. */
const MAX_UNREAD = 1024 * 1024;
/** Of the open locations and of the waits of a release, each: an event stays small. */
const MOST = 100;
/** Events that are remembered so as not to be sent again. */
const MAX_SENT = 1_000;

/** `first`: bytes that it was sent to begin with; it may take its time to read them. */
type Listener = { stream: PassThrough; release: string | undefined; first: number };

export type Events = ReturnType<typeof createEvents>;

type Deps = Pick<Stores, 'releases' | 'snapshots' | 'children'> & { clock: Clock; keys: Keys };

export function createEvents(deps: Deps, subscriber: Client, log: Logger, stack: AsyncDisposableStack) {
  const { releases, clock, keys } = deps;
  const listeners = new Set<Listener>();
  const dirty = new Set<string>();
  const sent = new Map<string, string>();
  let flushing = false;
  let streams = 0;

  subscriber.on('message', (channel: string, text: string) => {
    if (listeners.size === 0 || (channel !== keys.changes && channel !== keys.looks)) return;
    dirty.add(text.split(' ', 1)[0] ?? '');
  });

  async function eventOf(id: string): Promise<{ text: string; over: boolean } | null> {
    const [known, rollout] = await Promise.all([releases.release(id), releases.rollout(id)]);
    if (known === null || rollout === null) return null;
    const view = await releaseView(known, rollout, deps, clock.now(), MOST);
    const text = `event: release\nid: ${id}.${rollout.version}\ndata: ${JSON.stringify(view)}\n\n`;
    return { text, over: isFinished(rollout.state) };
  }

  function send(listener: Listener, text: string): void {
    const { stream, first } = listener;
    // What is written now counts as unread at once, however fast its reader is.
    if (stream.writableLength > MAX_UNREAD + first) stream.end();
    if (stream.writableEnded || stream.destroyed) listeners.delete(listener);
    else stream.write(text);
  }

  /** False: it was sent before. */
  function isNews(id: string, { text, over }: { text: string; over: boolean }): boolean {
    if (sent.get(id) === text) return false;
    sent.delete(id);
    if (over) return true;
    sent.set(id, text);
    const [oldest] = sent.keys();
    if (sent.size > MAX_SENT && oldest !== undefined) sent.delete(oldest);
    return true;
  }

  async function flush(): Promise<void> {
    if (flushing || listeners.size === 0) return;
    flushing = true;
    try {
      const ids = [...dirty];
      dirty.clear();
      for (const id of ids) {
        const event = await eventOf(id);
        if (event === null || !isNews(id, event)) continue;
        for (const listener of listeners)
          if (listener.release === undefined || listener.release === id) send(listener, event.text);
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
      if (streams >= MAX_STREAMS) throw new ProblemError('unavailable', 'too many listen to events already');
      const ids = release === undefined ? await releases.unfinished() : [release];
      const found = await Promise.all(ids.map(eventOf));
      if (release !== undefined && found[0] === null)
        throw new ProblemError('not-found', `there is no release ${release}`);
      const text = ['retry: 1000\n\n', ...found.map((event) => event?.text ?? '')].join('');
      const stream = new PassThrough();
      const listener = { stream, release, first: Buffer.byteLength(text) };
      listeners.add(listener);
      streams++;
      stream.on('close', () => {
        listeners.delete(listener);
        streams--;
      });
      stream.write(text);
      return stream;
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
      summary: `What happens to releases, as server-sent events: \`release\`, with the release as data, of its open locations and of what it waits for at most the first ${MOST} each`,
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
