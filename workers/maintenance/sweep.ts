/**
 * Sweeps: children silent for FORGET_AFTER are forgotten (a restarted agent leaves its old id for ever), and so is what
 * children did in releases that ended KEEP_RELEASES ago.
 */
import { releasesOf } from '#store/children/child-views.ts';
import type { Logger } from '#runtime/log.ts';
import { type ChildStore } from '#store/children/child-store.ts';
import type { Clock } from '#store/connection/redis-clock.ts';
import type { ReleaseStore } from '#store/releases/release-store.ts';

const BATCH = 500;

type Deps = {
  children: ChildStore;
  releases: ReleaseStore;
  clock: Clock;
  forgetAfterMs: number;
  keepReleasesMs: number;
  log: Logger;
};

export function createSweeper({ children, releases, clock, forgetAfterMs, keepReleasesMs, log }: Deps) {
  async function sweepPartition(p: number, before: number): Promise<number> {
    let forgotten = 0;
    for (let cursor = 0, last = false; !last && cursor < before;) {
      const batch = await children.bySeen(p, cursor, BATCH);
      const found = await children.details(batch.ids);
      const named = [...new Set(found.flatMap((child) => (child === null ? [] : releasesOf(child))))];
      const finished = await releases.finished(named);
      // The script leaves children alone that were seen since.
      const results = await Promise.all(batch.ids.map((id) => children.delete(id, before, finished)));
      forgotten += results.filter((result) => result === 'deleted').length;
      ({ cursor, last } = batch);
    }
    return forgotten;
  }

  async function sweepReleases(): Promise<void> {
    for (const rollout of await releases.endedBefore(clock.now() - keepReleasesMs)) {
      // An operator who takes it back later would find no child.
      if (!(await releases.noteForgotten(rollout))) continue;
      let batches = 0;
      for (let p = 0; p < children.partitions; p++)
        while (await children.forgetRecords(p, { ...rollout, stages: rollout.stages.length }, BATCH)) batches++;
      if (batches > 0)
        log.info({ release: rollout.release }, 'what children did in a release was forgotten after KEEP_RELEASES');
    }
  }

  return async (): Promise<number> => {
    await sweepReleases();
    const before = clock.now() - forgetAfterMs;
    let forgotten = 0;
    for (let p = 0; p < children.partitions; p++) forgotten += await sweepPartition(p, before);
    if (forgotten > 0) log.info({ forgotten }, 'children silent for FORGET_AFTER were forgotten');
    return forgotten;
  };
}
