/** Heartbeats on their way to the queue: few, and none that is needed for a result. */
import type { HeartbeatMessage } from '#domain/child/messages.ts';
import type { Clock } from '#store/connection/redis-clock.ts';
import type { LoadGuard } from '../overload/load-guard.ts';
import type { Intake } from './intake.ts';

/** Children whose last heartbeat is remembered; beyond it the memory starts anew, and some heartbeats are sent twice. */
const REMEMBERED = 200_000;
/** An agent polls each 3 s: one that is suspected of having left is checked again with each of its next polls. */
const SUSPECT_AGAIN_MS = 2_000;

type Heartbeat = Omit<HeartbeatMessage, 'kind' | 'at'>;
/** `suspect`: the child may have dropped its release. */
export type Heartbeats = { note(heartbeat: Heartbeat, suspect: boolean): void };

type Deps = { intake: Intake; load: Pick<LoadGuard, 'refuses'>; clock: Clock; precisionMs: number };

/**
 * A child's last-seen time in Redis is old until a queued heartbeat is applied. Without a memory of what is queued each of
 * its requests would queue another one, the more the longer the backlog is. None is queued while polls are shed.
 */
export function createHeartbeats({ intake, load, clock, precisionMs }: Deps): Heartbeats {
  let queued = new Map<string, number>();
  return {
    note(heartbeat, suspect) {
      const at = clock.now();
      const key = `${heartbeat.by} ${heartbeat.id}`;
      // One that only says that the child is there is said again when that has grown old.
      const againMs = suspect ? SUSPECT_AGAIN_MS : precisionMs;
      if (load.refuses('poll') || at - (queued.get(key) ?? -Infinity) < againMs) return;
      if (queued.size >= REMEMBERED) queued = new Map();
      queued.set(key, at);
      // Not awaited: a heartbeat that is lost costs nothing but freshness.
      void intake.submit({ kind: 'heartbeat', at, ...heartbeat }, { retry: false }).catch(() => queued.delete(key));
    },
  };
}
