import type { ParameterizedContext } from 'koa';
import type { IntakeMessage } from '#queue/message.ts';
import type { Config } from '#runtime/config.ts';
import type { ChildStore } from '#store/child-store.ts';
import type { Clock } from '#store/redis-clock.ts';
import type { FileCache } from '../file-cache.ts';
import type { Hold } from '../hold.ts';
import type { LoadGuard } from '../load-guard.ts';
import type { Moves } from '../moves.ts';
import type { ReleaseCache } from '../release-cache.ts';
import type { Signs } from '../signs.ts';
import type { Steering } from '../steering.ts';
import type { Waiting } from '../waiting.ts';

/** Puts a message into the queue of its child's partition; resolved once it's there (law 1). */
export type Intake = { submit(message: IntakeMessage, hold: boolean): Promise<void> };

/** What the handlers of the child endpoints need. */
export type ChildDeps = {
  config: Pick<Config, 'bodyLimit' | 'seenPrecisionMs'>;
  children: ChildStore;
  cache: ReleaseCache;
  files: FileCache;
  intake: Intake;
  signs: Signs;
  look(release: string): Promise<void>;
  load: LoadGuard;
  hold: Hold;
  clock: Clock;
  moves: Moves;
  waiting: Waiting;
  steering: Steering;
};

export type ChildHandler = (ctx: ParameterizedContext) => Promise<void>;
