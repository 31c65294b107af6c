/** The API: stateless, any number of processes, any of which may die. */
import { createServer } from 'node:http';
import { createIntakeProducer, createTickProducer, createWalkProducer } from '#queue/producers.ts';
import type { Config } from '#runtime/config.ts';
import { listen } from '#runtime/health.ts';
import type { Logger } from '#runtime/log.ts';
import type { Metrics } from '#runtime/metrics.ts';
import { isOneOfSeveral } from '#runtime/processes.ts';
import { openBase } from '#store/open.ts';
import { createHandler } from './app.ts';
import type { ChildDeps } from './child/deps.ts';
import { createFileCache } from './file-cache.ts';
import { createHold } from './hold.ts';
import { createIntake } from './intake.ts';
import { createLoadGuard } from './load-guard.ts';
import { createEvents } from './operator/events.ts';
import type { OperatorDeps } from './operator/releases.ts';
import { followMoves } from './moves.ts';
import { createPublisher } from './publisher.ts';
import { createReleaseCache } from './release-cache.ts';
import { publishFolder } from './releases-dir.ts';
import { createSigns } from './signs.ts';
import { createStartingHandler } from './starting.ts';
import { createSteering } from './steering.ts';
import { createWaiting } from './waiting.ts';

const MAX_HELD = 10_000;
/** Longer than any proxy in front keeps idle connections, so that it never meets one that is just being closed. */
const KEEP_ALIVE_MS = 75_000;
const NOTE_SERVED_MS = 1_000;

export async function startApi(
  config: Config,
  address: string,
  token: string,
  log: Logger,
  metrics: Metrics,
  stack: AsyncDisposableStack,
): Promise<{ port: number; ready(): string | null }> {
  const starting = createStartingHandler(metrics, config.resultHoldMs, MAX_HELD);
  const server = createServer(
    { keepAliveTimeout: KEEP_ALIVE_MS },
    (request, response) => void starting.handle(request, response),
  );
  const open = () => listen(server, config.host, config.port, config.drainGraceMs);
  // One of several that starts while the others serve leaves the children to them.
  const early = isOneOfSeveral() ? null : await open();
  const base = await openBase(config, address, 'serve', log, stack);
  const { client, keys, partitions, clock, children, releases, served } = base;
  const producer = await createIntakeProducer(await base.connect(), keys, partitions, config.ackReplicas, stack);
  const ticks = await createTickProducer(client, keys, stack);
  const load = await createLoadGuard(client, children, producer, config, metrics, log, stack);
  const files = createFileCache(releases);
  const waiting = createWaiting(config.holdMs, config.holdLimit, load, (held) => metrics.held.set(held));
  const subscriber = await base.connect('listen');
  const cache = await createReleaseCache(releases, subscriber, keys, files, waiting.rollout, log, stack);
  const moves = await followMoves(subscriber, keys.moved);
  if (waiting.holds) moves.follow({ moved: waiting.children, lost: () => {}, back: waiting.everybody });
  const publish = createPublisher(releases, clock, config.bundleLimit);
  const intake = createIntake(producer, children, clock, config.resultHoldMs, metrics, stack);
  const child: ChildDeps = {
    config,
    children,
    cache,
    files,
    intake,
    signs: createSigns(intake, load, clock, config.seenPrecisionMs),
    look: releases.look,
    load,
    hold: createHold(config.resultHoldMs, MAX_HELD),
    clock,
    moves,
    waiting,
    steering: createSteering(load, config.pollAfterMs / 1000),
  };
  const events = createEvents(base, subscriber, log, stack);
  await subscriber.subscribe(keys.looks);
  const operator: OperatorDeps = {
    ...base,
    events,
    ticks,
    walks: await createWalkProducer(client, keys, stack),
    publish,
    freshForMs: config.freshForMs,
    seenPrecisionMs: config.seenPrecisionMs,
    bundleLimit: config.bundleLimit,
  };
  if (config.releasesDir !== undefined) await publishFolder(config.releasesDir, publish, log);

  const ready = (): string | null => (client.status === 'ready' ? null : 'Redis is away');
  starting.open(createHandler({ child, operator, token, ready, metrics, log }));
  const { port, close } = early ?? (await open());
  // Closed first of all: requests in hand still find everything open.
  stack.defer(close);
  stack.defer(waiting.close);
  stack.defer(events.close);
  // Children who are turned away say nothing, and aren't silent for it.
  const noteServed = (): void => {
    if (!load.refuses('poll')) served.note().catch(() => {});
  };
  const serving = setInterval(noteServed, NOTE_SERVED_MS);
  stack.defer(() => clearInterval(serving));
  return { port, ready };
}
