/** Walks over one partition for a release: enrols its children, or puts them in order of joining. */
import { setTimeout as sleep } from 'node:timers/promises';
import { walkJob } from '#queue/catalogue.ts';
import type { IntakeProducer } from '#queue/producers.ts';
import type { EnrolmentStore } from '#store/enrolment-store.ts';
import type { ReleaseStore } from '#store/release-store.ts';

const BACKLOG_CHECK_MS = 50;

type Deps = {
  releases: ReleaseStore;
  enrolment: EnrolmentStore;
  intake: Pick<IntakeProducer, 'pendingSince'>;
  partitions: number;
};

/** Resumable: where it died, it goes on from the last batch. It stops as soon as its epoch is old. */
export function createWalker({ releases, enrolment, intake, partitions }: Deps) {
  return async (data: unknown): Promise<void> => {
    const { release, partition, kind, epoch } = walkJob.parse(data);
    // A job from before there were fewer partitions: its children are walked over elsewhere.
    if (partition >= partitions) return;
    const step = kind === 'enrol' ? enrolment.enrolBatch : enrolment.orderBatch;
    for (let waited = false; ;) {
      const rollout = await releases.rollout(release);
      if (rollout === null || rollout.state !== 'running' || rollout.epoch !== epoch) return;
      if (await enrolment.isDone(partition, rollout, kind)) break;
      // A sign of life that was accepted before the start counts, also while it's still queued.
      if (!waited && (await intake.pendingSince(partition, rollout.startedAt ?? 0))) {
        await sleep(BACKLOG_CHECK_MS);
        continue;
      }
      waited = true;
      if (await step(partition, rollout)) break;
    }
    await releases.look(release);
  };
}
