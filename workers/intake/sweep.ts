/** Sweeps the fleet: children silent for FORGET_AFTER are forgotten. A restarted agent leaves its old id for ever. */
import type { Logger } from '#runtime/log.ts';
import type { ChildStore } from '#store/child-store.ts';
import type { Clock } from '#store/redis-clock.ts';
import type { ReleaseStore } from '#store/release-store.ts';

const BATCH = 500;

type Deps = { children: ChildStore; releases: ReleaseStore; clock: Clock; forgetAfterMs: number; log: Logger };

export function createSweeper({ children, releases, clock, forgetAfterMs, log }: Deps) {
  async function sweepPartition(p: number, before: number, unfinished: readonly string[]): Promise<number> {
    let forgotten = 0;
    // Those that have to stay are passed over, so that they don't hide the others behind them.
    for (let kept = 0; ;) {
      const ids = await children.quiet(p, before, kept, BATCH);
      if (ids.length === 0) return forgotten;
      const results = await Promise.all(ids.map((id) => children.delete(id, before, unfinished)));
      const deleted = results.filter((result) => result === 'deleted').length;
      forgotten += deleted;
      kept += ids.length - deleted;
    }
  }

  return async (): Promise<number> => {
    const before = clock.now() - forgetAfterMs;
    const unfinished = await releases.unfinished();
    let forgotten = 0;
    for (let p = 0; p < children.partitions; p++) forgotten += await sweepPartition(p, before, unfinished);
    if (forgotten > 0) log.info({ forgotten }, 'children silent for FORGET_AFTER were forgotten');
    return forgotten;
  };
}
