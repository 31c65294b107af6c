/** Publishes and starts the release that takes another one back. Every step may be repeated, by any number of processes. */
import { createHash } from 'node:crypto';
import { compensationOf } from '#bundle/compensation.ts';
import { publishedRollout, type Rollout, startRollout } from '#domain/rollout/rollout.ts';
import { stagesOf } from '#domain/rollout/stages.ts';
import type { TickProducer } from '#queue/producers.ts';
import type { Clock } from '#store/connection/redis-clock.ts';
import type { ReleaseStore } from '#store/releases/release-store.ts';

type Deps = {
  releases: ReleaseStore;
  ticks: Pick<TickProducer, 'schedule'>;
  clock: Clock;
};

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** `location`: the id of the one that is taken back; null: the whole release. */
export function createCompensator({ releases, ticks, clock }: Deps) {
  return async (rollout: Rollout, location: string | null): Promise<void> => {
    const original = await releases.release(rollout.release);
    const target = location === null ? null : rollout.withdrawn.find(({ id }) => id === location);
    if (original === null || target === undefined) return;
    const { strategy, yml, plan } = compensationOf(original.strategy, rollout, target);
    const { id } = strategy;
    const before = await releases.rollout(id);
    if (before !== null && before.plan.compensates !== rollout.release && before.state !== 'published')
      throw new Error(`another release was published as ${id}: it can't take this one back`);
    if (before === null || before.state === 'published') {
      const zip = await releases.file(original.zip);
      if (zip === null) throw new Error(`the functions of release ${rollout.release} are gone`);
      const release = { id, strategy, publishedAt: clock.now(), yml: sha256(yml), zip: original.zip, warnings: [] };
      const published = publishedRollout({
        release: id,
        shortId: await releases.nextShortId(),
        stages: stagesOf(strategy),
        plan,
        bundleBytes: zip.length,
      });
      const digest = `${release.yml} ${original.zip}`;
      const outcome = await releases.publish({ release, digest, files: { yml, zip }, rollout: published, plan });
      if (outcome === 'different')
        throw new Error(`another release was published as ${id}: it can't take this one back`);
    }
    const current = await releases.rollout(id);
    if (current?.state !== 'published') return;
    await releases.addUnfinished(id);
    const now = clock.now();
    if ((await releases.write(current, startRollout(current, plan, now, now), plan)) === false) return;
    await ticks.schedule(id);
    await releases.requestTick(id);
  };
}
