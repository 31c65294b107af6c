/**
 * When to refuse. Polls are shed first, then `/end_stage` (both are asked again), results last; joins stop while the fleet
 * or Redis is full. What drives it: requests in hand, the event loop's delay, the intake backlog. A saturated core alone is
 * no overload: with few requests in hand each of them is answered soon.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { IntakeProducer } from '#queue/producers.ts';
import type { Config } from '#runtime/config.ts';
import type { Logger } from '#runtime/log.ts';
import type { Metrics } from '#runtime/metrics.ts';
import type { ChildStore } from '#store/child-store.ts';
import { infoOf } from '#store/nodes.ts';
import type { Client } from '#store/redis.ts';

const LOOK_EVERY_MS = 1_000;
const NANOSECONDS = 1e6;
/** Joins stop here, so that there is memory left for the children who are known already. */
const MEMORY_SHARE = 0.8;

export type Kind = 'poll' | 'endStage' | 'result';
/** How many times over its limit the load is when even these are refused. */
const END_STAGE_REFUSED_AT = 2;
const RESULT_REFUSED_AT = 4;

export type LoadGuard = {
  /** Whether a request of this kind is refused now. */
  refuses(kind: Kind): boolean;
  /** The greatest of what drives it, each as a share of its limit. */
  pressure(): number;
  /** The fleet has MAX_CHILDREN, or Redis is nearly out of memory. */
  full(): boolean;
  /** A request is in hand, until it's answered or its answer is held. */
  enter(): void;
  leave(): void;
};

type Limits = Pick<Config, 'backlogLimit' | 'maxChildren' | 'inFlightLimit' | 'lagLimitMs'>;

export async function createLoadGuard(
  client: Client,
  children: ChildStore,
  intake: Pick<IntakeProducer, 'backlog'>,
  limits: Limits,
  metrics: Metrics,
  log: Logger,
  stack: AsyncDisposableStack,
): Promise<LoadGuard> {
  let inFlight = 0;
  let backlog = 0;
  let lagMs = 0;
  let fleet = 0;
  let memory = 0;
  const delay = monitorEventLoopDelay();
  delay.enable();
  stack.defer(() => void delay.disable());

  const inHand = (): number => inFlight / limits.inFlightLimit;
  const pressure = (): number => Math.max(backlog / limits.backlogLimit, lagMs / limits.lagLimitMs, inHand());
  const refused = {
    poll: () => pressure() > 1,
    endStage: () => Math.max(lagMs / limits.lagLimitMs, inHand()) > END_STAGE_REFUSED_AT,
    // However long the backlog is: a result in Redis is safe, and one that is refused is lost.
    result: () => inHand() > RESULT_REFUSED_AT,
  } as const satisfies Record<Kind, () => boolean>;

  async function askRedis(): Promise<void> {
    const [waiting, count, infos] = await Promise.all([intake.backlog(), children.count(), infoOf(client, 'memory')]);
    backlog = waiting;
    fleet = count;
    memory = Math.max(...infos.map(memoryShare));
    metrics.backlog.set(backlog);
    metrics.children.set(fleet);
  }
  function look(): void {
    // Over the last second; NaN while nothing was measured.
    lagMs = delay.mean / NANOSECONDS || 0;
    delay.reset();
    metrics.lag.set(lagMs / 1000);
    metrics.inFlight.set(inFlight);
    metrics.pressure.set(pressure());
    askRedis().catch((error: Error) => log.debug({ error: error.message }, 'the load is not known'));
  }
  await askRedis();
  const timer = setInterval(look, LOOK_EVERY_MS);
  timer.unref();
  stack.defer(() => clearInterval(timer));
  return {
    refuses: (kind) => refused[kind](),
    pressure,
    full: () => (limits.maxChildren > 0 && fleet >= limits.maxChildren) || memory >= MEMORY_SHARE,
    enter: () => void inFlight++,
    leave: () => void inFlight--,
  };
}

function memoryShare(info: string): number {
  const limit = Number(/^maxmemory:(\d+)/m.exec(info)?.[1] ?? 0);
  return limit === 0 ? 0 : Number(/^used_memory:(\d+)/m.exec(info)?.[1] ?? 0) / limit;
}
