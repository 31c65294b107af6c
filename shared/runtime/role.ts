/** What every role is started with. */
import type { Config } from './config.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { RedisAddress } from './redis-address.ts';

export type RoleOptions = { config: Config; address: RedisAddress; log: Logger; metrics: Metrics };

/** Null: the process itself can serve. Otherwise why not. */
export type Running = { ready(): string | null };
