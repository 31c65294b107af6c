/**
 * When to refuse. Polls are shed first, then `/end_stage` (both are asked again), results last; joins stop while the fleet
 * or Redis is full. What drives it: requests in hand, the event loop's delay, the intake backlog. A saturated core alone is
 * no overload: with few requests in hand each of them is answered soon.
 */
import type { IntakeProducer } from '#queue/intake-producer.ts';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Config } from '#runtime/config.ts';
import type { Logger } from '#runtime/log.ts';
import type { Metrics } from '#runtime/metrics.ts';
import type { ChildStore } from '#store/children/child-store.ts';
import { infoOf } from '#store/connection/nodes.ts';
import type { Client } from '#store/connection/client.ts';

const MEASURE_EVERY_MS = 1_000;
const NANOSECONDS = 1e6;
/** Joins stop here, so that there is memory left for the children that are known already. */
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
  /** A request is in hand, until it's answered or parked. */
  enter(): void;
  leave(): void;
};

type Limits = Pick<Config, 'backlogLimit' | 'maxChildren' | 'inFlightLimit' | 'lagLimitMs'>;

type Deps = {
  client: Client;
  children: Pick<ChildStore, 'count'>;
  intake: Pick<IntakeProducer, 'backlog'>;
  limits: Limits;
  metrics: Metrics;
  log: Logger;
};

type Load = { inFlight: number; backlog: number; lagMs: number; fleet: number; memory: number };

export async function createLoadGuard(deps: Deps, stack: AsyncDisposableStack): Promise<LoadGuard> {
  const { limits } = deps;
  const load: Load = { inFlight: 0, backlog: 0, lagMs: 0, fleet: 0, memory: 0 };
  const inHand = (): number => load.inFlight / limits.inFlightLimit;
  const lag = (): number => load.lagMs / limits.lagLimitMs;
  const pressure = (): number => Math.max(load.backlog / limits.backlogLimit, lag(), inHand());
  const refused = {
    poll: () => pressure() > 1,
    endStage: () => Math.max(lag(), inHand()) > END_STAGE_REFUSED_AT,
    // However long the backlog is: a result in Redis is safe, and one that is refused is lost.
    result: () => inHand() > RESULT_REFUSED_AT,
  } as const satisfies Record<Kind, () => boolean>;
  await measureEachSecond(deps, load, pressure, stack);
  return {
    refuses: (kind) => refused[kind](),
    pressure,
    full: () => (limits.maxChildren > 0 && load.fleet >= limits.maxChildren) || load.memory >= MEMORY_SHARE,
    enter: () => void load.inFlight++,
    leave: () => void load.inFlight--,
  };
}

async function measureEachSecond(
  { client, children, intake, metrics, log }: Deps,
  load: Load,
  pressure: () => number,
  stack: AsyncDisposableStack,
): Promise<void> {
  const delay = monitorEventLoopDelay();
  delay.enable();
  stack.defer(() => void delay.disable());

  async function askRedis(): Promise<void> {
    const [waiting, count, infos] = await Promise.all([intake.backlog(), children.count(), infoOf(client, 'memory')]);
    load.backlog = waiting;
    load.fleet = count;
    load.memory = Math.max(...infos.map(memoryShare));
    metrics.backlog.set(load.backlog);
    metrics.children.set(load.fleet);
  }
  function measure(): void {
    // Over the last second; NaN while nothing was measured.
    load.lagMs = delay.mean / NANOSECONDS || 0;
    delay.reset();
    metrics.lag.set(load.lagMs / 1000);
    metrics.inFlight.set(load.inFlight);
    metrics.pressure.set(pressure());
    askRedis().catch((error: Error) => log.debug({ error: error.message }, 'the load is not known'));
  }
  await askRedis();
  const timer = setInterval(measure, MEASURE_EVERY_MS);
  timer.unref();
  stack.defer(() => clearInterval(timer));
}

function memoryShare(info: string): number {
  const limit = Number(/^maxmemory:(\d+)/m.exec(info)?.[1] ?? 0);
  return limit === 0 ? 0 : Number(/^used_memory:(\d+)/m.exec(info)?.[1] ?? 0) / limit;
}
