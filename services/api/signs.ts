/** Signs of life on their way to the queue: few, and none that is needed for a result. */
import type { Intake } from './child/deps.ts';
import type { LoadGuard } from './load-guard.ts';
import type { Clock } from '#store/redis-clock.ts';

/** Children whose last sign is remembered; beyond it the memory starts anew, and some signs are sent twice. */
const REMEMBERED = 200_000;
/** An agent polls each 3 s: one that is suspected of having left is looked at again with each of its next polls. */
const SUSPECT_AGAIN_MS = 2_000;

type Sign = { id: string; release: string; tag: string; kind: 'poll' | 'ask' };
/** `suspect`: the child may have dropped its release. */
export type Signs = { note(sign: Sign, suspect: boolean): void };

/**
 * A child's last-seen time in Redis is old until a queued sign is applied. Without a memory of what is queued each of
 * its requests would queue another one, the more the longer the backlog is. None is queued while polls are shed.
 */
export function createSigns(intake: Intake, load: LoadGuard, clock: Clock, precisionMs: number): Signs {
  let queued = new Map<string, number>();
  return {
    note(sign, suspect) {
      const at = clock.now();
      const key = `${sign.kind} ${sign.id}`;
      // One that only says that it's there is said again when that has grown old.
      const againMs = suspect ? SUSPECT_AGAIN_MS : precisionMs;
      if (load.refuses('poll') || at - (queued.get(key) ?? -Infinity) < againMs) return;
      if (queued.size >= REMEMBERED) queued = new Map();
      queued.set(key, at);
      // Not awaited: a sign that is lost costs nothing but freshness.
      void intake.submit({ k: 'sign', at, ...sign }, false).catch(() => queued.delete(key));
    },
  };
}
