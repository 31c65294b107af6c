/** The API: stateless, any number of processes, any of which may die. */
import { createServer } from 'node:http';
import { createIntakeProducer } from '#queue/intake-producer.ts';
import { createEnrolmentProducer, createTickProducer } from '#queue/producers.ts';
import { listen } from '#runtime/health.ts';
import { isOneOfSeveral } from '#runtime/processes.ts';
import type { RoleOptions, Running } from '#runtime/role.ts';
import type { Client } from '#store/connection/client.ts';
import { openBase } from '#store/open.ts';
import { createHandler } from './app.ts';
import { createFileCache } from './cache/file-cache.ts';
import { createReleaseCache } from './cache/release-cache.ts';
import type { ChildDeps } from './child/deps.ts';
import { createHeartbeats } from './ingest/heartbeats.ts';
import { createIntake } from './ingest/intake.ts';
import { followChildChanges } from './long-poll/child-changes.ts';
import { createLongPoll } from './long-poll/long-poll.ts';
import { createEvents, type Events } from './operator/events/events.ts';
import type { OperatorDeps } from './operator/deps.ts';
import { createLoadGuard, type LoadGuard } from './overload/load-guard.ts';
import { createRedisRetry } from './overload/redis-retry.ts';
import { createStartingHandler } from './overload/starting.ts';
import { createSteering } from './overload/steering.ts';
import { createPublisher } from './publish/publisher.ts';
import { publishFolder } from './publish/releases-dir.ts';

/** Requests that wait for Redis at a time. */
const MAX_WAITING = 10_000;
/** Longer than any proxy in front keeps idle connections, so that it never meets one that is just being closed. */
const KEEP_ALIVE_MS = 75_000;
const NOTE_SERVED_MS = 1_000;

type Base = Awaited<ReturnType<typeof openBase>>;
type ApiOptions = RoleOptions & { token: string };

export async function startApi(options: ApiOptions, stack: AsyncDisposableStack): Promise<Running & { port: number }> {
  const { config, address, token, log, metrics } = options;
  const starting = createStartingHandler(metrics, config.redisRetryMs, MAX_WAITING);
  const server = createServer(
    { keepAliveTimeout: KEEP_ALIVE_MS },
    (request, response) => void starting.handle(request, response),
  );
  const open = () => listen(server, config.host, config.port, config.drainGraceMs);
  // One of several that starts while the others serve leaves the children to them.
  const early = isOneOfSeveral() ? null : await open();
  const base = await openBase({ config, address, purpose: 'serve', log }, stack);
  const { client } = base;
  const subscriber = await base.connect('listen');
  const child = await openChildDeps(options, base, subscriber, stack);
  const events = await openEvents(options, base, subscriber, stack);
  const operator = await openOperatorDeps(options, base, events, stack);
  if (config.releasesDir !== undefined) await publishFolder(config.releasesDir, operator.publish, log);

  const ready = (): string | null => (client.status === 'ready' ? null : 'Redis is away');
  starting.open(createHandler({ child, operator, token, ready, metrics, log }));
  const { port, close } = early ?? (await open());
  // Closed first of all: requests in hand still find everything open.
  stack.defer(close);
  stack.defer(child.longPoll.close);
  stack.defer(events.close);
  noteServed(base, child.load, stack);
  return { port, ready };
}

async function openChildDeps(
  { config, log, metrics }: ApiOptions,
  base: Base,
  subscriber: Client,
  stack: AsyncDisposableStack,
): Promise<ChildDeps> {
  const { client, keys, partitions, clock, children, releases } = base;
  const replicas = config.ackReplicas;
  const connection = await base.connect();
  const producer = await createIntakeProducer({ connection, keys, partitions, replicas }, stack);
  const load = await createLoadGuard({ client, children, intake: producer, limits: config, metrics, log }, stack);
  const files = createFileCache(releases);
  const longPoll = createLongPoll({
    limitMs: config.longPollMs,
    limit: config.longPollLimit,
    inHand: load,
    show: (parked) => metrics.parked.set(parked),
  });
  const cache = await createReleaseCache(
    { store: releases, subscriber, keys, files, changed: longPoll.rolloutChanged, log },
    stack,
  );
  const childChanges = await followChildChanges(subscriber, keys.childChanged);
  if (longPoll.isOn)
    childChanges.follow({ changed: longPoll.childrenChanged, disconnected: () => {}, reconnected: longPoll.wakeAll });
  const intake = createIntake({ producer, children, clock, retryMs: config.redisRetryMs, metrics }, stack);
  return {
    config,
    children,
    cache,
    files,
    intake,
    heartbeats: createHeartbeats({ intake, load, clock, precisionMs: config.seenPrecisionMs }),
    requestTick: releases.requestTick,
    load,
    redisRetry: createRedisRetry(config.redisRetryMs, MAX_WAITING),
    clock,
    childChanges,
    longPoll,
    steering: createSteering(load, config.pollAfterMs / 1000),
  };
}

async function openEvents(
  { log }: ApiOptions,
  base: Base,
  subscriber: Client,
  stack: AsyncDisposableStack,
): Promise<Events> {
  const events = createEvents({ ...base, subscriber, log }, stack);
  await subscriber.subscribe(base.keys.tickRequests);
  return events;
}

async function openOperatorDeps(
  { config }: ApiOptions,
  base: Base,
  events: Events,
  stack: AsyncDisposableStack,
): Promise<OperatorDeps> {
  const { client, keys, clock, releases } = base;
  return {
    ...base,
    events,
    ticks: await createTickProducer(client, keys, stack),
    enrolmentJobs: await createEnrolmentProducer(client, keys, stack),
    publish: createPublisher(releases, clock, config.bundleLimit),
    freshForMs: config.freshForMs,
    seenPrecisionMs: config.seenPrecisionMs,
    bundleLimit: config.bundleLimit,
  };
}

/** Children that are turned away say nothing, and aren't silent for it. */
function noteServed({ served }: Base, load: LoadGuard, stack: AsyncDisposableStack): void {
  const note = (): void => {
    if (!load.refuses('poll')) served.note().catch(() => {});
  };
  const timer = setInterval(note, NOTE_SERVED_MS);
  stack.defer(() => clearInterval(timer));
}
