/**
 * `/api/v1/events`: what happens to releases, as server-sent events. Each is the release as it reads then, with why it waits;
 * a client that connects gets the unfinished ones first, so that nothing needs to be remembered for those that were away.
 */
import type { PassThrough } from 'node:stream';
import { z } from 'zod';
import { isFinished } from '#domain/rollout/rollout.ts';
import type { Logger } from '#runtime/log.ts';
import type { Client } from '#store/connection/client.ts';
import type { Clock } from '#store/connection/redis-clock.ts';
import type { Keys } from '#store/layout/keys.ts';
import type { Stores } from '#store/stores.ts';
import { ProblemError } from '#wire/operator/problem.ts';
import { releaseId } from '#wire/operator/requests.ts';
import { type OperatorRoute, route } from '../route.ts';
import { releaseView } from '../views/release-view.ts';
import { createListeners, type Listeners } from './listeners.ts';

/** Together, and not one by one: a release under load changes hundreds of times a second. */
const FLUSH_MS = 500;
/** Silence grows without anything happening; and news may be lost. */
const REFRESH_MS = 5_000;
/** Of the open locations and of the waits of a release, each: an event stays small. */
const MOST = 100;
/** Events that are remembered so as not to be sent again. */
const MAX_SENT = 1_000;

export type Events = ReturnType<typeof createEvents>;

type Deps = Pick<Stores, 'releases' | 'snapshots' | 'children'> & {
  clock: Clock;
  keys: Pick<Keys, 'rolloutChanged' | 'tickRequests'>;
  subscriber: Client;
  log: Logger;
};

type Event = { text: string; over: boolean };
/** `dirty`: releases that have changed since the last flush; `sent`: what was said last of each that isn't over. */
type Feed = Deps & { listeners: Listeners; dirty: Set<string>; sent: Map<string, string>; flushing: boolean };

export function createEvents(deps: Deps, stack: AsyncDisposableStack) {
  const { releases, keys, subscriber } = deps;
  const listeners = createListeners(stack);
  const feed: Feed = { ...deps, listeners, dirty: new Set(), sent: new Map(), flushing: false };

  subscriber.on('message', (channel: string, text: string) => {
    const isNews = channel === keys.rolloutChanged || channel === keys.tickRequests;
    if (isNews && listeners.size() > 0) feed.dirty.add(text.split(' ', 1)[0] ?? '');
  });

  const quietly = (work: Promise<void>): void => void work.catch(() => {});
  const timers = [
    setInterval(() => quietly(flush(feed)), FLUSH_MS),
    setInterval(() => quietly(refresh(feed)), REFRESH_MS),
  ];
  for (const timer of timers) timer.unref();
  stack.defer(() => timers.forEach((timer) => clearInterval(timer)));

  return {
    async listen(release: string | undefined): Promise<PassThrough> {
      listeners.refuseTooMany();
      const ids = release === undefined ? await releases.unfinished() : [release];
      const found = await Promise.all(ids.map((id) => eventOf(feed, id)));
      if (release !== undefined && found[0] === null)
        throw new ProblemError('not-found', `there is no release ${release}`);
      return listeners.add(release, ['retry: 1000\n\n', ...found.map((event) => event?.text ?? '')].join(''));
    },
    /** Ends all streams: their clients come back, to the process that serves then. */
    close: (): void => listeners.close(),
  };
}

async function eventOf({ releases, snapshots, children, clock }: Feed, id: string): Promise<Event | null> {
  const [release, rollout] = await Promise.all([releases.release(id), releases.rollout(id)]);
  if (release === null || rollout === null) return null;
  const view = await releaseView({ release, rollout }, { releases, snapshots, children }, clock.now(), MOST);
  const text = `event: release\nid: ${id}.${rollout.version}\ndata: ${JSON.stringify(view)}\n\n`;
  return { text, over: isFinished(rollout.state) };
}

/** False: it was sent before. */
function isNew({ sent }: Feed, id: string, { text, over }: Event): boolean {
  if (sent.get(id) === text) return false;
  sent.delete(id);
  if (over) return true;
  sent.set(id, text);
  const [oldest] = sent.keys();
  if (sent.size > MAX_SENT && oldest !== undefined) sent.delete(oldest);
  return true;
}

async function flush(feed: Feed): Promise<void> {
  const { listeners, dirty, log } = feed;
  if (feed.flushing || listeners.size() === 0) return;
  feed.flushing = true;
  try {
    const ids = [...dirty];
    dirty.clear();
    for (const id of ids) {
      const event = await eventOf(feed, id);
      if (event !== null && isNew(feed, id, event)) listeners.send(id, event.text);
    }
  } catch (error) {
    log.debug({ error: (error as Error).message }, 'events wait for Redis');
  } finally {
    feed.flushing = false;
  }
}

async function refresh({ listeners, sent, dirty, releases }: Feed): Promise<void> {
  if (listeners.size() === 0) return sent.clear();
  for (const id of await releases.unfinished()) dirty.add(id);
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
