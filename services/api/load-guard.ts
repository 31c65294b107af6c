/** When to refuse: polls while the backlog is too long, joins while the fleet or Redis is full. Looked up each second. */
import type { IntakeProducer } from '#queue/producers.ts';
import type { Config } from '#runtime/config.ts';
import type { Logger } from '#runtime/log.ts';
import type { Metrics } from '#runtime/metrics.ts';
import type { ChildStore } from '#store/child-store.ts';
import type { Client } from '#store/redis.ts';

const LOOK_EVERY_MS = 1_000;
/** Joins stop here, so that there is memory left for the children who are known already. */
const MEMORY_SHARE = 0.8;

export type LoadGuard = {
  /** The intake backlog is over BACKLOG_LIMIT. */
  shedding(): boolean;
  /** The fleet has MAX_CHILDREN, or Redis is nearly out of memory. */
  full(): boolean;
};

export async function createLoadGuard(
  client: Client,
  children: ChildStore,
  intake: IntakeProducer,
  config: Pick<Config, 'backlogLimit' | 'maxChildren'>,
  metrics: Metrics,
  log: Logger,
  stack: AsyncDisposableStack,
): Promise<LoadGuard> {
  let backlog = 0;
  let fleet = 0;
  let memory = 0;

  async function look(): Promise<void> {
    const [waiting, count, info] = await Promise.all([intake.backlog(), children.count(), client.info('memory')]);
    backlog = waiting;
    fleet = count;
    const limit = Number(/^maxmemory:(\d+)/m.exec(info)?.[1] ?? 0);
    memory = limit === 0 ? 0 : Number(/^used_memory:(\d+)/m.exec(info)?.[1] ?? 0) / limit;
    metrics.backlog.set(backlog);
    metrics.children.set(fleet);
  }
  await look();
  const timer = setInterval(
    () => void look().catch((error: Error) => log.debug({ error: error.message }, 'the load is not known')),
    LOOK_EVERY_MS,
  );
  timer.unref();
  stack.defer(() => clearInterval(timer));
  return {
    shedding: () => backlog > config.backlogLimit,
    full: () => (config.maxChildren > 0 && fleet >= config.maxChildren) || memory >= MEMORY_SHARE,
  };
}
