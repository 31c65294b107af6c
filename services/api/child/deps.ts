import type { ParameterizedContext } from 'koa';
import type { Config } from '#runtime/config.ts';
import type { ChildStore } from '#store/children/child-store.ts';
import type { Clock } from '#store/connection/redis-clock.ts';
import type { FileCache } from '../cache/file-cache.ts';
import type { ReleaseCache } from '../cache/release-cache.ts';
import type { Heartbeats } from '../ingest/heartbeats.ts';
import type { Intake } from '../ingest/intake.ts';
import type { ChildChanges } from '../long-poll/child-changes.ts';
import type { LongPoll } from '../long-poll/long-poll.ts';
import type { LoadGuard } from '../overload/load-guard.ts';
import type { RedisRetry } from '../overload/redis-retry.ts';
import type { Steering } from '../overload/steering.ts';

/** What the handlers of the child endpoints need. */
export type ChildDeps = {
  config: Pick<Config, 'bodyLimit' | 'seenPrecisionMs'>;
  children: ChildStore;
  cache: ReleaseCache;
  files: FileCache;
  intake: Intake;
  heartbeats: Heartbeats;
  requestTick(release: string): Promise<void>;
  load: LoadGuard;
  redisRetry: RedisRetry;
  clock: Clock;
  childChanges: ChildChanges;
  longPoll: LongPoll;
  steering: Steering;
};

export type ChildHandler = (ctx: ParameterizedContext) => Promise<void>;
